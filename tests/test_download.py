"""Fetching: against a real server on 127.0.0.1 that cuts, resumes, lies and fails on demand."""

import hashlib
import os
import re
import shutil
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from stages.datasets.building import places
from stages.datasets.building.places import Place
from stages.io import downloads as download
from stages.io.downloads import Checksum, fetch_url, fetch_wheel, file_name
from stages.io.errors import InputError

BODY = os.urandom(300_000)
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())


@dataclass
class Server:
    """What the server does, and what it was asked."""

    url: str = ""
    body: bytes = BODY
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes sent before each cut, then none
    failures: int = 0
    asked: list[str | None] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.headers.get("Range"))
            state.credentials.append(self.headers.get("Authorization"))
            if self.path.startswith("/missing"):
                self.send_error(404)
                return
            if state.failures:
                state.failures -= 1
                self.send_error(503)
                return
            begin = 0
            found = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
            fresh = self.headers.get("If-Range") in (None, state.etag)
            if found and state.ranges and fresh:
                begin = int(found[1])
                if begin >= len(state.body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(state.body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                span = f"bytes {begin}-{len(state.body) - 1}/{len(state.body)}"
                self.send_header("Content-Range", span)
            else:
                self.send_response(200)
            if state.etag:
                self.send_header("ETag", state.etag)
            self.send_header("Content-Length", str(len(state.body) - begin))
            self.end_headers()
            rest = state.body[begin:]
            self.wfile.write(rest[: state.cuts.pop(0)] if state.cuts else rest)

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{listening.server_port}"
    yield state
    listening.shutdown()
    listening.server_close()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_nothing_else_stays(server: Server, tmp_path: Path) -> None:
    target = fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin", SHA256)
    assert target.read_bytes() == BODY
    assert leftovers(tmp_path) == ["f.bin"]


def test_progress_is_shown(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin")
    assert "download f.bin: 300,000 bytes" in capfd.readouterr().err


def test_a_cut_transfer_goes_on_from_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin", SHA256).read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_run_goes_on_where_a_killed_one_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000] + [0] * 5
    with pytest.raises(InputError, match="run again to go on"):
        fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin")
    assert not (tmp_path / "f.bin").exists()
    server.asked.clear()
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin").read_bytes() == BODY
    assert server.asked == ["bytes=100000-"]


def test_a_file_that_changed_in_between_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000] + [0] * 5
    with pytest.raises(InputError):
        fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin")
    server.body, server.etag = BODY[::-1], '"two"'
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin").read_bytes() == BODY[::-1]


def test_a_changed_file_without_validator_is_caught_by_its_checksum(
    server: Server, tmp_path: Path
) -> None:
    server.etag, server.cuts = None, [100_000] + [0] * 5
    changed = Checksum("sha256", hashlib.sha256(BODY[::-1]).hexdigest())
    with pytest.raises(InputError):
        fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin", changed)
    server.body = BODY[::-1]
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin", changed).read_bytes() == BODY[::-1]


def test_a_server_without_ranges_makes_it_start_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [100_000]
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin").read_bytes() == BODY


def test_bytes_without_validator_or_checksum_are_never_joined(
    server: Server, tmp_path: Path
) -> None:
    server.etag, server.cuts = None, [100_000]
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin").read_bytes() == BODY
    assert server.asked == [None, None]


def test_a_transfer_cut_after_its_last_byte_is_recognised_as_complete(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin")
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin").read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-"]


def test_passing_failures_of_the_server_are_tried_again(server: Server, tmp_path: Path) -> None:
    server.failures = 3
    assert fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin").read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"md5 is \w+, expected 00"):
        fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin", Checksum("md5", "00"))
    assert leftovers(tmp_path) == []


def test_a_right_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(BODY)
    fetch_url(f"{server.url}/f.bin", tmp_path / "f.bin", SHA256)
    assert server.asked == []


def test_a_missing_page_and_a_dead_server_end_in_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="404") as error:
        fetch_url(f"{server.url}/missing.bin", tmp_path / "f.bin")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="refused") as error:
        fetch_url("http://127.0.0.1:1/f.bin", tmp_path / "f.bin")
    assert "\n" not in str(error.value)


