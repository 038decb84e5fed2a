"""Fetching from outside: a pinned wheel, a URL, named members of an archive.

Whatever is fetched lies in an ignored scratch folder until it is complete and its checksum is
right, so that a cut never leaves half a file where a stage would read it.
"""

import hashlib
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from stages.io.errors import InputError
from stages.io.progress import Progress

# Outside DVC's outputs: DVC deletes those before a stage runs, and a cut download with them.
DOWNLOADS = Path(".scratch/downloads")

_CHUNK = 1 << 20
_SCHEMES = ("http", "https", "file")
_FRUITLESS_TRIES = 5
_PAUSE = 1.0  # seconds before the second fruitless try; each further one waits as much longer


@dataclass(frozen=True)
class Checksum:
    """A file's expected digest, in lower-case hexadecimal."""

    algorithm: Literal["md5", "sha256"]
    digest: str


def is_url(source: str) -> bool:
    """Returns whether `source` is a URL that `fetch_url` takes, not a path."""
    return urllib.parse.urlsplit(source).scheme in _SCHEMES


def fetch_wheel(requirement: str, sha256: str, folder: Path = DOWNLOADS) -> Path:
    """Downloads a pinned wheel with pip, from wherever pip is configured to look.

    Nothing is installed and no dependency is touched. A wheel that is already in `folder` with
    the right checksum is taken as it is.

    Args:
        requirement: `name==version` of a package with a pure-Python wheel.
        sha256: the wheel's SHA-256.
        folder: where the wheel goes.

    Returns:
        The wheel's path.

    Raises:
        InputError: pip fails, or the wheel is another than the pinned one.
    """
    name, _, version = requirement.partition("==")
    expected = Checksum("sha256", sha256)
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    for wheel in folder.glob(pattern):
        if digest(wheel, expected.algorithm) == expected.digest:
            return wheel
        wheel.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    # pip's own progress goes where progress belongs; standard output stays the stage's.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise InputError(f"{requirement}: pip could not download it (its own message is above)")
    wheels = sorted(folder.glob(pattern))
    if not wheels:
        raise InputError(f"{requirement}: pip left no file {pattern} in {folder}")
    verify(wheels[0], expected, delete=True)
    return wheels[0]


def fetch_url(
    url: str, target: Path, checksum: Checksum | None = None, *, reuse: bool = False
) -> Path:
    """Downloads `url` to `target`, which appears only when it is complete and verified.

    A cut transfer goes on where it stopped, also in a later run, if the server can continue the
    very same file (`Range` with `If-Range`); otherwise it starts again from the first byte.

    Args:
        url: an http, https or file URL.
        target: the file to write; one already there is kept if `checksum` says it is right.
        checksum: what the file must have; None where it is not known.
        reuse: keep one already there also where no checksum is known (every `target` is complete;
            the caller moves it away when all is well, so it stems from a run that was cut).

    Returns:
        `target`.

    Raises:
        InputError: the URL cannot be read, or the file is another than expected.
    """
    if not is_url(url):
        raise InputError(f"{url}: expected a URL with one of {', '.join(_SCHEMES)}")
    if target.is_file() and (
        digest(target, checksum.algorithm) == checksum.digest if checksum else reuse
    ):
        return target
    partial = _Partial.of(url, target)
    resumed = partial.size > 0
    _fill(partial, known=checksum is not None)
    if checksum and digest(partial.path, checksum.algorithm) != checksum.digest and resumed:
        # The older half may stem from another version of the file: once more, from zero.
        partial.clear()
        _fill(partial, known=True)
    if checksum:
        try:
            verify(partial.path, checksum, name=url)
        except InputError:
            partial.clear()
            raise
    partial.path.replace(target)
    partial.clear()
    return target


