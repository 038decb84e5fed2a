"""The pipeline: a file per stage, over rooms of libraries; CONTRIBUTING.md has the map."""

import sys

from stages.io.errors import stop_in_one_line
from stages.io.parent import end_with_dvc

if sys.argv[:1] == ["-m"]:  # `python -m stages.…`: its imports take seconds
    sys.excepthook = stop_in_one_line
    end_with_dvc()
