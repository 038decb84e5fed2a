"""Errors a user can mend, and the one place that prints them."""

import contextlib
import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

STOPPED = "stopped; checkpoints are kept, run again to go on"
_INTERRUPTED = 128 + signal.SIGINT
# What the system says of a disk that takes no more, and what to do.
_MENDED_BY = {
    errno.ENOSPC: "make room and run again",
    errno.EDQUOT: "the quota is used up: make room and run again",
    errno.EFBIG: "larger than the disk or `ulimit -f` allows",
    errno.EROFS: "make it writable, or work elsewhere",
    errno.EACCES: "allow access and run again",
    errno.EPERM: "allow access and run again",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "the disk may be damaged",
}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TOO_LITTLE = 1 << 16  # bytes left where a library failed without saying why
# How Rust (safetensors, tokenizers) and Arrow quote the system's number within a text.
_QUOTED = re.compile(r"\(os error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)

# A message that quotes its input says enough of it.
LONGEST_MESSAGE = 600


class InputError(ValueError):
    """Bad input: the message is one line saying what, where, and what was expected.

    What it quotes, of users and of libraries, may be long, hold line breaks, or what a terminal
    takes for a command: the message is made one line of printable characters here, for all.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message, shortened where it is longer than `LONGEST_MESSAGE`."""
        plain = "".join(c if c.isprintable() else " " for c in message)
        line = " ".join(plain.split()) if plain != message else message
        super().__init__(shortened(line, LONGEST_MESSAGE))


def shortened(text: str, longest: int) -> str:
    """Returns a text of at most `longest` characters: where it has more, without its middle."""
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def run_stage(main: Callable[[], None]) -> None:
    """Runs a stage's entry; what a user can mend ends it in one line.

    An `InputError` and whatever the system refused (`OSError`) end in exit status 2, Ctrl-C in 130.

    Args:
        main: the stage's entry, without arguments.
    """
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        _end(f"error: {error}", 2)
    except OSError as error:
        _end(f"error: {refusal(error)}", 2)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only print a traceback
        _end(STOPPED, _INTERRUPTED)


def stop_in_one_line(kind: type[BaseException], error: BaseException, traceback: object) -> None:
    """An exception hook for the time before a stage's entry runs: Ctrl-C is one line there, too."""
    if issubclass(kind, KeyboardInterrupt):
        _say(STOPPED)
    else:
        sys.__excepthook__(kind, error, traceback)  # type: ignore[arg-type]


def refusal(error: OSError) -> str:
    """Returns in one line what the system refused, where, and how much room is left."""
    where = error.filename if error.filename is not None else ""
    where = re.sub(r"\.([^/]+)\.\d+-[0-9a-f]{8}\.partial", r"\1", os.fsdecode(where))
    shown = shortened(where, 120)
    parts = [" ".join((error.strerror or str(error) or type(error).__name__).split())]
    if error.errno in _FULL and where:
        parts.append(f"{_room(Path(where))} left there")
    if error.errno in _MENDED_BY:
        parts.append(_MENDED_BY[error.errno])
    return (f"{shown}: " if shown else "") + "; ".join(parts)


def disk_error(error: BaseException, path: Path) -> OSError | None:
    """Returns what the system said behind an exception that was raised while `path` was written.

    Libraries call a full disk many things (torch: "unexpected pos 64 vs 0"); None where it is not
    the disk's fault.
    """
    if isinstance(error, InputError):
        return None
    for cause in _causes(error):
        number = cause.errno if isinstance(cause, OSError) else None
        quoted = _QUOTED.search(str(cause))
        if number is None and quoted:
            number = int(quoted[1] or quoted[2])
        if number is not None and number in _MENDED_BY:
            # Of a full disk it may name the file that was copied, or none.
            named = cause.filename if isinstance(cause, OSError) and number not in _FULL else None
            return OSError(number, os.strerror(number), str(named or path))
    if isinstance(error, OSError) and error.errno is not None:
        return None
    if _free(path) < _TOO_LITTLE:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    # NumPy's says how much was written, but neither where nor why.
    return OSError(0, str(error), str(path)) if isinstance(error, OSError) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _room(path: Path) -> str:
    place = _existing(path)
    if os.statvfs(place).f_files and not os.statvfs(place).f_favail:
        return "no further file"
    free = float(shutil.disk_usage(place).free)
    for unit in ("bytes", "kB", "MB"):
        if free < 1000:
            return f"{free:,.0f} {unit}"
        free /= 1000
    return f"{free:,.1f} GB"


def _free(path: Path) -> int:
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    """Returns the nearest folder above `path` that is there."""
    for folder in path.absolute().parents:
        with contextlib.suppress(OSError):
            if folder.is_dir():
                return folder
    return Path("/")


def _end(line: str, status: int) -> None:
    _say(line)
    try:
        sys.stdout.flush()
    except OSError:
        # Nobody reads on: what is left unsaid may not be a second complaint when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
