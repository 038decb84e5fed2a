"""How outputs appear: whole or not at all, and those of a stage together.

What is written lies beside its place under a name of its own until it is complete and on the disk.
Two writers never share such a name; what a killed one left is removed by the next, and by
`stages.io.recovery`.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stages.io.damage import write_digests
from stages.io.errors import disk_error
from stages.io.parent import before_end, wait_if_ending

SCRATCH = Path(".scratch")  # work in progress and what is kept of it; no output lies here


class _Set:
    """Outputs that are complete, and what is to be done once all of them are in their places."""

    def __init__(self) -> None:
        self.complete: list[tuple[Path, Path]] = []
        self.afterwards: list[Callable[[], None]] = []


_PARTIAL = re.compile(r"\.(.+)\.(\d+)-[0-9a-f]{8}\.partial")
_open: set[Path] = set()  # partial files and folders of this process
_set: _Set | None = None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; moves it to `path` on success, else removes it.

    Works for a file and for a folder (make it with `mkdir`). A cut leaves `path` as it was. Within
    `together`, the move waits for the other outputs. A folder that holds safetensors gets the
    digests of its files, see `stages.io.damage`.

    Raises:
        OSError: it cannot be written, also where a library called that something else.
    """
    partial = _partial(path)
    inside = any(other in path.parents for other in _open)
    waits = _set is not None and not inside and SCRATCH.absolute() not in path.absolute().parents
    _open.add(partial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield partial
        if partial.is_dir() and any(partial.glob("*.safetensors")):
            write_digests(partial)
        if not inside:  # else all of it reaches the disk with the folder that it lies in
            _sync(partial)
        if waits and _set is not None:
            _set.complete.append((partial, path))
        else:
            _move(partial, path)
    except Exception as error:
        wait_if_ending()
        found = disk_error(error, path)
        if found is None:
            raise
        raise found from error
    finally:
        if _set is None or (partial, path) not in _set.complete:
            _remove(partial)
            _open.discard(partial)


@contextmanager
def passing(path: Path) -> Iterator[Path]:
    """Yields a new folder beside `path` for what is needed inside only; it goes at the end."""
    partial = _partial(path)
    _open.add(partial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        partial.mkdir()
        yield partial
    finally:
        _remove(partial)
        _open.discard(partial)


@contextmanager
def together(ready: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keeps back what is written inside until its end: all outputs appear then, or none does.

    Args:
        ready: called before the first one appears; may raise.
    """
    global _set
    _set = outputs = _Set()
    try:
        yield
        ready()
        for partial, path in outputs.complete:
            _move(partial, path)
        for call in outputs.afterwards:
            call()
    finally:
        _set = None
        for partial, _ in outputs.complete:
            _remove(partial)
            _open.discard(partial)


def once_written(call: Callable[[], None]) -> None:
    """Calls when the outputs are in their places: at the end of `together`, else at once."""
    if _set is None:
        call()
    else:
        _set.afterwards.append(call)


def remove_if_left(partial: Path, of: Path | None = None) -> bool:
    """Removes a partial file or folder whose writer is gone; returns whether it has.

    Args:
        partial: what may be one.
        of: the output that it must belong to; None for any.
    """
    found = _PARTIAL.fullmatch(partial.name)
    if not found or partial in _open or (of is not None and found[1] != of.name):
        return False
    writer = int(found[2])
    if writer != os.getpid() and psutil.pid_exists(writer):
        return False
    _remove(partial)
    return True


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")


def _remove_open() -> None:
    """Removes what this process has not finished, while another thread may be writing there.

    A folder that is called otherwise gets no new file, but for one that was being opened.
    """
    for partial in tuple(_open):
        found = _PARTIAL.fullmatch(partial.name)
        aside = _partial(partial.with_name(found[1])) if found else partial
        with suppress(OSError):
            partial.replace(aside)
        for _ in range(3):
            with suppress(OSError):
                _remove(aside)
                break


before_end(_remove_open)


def _move(partial: Path, path: Path) -> None:
    if path.is_dir():
        _remove(path)
    partial.replace(path)
    _sync_one(path.parent)


def _remove_leftovers(path: Path) -> None:
    """Removes what killed processes left of `path`."""
    for other in path.parent.iterdir():
        remove_if_left(other, of=path)


def _sync(path: Path) -> None:
    """Waits until a file, or all of a folder, is on the disk: a rename may get there sooner."""
    for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
        _sync_one(each)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
