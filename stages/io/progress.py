"""A progress line for long work: done, rate, time left."""

import contextlib
import shutil
import sys
import time
from typing import TextIO


class Progress:
    """Prints progress: rewritten in place on a terminal, at most a line per minute in a log."""

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str = "rows",
        *,
        done: int = 0,
        every: float = 60.0,
        stream: TextIO | None = None,
    ) -> None:
        """Starts the clock.

        Args:
            title: what is going on.
            total: how many units there are; None where it is not known.
            unit: what is counted.
            done: units done before this run (a resumed job); not counted in the rate.
            every: least seconds between two lines of a log.
            stream: where to print; standard error by default.
        """
        self._title, self._total, self._unit = title, total, unit
        self._stream = stream or sys.stderr
        self._tty = self._stream.isatty()
        self._every = 0.2 if self._tty else every
        self._first, self._done = done, done
        self._start = time.monotonic()
        self._last = self._start

    def advance(self, n: int, note: str = "") -> None:
        """Counts `n` more units; `note` is shown at the end of the line."""
        self._done += n
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._print(self._line(now, note))

    def close(self, note: str = "") -> None:
        """Prints the last line."""
        now = time.monotonic()
        seconds = now - self._start
        rate = (self._done - self._first) / max(seconds, 1e-9)
        line = f"{self._title}: {self._done:,} {self._unit} in {duration(seconds)}, {rate:,.1f}/s"
        self._print(line + (f"  {note}" if note else ""), last=True)

    def _line(self, now: float, note: str) -> str:
        rate = (self._done - self._first) / max(now - self._start, 1e-9)
        if self._total is None:
            parts = f"{self._done:,} {self._unit}  {rate:,.1f}/s"
        else:
            left = duration((self._total - self._done) / rate) if rate > 0 else "?"
            parts = f"{self._done:,}/{self._total:,} {self._unit}  {rate:,.1f}/s  {left} left"
        return f"{self._title}: {parts}" + (f"  {note}" if note else "")

    def _print(self, line: str, last: bool = False) -> None:
        if self._tty:
            # A line that wraps could not be rewritten.
            line = "\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1]
        with contextlib.suppress(OSError):  # a log on a full disk does not end the work
            self._stream.write(line + ("\n" if last or not self._tty else ""))
            self._stream.flush()


def duration(seconds: float) -> str:
    """Returns seconds as `1h02m`, `3m05s` or `7s`."""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    if whole >= 60:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole}s"
