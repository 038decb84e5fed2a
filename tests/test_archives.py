"""Archives from outside: what is wrong with one is a line, and nothing leaves the target folder."""

import random
import struct
import zipfile
from pathlib import Path

import pytest

from stages.datasets.building import places
from stages.datasets.building.places import Place
from stages.io import archives
from stages.io.archives import extract, inside, member_names
from stages.io.errors import InputError

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
TABLE = "".join(f"{n},{n * 7919 % 1000},{n % 5 + 1}\n" for n in range(400))


def archive_of(path: Path, members: dict[str, str], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fetch_tables(source: Path, folder: Path) -> None:
    own = Place(()).of_own_tables({"a.csv": "preprocess.table.interactions"})
    places.fetch("table", own, str(source), folder)


def test_only_named_members_are_extracted(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"x/a": "A", "x/b": "B"})
    extract(archive, {"x/a": "a"}, tmp_path / "out")
    assert leftovers(tmp_path / "out") == ["a"]
    assert (tmp_path / "out/a").read_text() == "A"


@pytest.mark.parametrize("method", METHODS)
def test_members_of_every_method_come_out_as_they_went_in(tmp_path: Path, method: int) -> None:
    archive = archive_of(tmp_path / "a.zip", {"a.csv": TABLE}, method)
    fetch_tables(archive, tmp_path / "out")
    assert (tmp_path / "out/a.csv").read_text() == TABLE


@pytest.mark.parametrize("target", ["../a", "/etc/a", "x/../../a", ".", ""])
def test_no_member_leaves_the_target_folder(tmp_path: Path, target: str) -> None:
    archive = archive_of(tmp_path / "a.zip", {"a": "A"})
    with pytest.raises(InputError, match="leaves the target folder"):
        extract(archive, {"a": target}, tmp_path / "out" / "deep")
    assert not (tmp_path / "a").exists() and not (tmp_path / "out/a").exists()


def test_links_inside_the_target_folder_are_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path)
    (tmp_path / "out/loop").symlink_to(tmp_path / "out/loop")
    with pytest.raises(InputError, match="leaves the target folder"):
        inside(tmp_path / "out", "link/a")
    for path in ("loop/a", "a\0b"):
        with pytest.raises(InputError, match="no path of a file"):
            inside(tmp_path / "out", path)


def patched(archive: Path, offset: int, content: bytes) -> Path:
    """Overwrites bytes of the entry in the archive's directory, and of the member's own header."""
    raw = bytearray(archive.read_bytes())
    entry, header = raw.index(b"PK\1\2"), raw.index(b"PK\3\4")
    raw[entry + offset : entry + offset + len(content)] = content
    if offset < 32:  # a member's own header has the same fields, two bytes earlier
        raw[header + offset - 2 : header + offset - 2 + len(content)] = content
    archive.write_bytes(raw)
    return archive


def broken_data(archive: Path, method: int) -> Path:
    """Overwrites a stretch of the member's packed bytes."""
    archive_of(archive, {"a.csv": TABLE}, method)
    raw = bytearray(archive.read_bytes())
    raw[40:90] = bytes(50)
    archive.write_bytes(raw)
    return archive


