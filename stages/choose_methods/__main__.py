"""Writes which compared methods run: `python -m stages.choose_methods`.

Reads `compare.methods`; writes data/chosen/<method>, one file per known method.
"""

from stages.choose_methods.params import ChooseMethods
from stages.common.chosen import write_chosen
from stages.common.errors import run_stage
from stages.common.params import load_section


def main() -> None:
    """Reads the list, writes the files."""
    write_chosen(load_section(ChooseMethods, "compare").methods)


if __name__ == "__main__":
    run_stage(main)
