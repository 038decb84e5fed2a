"""How a stage is started from the command line: its help, its arguments, its one line of error."""

import argparse
from collections.abc import Callable
from typing import Any

from stages.io.errors import run_stage


def start(main: Callable[..., None], *names: str) -> None:
    """Runs a stage's entry with the command line's words; see `stages.io.errors.run_stage`.

    `--help` prints the module's own description; a word too many or too few is refused.

    Args:
        main: the stage's entry.
        names: what its arguments are called, in order; each is one word.
    """
    words = arguments(main, names)
    run_stage(lambda: main(*words))


def arguments(main: Callable[..., Any], names: tuple[str, ...]) -> list[str]:
    """Returns the command line's words for the arguments of a stage's entry."""
    module = main.__globals__["__spec__"]
    parser = argparse.ArgumentParser(
        prog=f"python -m {module.name}" if module else None,
        description=main.__globals__["__doc__"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in names:
        parser.add_argument(name)
    return list(vars(parser.parse_args()).values())