def one(path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    return archive_of(path, {"a.csv": TABLE}, method)


HAND_MADE = {
    "encrypted": lambda path: patched(one(path), 8, struct.pack("<H", 1)),
    "strongly encrypted": lambda path: patched(one(path), 8, struct.pack("<H", 0x41)),
    "patched data": lambda path: patched(one(path), 8, struct.pack("<H", 0x20)),
    "unknown method": lambda path: patched(one(path), 10, struct.pack("<H", 99)),
    "another method": lambda path: patched(one(path), 10, struct.pack("<H", zipfile.ZIP_LZMA)),
    "a later version": lambda path: patched(one(path), 6, struct.pack("<H", 999)),
    "wrong CRC": lambda path: patched(one(path), 16, b"\0\0\0\0"),
    "larger than it says": lambda path: patched(one(path), 24, struct.pack("<I", 10)),
    "smaller than it says": lambda path: patched(one(path), 24, struct.pack("<I", 10**6)),
    "offset beyond the end": lambda path: patched(one(path), 42, struct.pack("<I", 10**8)),
    "broken stored data": lambda path: broken_data(path, zipfile.ZIP_STORED),
    "broken deflate": lambda path: broken_data(path, zipfile.ZIP_DEFLATED),
    "broken bz2": lambda path: broken_data(path, zipfile.ZIP_BZIP2),
    "broken lzma": lambda path: broken_data(path, zipfile.ZIP_LZMA),
    "directory of noise": lambda path: patched(one(path), 4, bytes(range(7, 40))),
    "cut": lambda path: path.write_bytes(one(path).read_bytes()[:-30]),
    "no end of directory": lambda path: path.write_bytes(
        one(path).read_bytes().replace(b"PK\5\6", b"PK\6\5")
    ),
    "name of the wrong encoding": lambda path: path.write_bytes(
        archive_of(path, {"ä.csv": TABLE}).read_bytes().replace("ä".encode(), b"\xff\xff")
    ),
    "name too long": lambda path: archive_of(path, {"a" * 300 + ".csv": TABLE}),
    "one name twice": lambda path: archive_of(path, {"x/a.csv": TABLE, "y/a.csv": TABLE}),
    "nothing": lambda path: archive_of(path, {}),
    "a folder with a table's name": lambda path: archive_of(path, {"a.csv/": ""}),
    "hidden tables only": lambda path: archive_of(path, {".a.csv": TABLE}),
}


@pytest.mark.parametrize("fault", HAND_MADE)
def test_whatever_is_wrong_with_an_archive_is_one_line(tmp_path: Path, fault: str) -> None:
    archive = tmp_path / "a.zip"
    HAND_MADE[fault](archive)
    with pytest.raises(InputError) as error:
        fetch_tables(archive, tmp_path / "raw")
    assert str(archive) in str(error.value) and "\n" not in str(error.value)


def test_a_member_that_is_twice_in_the_directory_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a.csv", "1")
        archive.writestr("a.csv", "2")
    with pytest.raises(InputError, match=r"holds 2 files named 'a\.csv'"):
        fetch_tables(tmp_path / "a.zip", tmp_path / "raw")


def test_a_bomb_is_refused_before_a_byte_is_unpacked(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.csv", "w") as member,
    ):
        for _ in range(archives.ALWAYS_ALLOWED // (1 << 20) + 1):
            member.write(bytes(1 << 20))
    with pytest.raises(InputError, match=r"would unpack to 10\d,\d{3},\d{3}, more than 100 times"):
        fetch_tables(tmp_path / "a.zip", tmp_path / "raw")
    assert leftovers(tmp_path / "raw") == []


def test_a_bomb_of_members_that_share_their_bytes_is_counted_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 100_000)
    archive = tmp_path / "a.zip"
    archive_of(archive, {f"{n}.csv": "0" * 30_000 for n in range(10)}, zipfile.ZIP_LZMA)
    assert archive.stat().st_size * archives.MOST_TIMES < 300_000
    names = {f"{n}.csv": f"{n}.csv" for n in range(10)}
    with pytest.raises(InputError, match="would unpack to 300,000"):
        extract(archive, names, tmp_path / "raw")


def test_an_archive_that_does_not_fit_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(InputError, match=r"unpacks to [\d,]+ bytes, and 100 are free"):
        fetch_tables(one(tmp_path / "a.zip"), tmp_path / "raw")


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """Flips, overwrites, inserts, removes or cuts a few bytes; half of the time near the end."""
    found = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8))):
        lowest = max(0, len(found) - 300) if rng.random() < 0.5 else 0
        place = rng.randrange(lowest, len(found))
        kind = rng.randrange(6)
        if kind == 0:
            found[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[place] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            found[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1)))
        elif kind == 3:
            found[place:place] = rng.randbytes(rng.randrange(1, 20))
        elif kind == 4:
            del found[place : place + rng.randrange(1, 20)]
        elif rng.random() < 0.3:
            del found[place:]
        found = found or bytearray(1)
    return bytes(found)


def test_a_mutated_archive_gives_what_was_in_it_or_one_line(
    tmp_path: Path, fuzz_inputs: int
) -> None:
    rng = random.Random(15)
    sound = [
        archive_of(
            tmp_path / f"{n}.zip", {"x/a.csv": TABLE, "b.tsv": "b", "c": "c"}, n
        ).read_bytes()
        for n in METHODS
    ]
    refused = 0
    for number in range(fuzz_inputs):
        (tmp_path / "m.zip").write_bytes(mutated(rng.choice(sound), rng))
        folder = tmp_path / f"out{number}"
        try:
            fetch_tables(tmp_path / "m.zip", folder)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error), number
            continue
        for path in folder.iterdir():
            assert path.read_text() in (TABLE, "b"), number
    assert fuzz_inputs // 4 < refused < fuzz_inputs


def test_names_of_members_are_those_of_files(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.zip", {"x/": "", "x/a": "A"})
    assert member_names(archive) == ["x/a"]
    with pytest.raises(InputError, match="no such file"):
        member_names(tmp_path / "b.zip")
