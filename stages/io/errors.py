"""Errors a user can mend, and the one place that prints them."""

import sys
from collections.abc import Callable

# A message that quotes its input says enough of it.
LONGEST_MESSAGE = 600


class InputError(ValueError):
    """Bad input: the message is one line saying what, where, and what was expected.

    What it quotes, of users and of libraries, may be long, hold line breaks, or what a terminal
    takes for a command: the message is made one line of printable characters here, for all.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message, cut in the middle where it is longer than `LONGEST_MESSAGE`."""
        plain = "".join(c if c.isprintable() else " " for c in message)
        line = " ".join(plain.split()) if plain != message else message
        if len(line) > LONGEST_MESSAGE:
            half = LONGEST_MESSAGE // 2
            line = f"{line[:half]} … {line[-half:]}"
        super().__init__(line)


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