def test_file_urls_are_copied_and_missing_ones_named(tmp_path: Path) -> None:
    (tmp_path / "here.bin").write_bytes(BODY)
    url = (tmp_path / "here.bin").as_uri()
    assert fetch_url(url, tmp_path / "x" / "there.bin").read_bytes() == BODY
    with pytest.raises(InputError, match="No such file"):
        fetch_url((tmp_path / "gone.bin").as_uri(), tmp_path / "x.bin")


def test_other_schemes_and_nameless_urls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a URL"):
        fetch_url("ftp://127.0.0.1/f", tmp_path / "f")
    with pytest.raises(InputError, match="names no file"):
        file_name("http://127.0.0.1/")


# Servers that lie, and URLs that are none.


@dataclass
class Answer:
    """What a lying server sends at one request."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[Answer]]]:
    """A server that sends the given answers one after the other, the last one again and again."""
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    answers: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/f.csv", answers
        listening.shutdown()


def whole(body: bytes, etag: str = '"one"', **headers: str) -> Answer:
    return Answer(body, 200, {"Content-Length": str(len(body)), "ETag": etag, **headers})


def cut(etag: str = '"one"') -> Answer:
    """The first 100,000 bytes of `BODY`, and then the connection ends."""
    return Answer(BODY[:100_000], 200, {"Content-Length": str(len(BODY)), "ETag": etag})


def part(body: bytes, span: str, **headers: str) -> Answer:
    return Answer(body, 206, {"Content-Length": str(len(body)), "Content-Range": span, **headers})


REST = "bytes 100000-299999/300000"


@pytest.mark.parametrize("headers", [{"ETag": '"two"'}, {"ETag": 'W/"one"'}, {}])
def test_a_part_of_another_version_is_never_joined(
    lying: tuple[str, list[Answer]], tmp_path: Path, headers: dict[str, str]
) -> None:
    url, answers = lying
    other = BODY[::-1]
    answers += [cut(), part(other[100_000:], REST, **headers), whole(other, '"two"')]
    assert fetch_url(url, tmp_path / "f").read_bytes() == other
    assert leftovers(tmp_path) == ["f"]


def test_a_part_of_the_same_version_is_joined(
    lying: tuple[str, list[Answer]], tmp_path: Path
) -> None:
    url, answers = lying
    answers += [cut(), part(BODY[100_000:], REST, ETag='"one"'), Answer(b"", 500)]
    assert fetch_url(url, tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("etag", ['W/"one"', ""])
def test_nothing_is_joined_to_bytes_of_a_version_without_a_strong_name(
    lying: tuple[str, list[Answer]], tmp_path: Path, etag: str
) -> None:
    url, answers = lying
    answers += [cut(etag), whole(BODY[::-1], etag)]
    assert fetch_url(url, tmp_path / "f").read_bytes() == BODY[::-1]


@pytest.mark.parametrize(
    "span",
    [
        *("", "bytes", "bytes 100000-299999/*", "bytes */300000", "bytes 0-299999/300000"),
        *("bytes 5-9/10", "items 100000-299999/300000", "bytes 100000-299999/99", "bytes -1-2/3"),
        *("bytes 100000-299999/" + "9" * 5000, "bytes \u0663-9/10", "bytes 100001-299999/300000"),
    ],
)
def test_an_unusable_content_range_makes_it_start_again(
    lying: tuple[str, list[Answer]], tmp_path: Path, span: str
) -> None:
    url, answers = lying
    lie = part(BODY[:10], span.encode("utf-8").decode("latin-1"), ETag='"one"')
    answers += [cut(), lie, whole(BODY)]
    assert fetch_url(url, tmp_path / "f").read_bytes() == BODY


def test_a_part_that_nobody_asked_for_is_no_file(
    lying: tuple[str, list[Answer]], tmp_path: Path
) -> None:
    url, answers = lying
    for span in ("", "bytes 0-9/*", "bytes 0-9/10"):
        answers[:] = [part(BODY[:10], span)]
        with pytest.raises(InputError, match="a part was sent where the whole was asked for"):
            fetch_url(url, tmp_path / "f")
        assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><title>Log in</title>", "a web page, not a file"),
        (b"\xef\xbb\xbf\r\n <HTML>", "a web page, not a file"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    ],
)
def test_what_is_no_data_is_not_taken_for_a_table(
    lying: tuple[str, list[Answer]], tmp_path: Path, body: bytes, message: str
) -> None:
    url, answers = lying
    answers.append(whole(body))
    with pytest.raises(InputError, match=message):
        fetch_url(url, tmp_path / "f")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("status", [203, 204, 205, 207, 300, 304, 401, 403, 404, 410])
def test_other_answers_are_refused_at_once(
    lying: tuple[str, list[Answer]], tmp_path: Path, status: int
) -> None:
    url, answers = lying
    answers.append(Answer(b"", status, {"Content-Length": "0"}))
    with pytest.raises(InputError, match=rf"^\S+/f.csv: {status} "):
        fetch_url(url, tmp_path / "f")


def test_a_file_of_unknown_length_is_refused_unless_its_checksum_is_known(
    lying: tuple[str, list[Answer]], tmp_path: Path
) -> None:
    url, answers = lying
    answers.append(Answer(BODY))
    for headers in ({}, {"Content-Length": "many"}, {"Content-Length": "-5"}):
        answers[0].headers = headers
        with pytest.raises(InputError, match="does not say how long the file is"):
            fetch_url(url, tmp_path / "f")
    assert fetch_url(url, tmp_path / "f", SHA256).read_bytes() == BODY


def test_chunks_are_read_to_their_end_and_a_missing_one_is_noticed(
    lying: tuple[str, list[Answer]], tmp_path: Path
) -> None:
    url, answers = lying
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    chunked = {"Transfer-Encoding": "chunked"}
    answers += [Answer(chunk, 200, chunked), Answer(chunk + b"0\r\n\r\n", 200, chunked)]
    assert fetch_url(url, tmp_path / "f").read_bytes() == BODY
    assert len(answers) == 1  # the first one, which lacks its last chunk, was not enough
    answers[:] = [Answer(chunk[:1000], 200, chunked)]
    with pytest.raises(InputError, match="tried 5 times"):
        fetch_url(url, tmp_path / "g")


def test_a_repacked_file_is_refused_but_for_one_that_is_packed_by_name(
    lying: tuple[str, list[Answer]], tmp_path: Path
) -> None:
    url, answers = lying
    answers.append(whole(BODY, **{"Content-Encoding": "gzip"}))
    with pytest.raises(InputError, match="sent packed as gzip"):
        fetch_url(url, tmp_path / "f")
    assert fetch_url(url + ".gz", tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize(
    "target", ["ftp://127.0.0.1/f", "file:///etc/passwd", "http://[::1", "http://127.0.0.1:99999/"]
)
def test_a_redirect_to_something_else_than_http_is_not_followed(
    lying: tuple[str, list[Answer]], tmp_path: Path, target: str
) -> None:
    url, answers = lying
    answers += [Answer(b"", 302, {"Location": target, "Content-Length": "0"}), whole(BODY)]
    with pytest.raises(InputError) as error:
        fetch_url(url, tmp_path / "f")
    assert str(error.value).startswith(url) and "tried" not in str(error.value)
    assert answers[0].body == BODY  # it was asked once only


def test_a_redirect_from_https_to_http_is_refused_unless_the_checksum_is_known() -> None:
    answers = [requests.Response(), requests.Response()]
    for answer, scheme in zip(answers, ("https", "http"), strict=True):
        answer.url, answer.status_code = f"{scheme}://127.0.0.1/f", 200
        answer.headers["Content-Length"] = "1"
    answers[1].history = answers[:1]
    with pytest.raises(InputError, match=r"leads to .*, which anybody can change"):
        download._check_answer(answers[1], answers[0].url, known=False)
    download._check_answer(answers[1], answers[0].url, known=True)


def test_a_circle_of_redirects_ends(lying: tuple[str, list[Answer]], tmp_path: Path) -> None:
    url, answers = lying
    answers.append(Answer(b"", 302, {"Location": "/f.csv", "Content-Length": "0"}))
    with pytest.raises(InputError, match="redirects"):
        fetch_url(url, tmp_path / "f")


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        *("http://me:hunter2@127.0.0.1:1/f.csv", "http://127.0.0.1:1/f.csv?key=hunter2"),
        *(
            "http://me:hunter2@x@127.0.0.1:1/f",
            "http://me:hunter2@[::1",
            "http://me:hunter2@/",
        ),
        *(
            "ftp://me:hunter2@127.0.0.1/f",
            "http://me:hunter2@127.0.0.1:port/f",
            "file:///f?hunter2",
        ),
    ],
)
def test_what_a_url_keeps_secret_is_in_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    with pytest.raises(InputError) as error:
        fetch_url(url, tmp_path / "f")
    assert SECRET not in str(error.value)
    with pytest.raises(InputError) as error:
        own = Place(()).of_own_tables({"i.csv": "preprocess.table.interactions"})
        places.fetch("table", own, url, tmp_path / "raw")
    assert SECRET not in str(error.value)


def test_user_and_password_are_sent_though_never_shown(server: Server, tmp_path: Path) -> None:
    url = server.url.replace("//", "//me:hunter2@")
    with pytest.raises(InputError, match="404") as error:
        fetch_url(f"{url}/missing", tmp_path / "f")
    assert SECRET not in str(error.value)
    assert fetch_url(f"{url}/f.bin", tmp_path / "f").read_bytes() == BODY
    assert server.credentials[-1] == "Basic bWU6aHVudGVyMg=="


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1", "http://[", "http://]/", "http://[::1]:x/f", "http:///f", "http://a b/f"),
        *("http://\0/f", "http://..../f", f"http://{'a' * 300}/f", "https://ä\ud800/f"),
        "file://[/f",
    ],
)
def test_what_is_no_url_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    with pytest.raises(InputError) as error:
        places.fetch("table", Place(()), url, tmp_path / "raw")
    assert "\n" not in str(error.value)


# The user's own files.


def odd_file(path: Path, kind: str) -> Path:
    """Makes what is no regular file, or none that is there."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "link to nothing":
        path.symlink_to(path.parent / "gone")
    elif kind == "links in a circle":
        (path.parent / "other").symlink_to(path.name)
        path.symlink_to("other")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    return path


