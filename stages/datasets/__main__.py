"""Reads your own files and says what they hold and which keys to set: no stage, writes nothing.

python -m stages.datasets FILE_OR_FOLDER

Columns are guessed by their names, the rest by reading: the very reader and checks of `preprocess`
say in the end whether the keys will do.
"""

import argparse
from pathlib import Path

from stages.datasets.building.looking import look
from stages.io.errors import run_stage


def main() -> None:
    """Prints what was found, and the command with its keys."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, help="a table, or a folder that holds tables")
    source = parser.parse_args().source
    run_stage(lambda: print("\n".join(look(source))))


if __name__ == "__main__":
    main()
