"""One writer per stage: who comes second waits a moment, then is told who is at work."""

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from stages.io.errors import InputError
from stages.io.outputs import SCRATCH

# A stage whose DVC was killed ends within a second (`stages.io.parent`): its successor waits.
PATIENCE = 20.0
_LOCKS = SCRATCH / "locks"
_BUSY = (errno.EACCES, errno.EAGAIN)


@contextmanager
def alone(stage: str, patience: float | None = None) -> Iterator[None]:
    """Holds the stage's lock, which the system itself gives back when this process ends.

    Args:
        stage: its name with its item.
        patience: seconds to wait for another process that holds the lock.

    Raises:
        InputError: the other one still holds it then.
    """
    path = _LOCKS / f"{stage}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _wait(file, stage, time.monotonic() + (PATIENCE if patience is None else patience))
        with contextlib.suppress(OSError):  # on a full disk nobody is told who holds it
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


def _wait(file: IO[str], stage: str, until: float) -> None:
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in _BUSY:
                return  # a file system without locks
        file.seek(0)
        holder = f"process {file.read() or '?'}"
        if time.monotonic() > until:
            raise InputError(f"{stage}: {holder} runs this stage already; wait for it or end it")
        if not told:
            sys.stderr.write(f"{stage}: waiting for {holder}, which runs this stage already\n")
            told = True
        time.sleep(0.1)
