"""A stage ends when the DVC that started it is gone: the next DVC starts the same stage anew.

Killing `dvc` alone leaves its stage running, and DVC's claim on the outputs is void then. A stage
that was started by hand, by `torchrun` or under `nohup` has no DVC above it and goes on.
"""

import os
import threading
import time
from collections.abc import Callable
from functools import cache

import psutil

_POLL_SECONDS = 0.3
_DVC_STAGE = "DVC_STAGE"  # DVC sets it for what it starts, not for itself
_ending = threading.Lock()  # held by who ends this process, to its end
_tidied: list[Callable[[], None]] = []
_GONE = "DVC, which started this stage, is gone: stopped; checkpoints are kept, run again to go on"


class Starters:
    """The processes that started this one.

    Attributes:
        found: from the one right above this process up to DVC; none without DVC.
    """

    def __init__(self) -> None:
        """Finds them; to be called early, while they are all there."""
        self._parent = os.getppid()
        self.found: list[psutil.Process] = []
        if _DVC_STAGE in os.environ:
            for process in psutil.Process().parents():
                self.found.append(process)
                if not _below_dvc(process):
                    break

    def gone(self) -> bool:
        """Returns whether one of them has ended."""
        if not self.found:
            return False
        return os.getppid() != self._parent or not all(map(_lives, self.found))


@cache
def starters() -> Starters:
    """Returns those of this process, as they were when it was asked first."""
    return Starters()


@cache
def end_with_dvc() -> None:
    """Has this process, and what it has started, end as soon as the DVC that started it is gone."""
    known = starters()
    if not known.found:
        return

    def watch() -> None:
        while not known.gone():
            time.sleep(_POLL_SECONDS)
        end()

    threading.Thread(target=watch, daemon=True).start()


def before_end(tidy: Callable[[], None]) -> None:
    """Has `tidy` called before `end`, from any thread, while others may go on."""
    _tidied.append(tidy)


def wait_if_ending() -> None:
    """Keeps a thread from going on where another one ends the process: it has nothing to say."""
    if _ending.locked():
        _ending.acquire()  # which is never given back


def end() -> None:
    """Ends this process and those below it at once."""
    with _ending:
        try:
            for child in psutil.Process().children(recursive=True):
                child.kill()
            said = os.dup(2)  # open to the very end, for which whoever reads it waits
            os.write(said, f"{_GONE}\n".encode())
            # What other threads meet from now on is nobody's concern.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for tidy in _tidied:
                tidy()
        finally:
            os._exit(2)


def _below_dvc(process: psutil.Process) -> bool:
    try:
        return _DVC_STAGE in process.environ()
    except psutil.Error:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        if process.pid == 1 and "dvc" not in " ".join(process.cmdline()):
            return False  # who adopted this process, before it could look for who started it
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
