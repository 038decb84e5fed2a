"""What every stage does with bad input: one line, exit status 2."""

from collections.abc import Callable

import pytest

from stages.io.errors import run_stage


def assert_one_line(
    capsys: pytest.CaptureFixture[str], main: Callable[[], None], message: str
) -> None:
    """Runs a stage's entry that must end in one line with `message`, and exit status 2."""
    with pytest.raises(SystemExit) as caught:
        run_stage(main)
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1
