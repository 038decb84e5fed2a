"""fetch_data: from its own place, a folder, an archive, a URL; and what it refuses."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stages import datasets
from stages.datasets.building import places
from stages.datasets.building.places import Place
from stages.io.downloads import DOWNLOADS, Checksum
from stages.io.errors import InputError
from stages.io.outputs import replacing, together

ROOT = Path(__file__).parents[1]
ML_1M = {"ratings.dat": "1::1::5::956703932\n", "movies.dat": "1::A (1990)::Drama\n"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fill(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def archive(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def fetch(dataset: str, source: str | None, folder: Path, *own: str) -> None:
    place = datasets.load(dataset).place
    if dataset == "table":
        place = place.of_own_tables(dict.fromkeys(own or ("i.csv",), "preprocess.table.items"))
    places.fetch(dataset, place, source, folder)


def test_a_folder_gives_the_files_of_the_set_and_no_others(tmp_path: Path) -> None:
    fill(tmp_path / "in", {**ML_1M, "users.dat": "secret"})
    fetch("ml-1m", "in", tmp_path / "raw")
    assert content(tmp_path / "raw") == ML_1M


def test_a_folder_may_hold_the_unpacked_folder(tmp_path: Path) -> None:
    fill(tmp_path / "in" / "ml-1m", ML_1M)
    fetch("ml-1m", "in", tmp_path / "raw")
    assert content(tmp_path / "raw") == ML_1M


def test_an_archive_gives_the_files_wherever_they_lie_in_it(tmp_path: Path) -> None:
    inner = {f"ml-1m/{name}": text for name, text in ML_1M.items()}
    archive(tmp_path / "a.zip", {**inner, "../escape": "x", "ml-1m/README": "x"})
    fetch("ml-1m", "a.zip", tmp_path / "raw")
    assert content(tmp_path / "raw") == ML_1M
    assert not (tmp_path / "escape").exists()


def test_an_archive_is_fetched_from_its_own_place_and_verified(
    tmp_path: Path, served: tuple[Path, str]
) -> None:
    folder, url = served
    path = archive(folder / "ml-1m.zip", {f"ml-1m/{name}": text for name, text in ML_1M.items()})
    md5 = Checksum("md5", hashlib.md5(path.read_bytes()).hexdigest())
    place = Place(datasets.load("ml-1m").place.files, urls=((f"{url}/ml-1m.zip", md5),))
    places.fetch("ml-1m", place, None, tmp_path / "raw")
    assert content(tmp_path / "raw") == ML_1M
    wrong = Place(place.files, urls=((f"{url}/ml-1m.zip", Checksum("md5", "0")),))
    with pytest.raises(InputError, match="md5 is"):
        places.fetch("ml-1m", wrong, None, tmp_path / "raw2")


def test_a_url_that_ends_in_a_slash_is_a_folder(tmp_path: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    files = {"Books_5.json.gz": "reviews", "meta_Books.json.gz": "titles"}
    fill(folder / "amazon", files)
    fetch("amazon-book", f"{url}/amazon/", tmp_path / "raw")
    assert content(tmp_path / "raw") == files
    assert not [path for path in (tmp_path / DOWNLOADS).rglob("*") if path.is_file()]


def test_a_file_that_arrived_before_the_cut_is_not_fetched_twice(
    tmp_path: Path, served: tuple[Path, str]
) -> None:
    folder, url = served
    fill(folder, {"Books_5.json.gz": "reviews"})
    with pytest.raises(InputError, match="404"):
        fetch("amazon-book", f"{url}/", tmp_path / "raw")
    (folder / "Books_5.json.gz").unlink()
    fill(folder, {"meta_Books.json.gz": "titles"})
    fetch("amazon-book", f"{url}/", tmp_path / "raw2")
    assert content(tmp_path / "raw2")["Books_5.json.gz"] == "reviews"


@pytest.mark.parametrize("source", ["file.zip", "folder/"])
def test_a_download_is_kept_until_the_output_is_in_its_place(
    tmp_path: Path, served: tuple[Path, str], source: str
) -> None:
    folder, url = served
    archive(folder / "file.zip", ML_1M)
    fill(folder / "folder", ML_1M)

    def cut() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), together(cut), replacing(tmp_path / "raw") as partial:
        fetch("ml-1m", f"{url}/{source}", partial)
    assert not (tmp_path / "raw").exists()
    shutil.rmtree(folder)  # nothing more is to be had
    with together(), replacing(tmp_path / "raw") as partial:
        fetch("ml-1m", f"{url}/{source}", partial)
    assert content(tmp_path / "raw") == ML_1M
    assert not [path for path in (tmp_path / DOWNLOADS).rglob("*") if path.is_file()]


def test_own_tables_come_from_a_folder_a_file_an_archive_or_a_url(
    tmp_path: Path, served: tuple[Path, str]
) -> None:
    tables = {"clicks.csv": "u,i", "books.tsv": "i\tt"}
    source = fill(tmp_path / "in", {**tables, "genome-scores.csv": "large", "notes.txt": "x"})
    fetch("table", str(source), tmp_path / "a", *tables)
    assert content(tmp_path / "a") == tables
    fetch("table", str(source / "clicks.csv"), tmp_path / "b", "clicks.csv")
    assert content(tmp_path / "b") == {"clicks.csv": "u,i"}
    archive(served[0] / "t.zip", {f"deep/{name}": text for name, text in tables.items()})
    fetch("table", f"{served[1]}/t.zip", tmp_path / "c", *tables)
    assert content(tmp_path / "c") == tables
    fill(served[0], tables)
    fetch("table", f"{served[1]}/", tmp_path / "d", *tables)
    assert content(tmp_path / "d") == tables
    fetch("table", f"{served[1]}/clicks.csv", tmp_path / "e", "clicks.csv")
    assert content(tmp_path / "e") == {"clicks.csv": "u,i"}


def test_a_file_that_is_not_there_is_named_with_its_key_and_what_lies_there(
    tmp_path: Path,
) -> None:
    source = fill(tmp_path / "in", {"Ratings.PARQUET": "x", "b.csv.zst": "x", "notes.txt": "x"})
    message = r"0 files named 'i.csv' \(preprocess.table.items\), expected one; tables in it: "
    with pytest.raises(InputError, match=message + r"'Ratings.PARQUET', 'b.csv.zst'$"):
        fetch("table", str(source), tmp_path / "a")
    archive(tmp_path / "t.zip", {"deep/ratings.csv": "x", "notes.txt": "x"})
    with pytest.raises(InputError, match=message + "'deep/ratings.csv'$"):
        fetch("table", "t.zip", tmp_path / "b")
    with pytest.raises(InputError, match=r"not the 'i.csv' of preprocess.table.items"):
        fetch("table", str(source / "b.csv.zst"), tmp_path / "c")


def test_a_folder_named_like_a_table_a_dangling_link_and_a_loop_are_no_tables(
    tmp_path: Path,
) -> None:
    source = tmp_path / "in"
    (source / "i.csv").mkdir(parents=True)
    (source / "t.csv").symlink_to(source / "nowhere")
    (source / "loop").symlink_to(source)
    with pytest.raises(InputError, match=r"i.csv: a folder, expected a regular file"):
        fetch("table", str(source), tmp_path / "a")
    with pytest.raises(InputError, match=r"t.csv: a link to nothing"):
        fetch("table", str(source), tmp_path / "b", "t.csv")


@pytest.mark.parametrize("kind", ["folder", "unpacked", "archive"])
def test_ml_100k_is_taken_in_the_layout_of_grouplens_too(tmp_path: Path, kind: str) -> None:
    files = {"u.data": "196\t242\t3\t881250949\n", "u.item": "242|Kolya (1996)\n"}
    inner = {f"ml-100k/{name}": text for name, text in {**files, "u1.base": "x"}.items()}
    source = tmp_path / "in"
    if kind == "archive":
        source = archive(tmp_path / "ml-100k.zip", inner)
    else:
        fill(source if kind == "folder" else source / "ml-100k", {**files, "README": "x"})
    fetch("ml-100k", str(source), tmp_path / "raw")
    assert content(tmp_path / "raw") == files


@pytest.mark.parametrize(
    ("dataset", "source", "message"),
    [
        ("ml-1m", "nowhere", "no such file or folder, and no URL"),
        ("ml-1m", "empty", "holds 0 files named 'ratings.dat'"),
        ("ml-1m", "twice", "holds 2 files named 'ratings.dat'"),
        ("ml-1m", "broken.zip", "expected a sound zip archive"),
        ("table", "empty", "0 files named 'i.csv'.*it holds no table"),
        ("table", "notes.txt", "expected a sound zip archive"),
        ("table", None, "has no place of its own"),
    ],
)
def test_what_cannot_be_fetched_is_refused_in_one_line(
    tmp_path: Path, dataset: str, source: str | None, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("one", "two"):
        fill(tmp_path / "twice" / name, ML_1M)
    fill(tmp_path, {"broken.zip": "PK\3\4 and then nothing", "notes.txt": "x"})
    with pytest.raises(InputError, match=message) as error:
        fetch(dataset, source, tmp_path / "raw")
    assert "\n" not in str(error.value)


def run_stage(folder: Path, dataset: str, source: str) -> subprocess.CompletedProcess[str]:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("dataset: ml-100k", f"dataset: {dataset}", 1)
    text = text.replace("  source: null  # null = the", f"  source: {source}  # null = the", 1)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "stages.fetch_data"]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


def test_the_stage_ends_in_one_line_with_status_2_and_writes_nothing(tmp_path: Path) -> None:
    ended = run_stage(tmp_path, "ml-1m", "nowhere")
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: fetch_data.source = 'nowhere': no such file or folder, and no URL\n"
    )
    assert not (tmp_path / "data/raw").exists()


def test_the_stage_replaces_data_raw_as_a_whole(tmp_path: Path) -> None:
    fill(tmp_path / "in", ML_1M)
    fill(tmp_path / "data/raw", {"old.csv": "x"})
    ended = run_stage(tmp_path, "ml-1m", "in")
    assert ended.returncode == 0, ended.stderr
    assert content(tmp_path / "data/raw") == ML_1M
