"""Zip archives and wheels from outside: what they hold, and copies of named members.

An archive is material of unknown make. Whatever is wrong with it is one line; what it unpacks to is
known and bounded before the first byte is written; no member lands outside of the target folder.
"""

import errno
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stages.io.errors import InputError

# Tables shrink to a tenth or so. A member of a bomb shrinks to a thousandth.
MOST_TIMES = 100
# Small archives may repeat themselves as they like.
ALWAYS_ALLOWED = 100_000_000

_CHUNK = 1 << 20


def is_archive(path: Path) -> bool:
    """Returns whether a file ends as zip archives do; the rest may still be damaged.

    Raises:
        InputError: the file cannot be read.
    """
    with _reading(path):
        return zipfile.is_zipfile(path)


def member_names(archive: Path) -> list[str]:
    """Returns the paths of an archive's files, folders left out.

    Raises:
        InputError: no zip file, or one whose directory is damaged.
    """
    with _reading(archive), zipfile.ZipFile(archive) as opened:
        return [name for name in opened.namelist() if not name.endswith("/")]


def extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Copies the named members of a zip archive or wheel, and nothing else, into `folder`.

    Args:
        archive: the zip file.
        members: path inside the archive -> path below `folder`.
        folder: made if missing. No target may lie outside of it.

    Raises:
        InputError: no zip file, a member is missing, damaged, encrypted or packed by a method that
            is not known, all of them together are too large, or a target leaves `folder`.
    """
    targets = {member: inside(folder, relative) for member, relative in members.items()}
    with _reading(archive):
        opened = zipfile.ZipFile(archive)
    with opened:
        _check_members(archive, opened, list(targets), folder)
        for member, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _created(target, archive) as file:
                _copy_member(archive, opened, member, file)


def inside(folder: Path, relative: str) -> Path:
    """Returns `folder / relative`.

    Raises:
        InputError: that path lies outside of `folder`, is `folder` itself, or is no path.
    """
    try:
        target = (folder / relative).resolve()
        if any(path.is_symlink() for path in (target, *target.parents)):  # left so since 3.13
            raise RuntimeError("a loop of links")
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a null character
        raise InputError(f"{relative!r}: no path of a file: {error}") from None
    if folder.resolve() not in target.parents:
        raise InputError(f"{relative!r}: leaves the target folder {folder}")
    return target


def _check_members(
    archive: Path, opened: zipfile.ZipFile, members: list[str], folder: Path
) -> None:
    names = set(opened.namelist())
    for member in members:
        if member not in names:
            raise InputError(f"{archive}: holds no member {member!r}")
    # No member gives more bytes than its entry says: zipfile stops there, and its CRC is wrong.
    size = sum(opened.getinfo(member).file_size for member in members)
    packed = archive.stat().st_size
    if size > max(ALWAYS_ALLOWED, MOST_TIMES * packed):
        raise InputError(
            f"{archive}: {packed:,} bytes would unpack to {size:,}, more than {MOST_TIMES} times "
            "as many; unpack it yourself if you trust it, and name the folder"
        )
    parent = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(parent).free
    if size > free:
        raise InputError(f"{archive}: unpacks to {size:,} bytes, and {free:,} are free at {folder}")


def _created(target: Path, archive: Path) -> IO[bytes]:
    try:
        return target.open("wb")
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise InputError(f"{archive}: {target.name!r}: {error.strerror}") from None
        raise


def _copy_member(archive: Path, opened: zipfile.ZipFile, member: str, file: IO[bytes]) -> None:
    """Copies one member; only what fails in reading is the archive's fault."""
    with _reading(archive, member):
        source = opened.open(member)
    with source:
        while True:
            with _reading(archive, member):
                chunk = source.read(_CHUNK)
            if not chunk:
                break
            file.write(chunk)
    size = opened.getinfo(member).file_size
    if file.tell() != size:
        raise InputError(f"{archive}: {member!r}: {file.tell():,} bytes, expected {size:,}")


@contextmanager
def _reading(archive: Path, member: str | None = None) -> Iterator[None]:
    """Turns whatever zipfile and its decompressors raise into one line.

    They raise all kinds: of zlib, bz2, lzma and struct, `RuntimeError` for an encrypted member,
    `NotImplementedError` for an unknown method, `UnicodeDecodeError` for a name, `ValueError`,
    `OverflowError` and `MemoryError` for numbers. Each of them says that the archive will not do.
    """
    place = f"{archive}: {member!r}" if member else f"{archive}"
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{archive}: no such file") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{place}: damaged zip file, or of a kind not read: {reason}") from None
