"""How a stage is started from the command line: its help, its arguments, its one line of error."""

from collections.abc import Callable
from typing import Any

from stages.io.errors import run_stage
from stages.io.help import parser_of


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
    parser = parser_of(main)
    for name in names:
        parser.add_argument(name)
    return list(vars(parser.parse_args()).values())
