"""Fetching: against a real server on 127.0.0.1 that cuts, resumes, lies and fails on demand."""

import hashlib
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages.io import downloads as download
from stages.io.downloads import Checksum, extract, fetch_url, fetch_wheel, file_name, inside
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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.headers.get("Range"))
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


def archive_of(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_only_named_members_are_extracted(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"x/a": "A", "x/b": "B"})
    extract(archive, {"x/a": "a"}, tmp_path / "out")
    assert leftovers(tmp_path / "out") == ["a"]
    assert (tmp_path / "out/a").read_text() == "A"


@pytest.mark.parametrize("target", ["../a", "/etc/a", "x/../../a", ".", ""])
def test_no_member_leaves_the_target_folder(tmp_path: Path, target: str) -> None:
    archive = archive_of(tmp_path / "a.zip", {"a": "A"})
    with pytest.raises(InputError, match="leaves the target folder"):
        extract(archive, {"a": target}, tmp_path / "out" / "deep")
    assert not (tmp_path / "a").exists() and not (tmp_path / "out/a").exists()


def test_a_link_inside_the_target_folder_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leaves the target folder"):
        inside(tmp_path / "out", "link/a")


def test_missing_members_and_damaged_archives_are_named(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"a": "A" * 1000})
    with pytest.raises(InputError, match="holds no member 'b'"):
        extract(archive, {"b": "b"}, tmp_path / "out")
    raw = bytearray(archive.read_bytes())
    raw[100] ^= 1
    archive.write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):
        extract(archive, {"a": "a"}, tmp_path / "out")
    archive.write_bytes(raw[:50])
    with pytest.raises(InputError, match="damaged"):
        extract(archive, {"a": "a"}, tmp_path / "out")


def wheel_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder that pip takes wheels from, with one real wheel; returns its SHA-256."""
    folder.mkdir()
    wheel = folder / "tiny_data-1.0-py3-none-any.whl"
    info = "tiny_data-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\nRequires-Dist: nowhere\n"
    archive_of(
        wheel,
        {
            "tiny_data/a.txt": "A",
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        },
    )
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