def digest(path: Path, algorithm: Literal["md5", "sha256"]) -> str:
    """Returns the file's digest in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def verify(
    path: Path, checksum: Checksum, *, name: str | None = None, delete: bool = False
) -> None:
    """Checks a file's digest.

    Args:
        path: the file.
        checksum: what it must have.
        name: what the message calls the file; its path by default.
        delete: whether a wrong file is removed, so that the next run fetches it anew.

    Raises:
        InputError: the digest is another.
    """
    found = digest(path, checksum.algorithm)
    if found != checksum.digest:
        if delete:
            path.unlink()
        raise InputError(
            f"{name or path}: {checksum.algorithm} is {found}, expected {checksum.digest}"
        )


def extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Copies the named members of a zip archive or wheel, and nothing else, into `folder`.

    Args:
        archive: the zip file.
        members: path inside the archive -> path below `folder`.
        folder: made if missing. No target may lie outside of it.

    Raises:
        InputError: no zip file, a member is missing or damaged, or a target leaves `folder`.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            names = set(opened.namelist())
            for member, relative in members.items():
                if member not in names:
                    raise InputError(f"{archive}: holds no member {member!r}")
                target = inside(folder, relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{archive}: damaged zip file: {error}") from None
    except FileNotFoundError:
        raise InputError(f"{archive}: no such file") from None


def inside(folder: Path, relative: str) -> Path:
    """Returns `folder / relative`.

    Raises:
        InputError: that path lies outside of `folder`, or is `folder` itself.
    """
    target = (folder / relative).resolve()
    if folder.resolve() not in target.parents:
        raise InputError(f"{relative!r}: leaves the target folder {folder}")
    return target


@dataclass(frozen=True)
class _Partial:
    """A transfer under way: its bytes so far, and the validator under which they were sent."""

    url: str
    path: Path

    @classmethod
    def of(cls, url: str, target: Path) -> "_Partial":
        target.parent.mkdir(parents=True, exist_ok=True)
        # Two URLs may end in the same name: their halves must never be joined.
        key = hashlib.sha256(url.encode()).hexdigest()[:16]
        return cls(url, target.with_name(f"{target.name}.{key}.partial"))

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".validator")

    def validator(self) -> str:
        """The `If-Range` value for the bytes so far; empty if there is none."""
        return self._note.read_text(encoding="utf-8") if self._note.exists() else ""

    def remember(self, headers: Mapping[str, str]) -> None:
        etag = headers.get("ETag", "")
        strong = "" if etag.startswith("W/") else etag
        self._note.write_text(strong or headers.get("Last-Modified", ""), encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _fill(partial: _Partial, *, known: bool) -> None:
    """Transfers until the file is complete; tries again as long as bytes keep coming."""
    if urllib.parse.urlsplit(partial.url).scheme == "file":
        _copy_file(partial)
        return
    fruitless = most = 0
    with _session() as session:
        while reason := _transfer(session, partial, known=known):
            fruitless = 0 if partial.size > most else fruitless + 1
            most = max(most, partial.size)
            if fruitless == _FRUITLESS_TRIES:
                raise InputError(
                    f"{partial.url}: {reason}; tried {fruitless} times without a new byte; "
                    "run again to go on from where it stopped"
                )
            time.sleep(_PAUSE * fruitless)


def _session() -> requests.Session:
    """Returns a session that waits for a server that is down or busy for a moment."""
    session = requests.Session()
    session.headers.update({"User-Agent": "binllm", "Accept-Encoding": "identity"})
    retries = Retry(
        total=_FRUITLESS_TRIES - 1,
        backoff_factor=_PAUSE,
        status_forcelist=(500, 502, 503, 504),
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    return session


def _transfer(session: requests.Session, partial: _Partial, *, known: bool) -> str | None:
    """Makes one request for what is missing; returns why it is not complete, None if it is."""
    headers, validator = {}, partial.validator()
    if partial.size and (validator or known):
        headers["Range"] = f"bytes={partial.size}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with session.get(partial.url, headers=headers, stream=True, timeout=60) as response:
            if response.status_code == 416 and partial.size:
                if response.headers.get("Content-Range") == f"bytes */{partial.size}":
                    return None  # an earlier run was cut after the last byte
                partial.clear()
                return "the file has changed"
            if not response.ok:
                raise InputError(f"{partial.url}: {response.status_code} {response.reason}")
            start, total = _span(response)
            if start not in (0, partial.size):
                return f"asked from byte {partial.size} on, sent from {start}"
            partial.remember(response.headers)
            with partial.path.open("ab" if start else "wb") as file:
                _copy(response, file, start, total, file_name(partial.url))
            return None if total in (None, partial.size) else "connection was cut"
    except (requests.RequestException, HTTPError) as error:
        return " ".join(str(error).split())


def _span(response: requests.Response) -> tuple[int, int | None]:
    """Returns the first byte that a response sends, and the size of the whole file."""
    if response.status_code == 206:
        # "bytes 500-999/1000"
        span, _, whole = (
            response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        )
        start = span.partition("-")[0]
        usable = start.isdigit()
        return (int(start) if usable else -1), (int(whole) if whole.isdigit() else None)
    length = response.headers.get("Content-Length", "")
    return 0, (int(length) if length.isdigit() else None)


def _copy(
    response: requests.Response, file: IO[bytes], start: int, total: int | None, title: str
) -> None:
    progress = Progress(f"download {title}", total, "bytes", done=start)
    while chunk := response.raw.read1(_CHUNK):  # what has come so far is kept if more does not
        file.write(chunk)
        progress.advance(len(chunk))
    progress.close()


def _copy_file(partial: _Partial) -> None:
    path = urllib.request.url2pathname(urllib.parse.urlsplit(partial.url).path)
    try:
        shutil.copyfile(path, partial.path)
    except OSError as error:
        raise InputError(f"{partial.url}: {error.strerror}") from None


def file_name(url: str) -> str:
    """Returns the last part of a URL's path.

    Raises:
        InputError: the URL names no file.
    """
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if not name:
        raise InputError(f"{url}: names no file")
    return name
