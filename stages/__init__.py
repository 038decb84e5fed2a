"""The pipeline: a file per stage, over rooms of libraries; CONTRIBUTING.md has the map."""

import sys

from stages.io.errors import stop_in_one_line

if sys.argv[:1] == ["-m"]:  # `python -m stages.…`, whose imports take seconds
    sys.excepthook = stop_in_one_line