KINDS = ("folder", "pipe", "device", "link to nothing", "links in a circle", "socket")


@pytest.mark.parametrize("kind", KINDS)
def test_no_device_and_no_broken_link_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    own = Place(()).of_own_tables({"x.csv": "preprocess.table.interactions"})
    for dataset in (own, Place(("x.csv",))):
        source = tmp_path / "in"
        source.mkdir()
        odd_file(Path("in/x.csv"), kind)
        with pytest.raises(InputError, match=f"x.csv: a? ?{kind}"):
            places.fetch("any", dataset, "in", tmp_path / "raw")
        if kind != "folder":
            with pytest.raises(InputError, match=f"x.csv: a? ?{kind}"):
                places.fetch("any", dataset, "in/x.csv", tmp_path / "raw2")
            with pytest.raises(InputError, match=f"x.csv: a? ?{kind}"):
                fetch_url((source / "x.csv").as_uri(), tmp_path / "f")
        for folder in ("in", "raw", "raw2"):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "\ud800", "x" * 5000])
def test_a_path_that_no_file_can_have_is_one_line(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError) as error:
        places.fetch("table", Place(()), path, tmp_path / "raw")
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


# Wheels.


def wheel_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder that pip takes wheels from, with one real wheel; returns its SHA-256."""
    folder.mkdir()
    wheel = folder / "tiny_data-1.0-py3-none-any.whl"
    info = "tiny_data-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\nRequires-Dist: nowhere\n"
    about = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_data/a.txt", "A")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", about)
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_pinned_wheel_comes_without_its_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = wheel_index(tmp_path / "index", monkeypatch)
    wheel = fetch_wheel("tiny-data==1.0", sha256, tmp_path / "got")
    assert leftovers(tmp_path / "got") == ["tiny_data-1.0-py3-none-any.whl"]
    (tmp_path / "index" / wheel.name).unlink()  # the second time, nothing is asked for
    assert fetch_wheel("tiny-data==1.0", sha256, tmp_path / "got") == wheel


def test_another_wheel_than_the_pinned_one_is_refused_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel_index(tmp_path / "index", monkeypatch)
    with pytest.raises(InputError, match="sha256 is"):
        fetch_wheel("tiny-data==1.0", "0" * 64, tmp_path / "got")
    assert leftovers(tmp_path / "got") == []
    with pytest.raises(InputError, match="pip could not download"):
        fetch_wheel("tiny-data==2.0", "0" * 64, tmp_path / "got")
