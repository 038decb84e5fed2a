"""How a stage is started from the command line: its help, its arguments, its one line of error.

A stage runs alone, ends with the DVC that started it, and its outputs appear together.
"""

from collections.abc import Callable
from typing import Any

from stages.io.errors import run_stage
from stages.io.help import parser_of
from stages.io.locks import alone
from stages.io.outputs import together
from stages.io.parent import end, end_with_dvc, starters


def start(main: Callable[..., None], *names: str) -> None:
    """Runs a stage's entry with the command line's words; see `stages.io.errors.run_stage`.

    `--help` prints the module's own description; a word too many or too few is refused.

    Args:
        main: the stage's entry.
        names: what its arguments are called, in order; each is one word.
    """
    words = arguments(main, names)
    module = main.__globals__["__spec__"]
    stage = ".".join([module.name if module else main.__module__, *words])
    run_stage(lambda: run_alone(lambda: main(*words), stage))


def run_alone(main: Callable[[], None], stage: str) -> None:
    """Runs a stage's entry as the only writer of its outputs.

    Args:
        main: the entry, without arguments.
        stage: its name with its item.

    Raises:
        InputError: another process runs the same stage.
    """
    end_with_dvc()

    def ready() -> None:
        if starters().gone():
            end()

    with alone(stage), together(ready):
        main()


def arguments(main: Callable[..., Any], names: tuple[str, ...]) -> list[str]:
    """Returns the command line's words for the arguments of a stage's entry."""
    parser = parser_of(main)
    for name in names:
        parser.add_argument(name)
    return list(vars(parser.parse_args()).values())
