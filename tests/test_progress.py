"""The progress line: what it says in a log and on a terminal."""

import io
from types import SimpleNamespace

import pytest

from stages.io.progress import Progress, duration


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("stages.io.progress.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_a_line_tells_done_rate_time_left_and_note(clock: Clock) -> None:
    log = io.StringIO()
    progress = Progress("score text", 1000, stream=log)
    clock.now += 60
    progress.advance(600, "loss 0.612")
    assert log.getvalue() == "score text: 600/1,000 rows  10.0/s  40s left  loss 0.612\n"


def test_a_log_gets_at_most_a_line_per_minute(clock: Clock) -> None:
    log = io.StringIO()
    progress = Progress("train", 1000, stream=log)
    for _ in range(700):
        clock.now += 0.5
        progress.advance(1)
    assert len(log.getvalue().splitlines()) == 5


def test_a_terminals_line_is_rewritten_in_place(clock: Clock) -> None:
    terminal = Terminal()
    progress = Progress("train", 10, stream=terminal)
    for _ in range(2):
        clock.now += 1
        progress.advance(1)
    progress.close()
    printed = terminal.getvalue()
    assert printed.count("\r\x1b[K") == 3
    assert printed.count("\n") == 1 and printed.endswith("\n")


def test_a_terminals_line_is_never_longer_than_the_terminal(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    progress = Progress("train_lora codes", 1000, stream=terminal)
    clock.now += 1
    progress.advance(10, "loss 0.612  AUC 0.701")
    assert terminal.getvalue() == "\r\x1b[Ktrain_lora codes: 10/1,000 rows  10.0/s"


def test_rows_of_an_earlier_run_are_done_but_not_counted_in_the_rate(clock: Clock) -> None:
    log = io.StringIO()
    progress = Progress("train", 1000, done=500, every=10, stream=log)
    clock.now += 10
    progress.advance(100)
    assert "600/1,000 rows  10.0/s  40s left" in log.getvalue()


def test_an_unknown_total_shows_no_time_left(clock: Clock) -> None:
    log = io.StringIO()
    progress = Progress("read", None, "lines", every=10, stream=log)
    clock.now += 10
    progress.advance(5000)
    assert log.getvalue() == "read: 5,000 lines  500.0/s\n"


def test_nothing_done_yet_has_no_time_left(clock: Clock) -> None:
    log = io.StringIO()
    progress = Progress("read", 10, every=10, stream=log)
    clock.now += 10
    progress.advance(0)
    assert log.getvalue() == "read: 0/10 rows  0.0/s  ? left\n"


def test_the_last_line_tells_the_whole_time(clock: Clock) -> None:
    log = io.StringIO()
    progress = Progress("train", 300, stream=log)
    progress.advance(300)
    clock.now += 3725
    progress.close("best AUC 0.741")
    assert log.getvalue() == "train: 300 rows in 1h02m, 0.1/s  best AUC 0.741\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-3, "0s"), (7.4, "7s"), (59.6, "1m00s"), (185, "3m05s"), (3720, "1h02m")],
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
