"""Errors a user can mend, and the one place that prints them."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Bad input: the message is one line saying what, where, and what was expected."""


def run_stage(main: Callable[[], None]) -> None:
    """Runs a stage's entry; an `InputError` ends it in one line and exit status 2.

    Args:
        main: the stage's entry, without arguments.
    """
    try:
        main()
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
