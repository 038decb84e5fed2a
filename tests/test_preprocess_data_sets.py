"""Public data sets by name: generated files of the same format, from a folder and from a server."""

import gzip
import hashlib
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from own_table import NAMES, PREPROCESS

from stages import datasets
from stages.datasets.building import places
from stages.datasets.building.build import build
from stages.datasets.building.checks import check
from stages.datasets.building.dataset import protocol
from stages.datasets.building.looking import look
from stages.io.downloads import Checksum
from stages.io.errors import InputError

ROOT = Path(__file__).parents[1]
FILMS = ["ml-latest-small", "ml-20m", "ml-25m", "ml-32m"]
MS = 1_588_687_728_923  # 2020-05-05 14:08:48


@pytest.fixture
def served(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """A folder and the URL under which it is served; the working folder is empty."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return served


def films(line_end: str = "\r\n") -> dict[str, str]:
    """`ratings.csv` and `movies.csv` as GroupLens writes them, of 5 users and 25 films."""
    rows = [
        (user, film, (user + film) % 10 / 2 + 0.5, 1_147_880_044 + 1000 * film)
        for user in range(1, 6)
        for film in range(1, 26)
    ]
    movies = [(film, f"Film {film} (19{70 + film})") for film in range(1, 25)]
    movies += [(25, '"American President, The (1995)"')]
    ratings = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in rows)]
    titles = ["movieId,title,genres", *(f"{film},{title},Drama|War" for film, title in movies)]
    end = {"ratings.csv": ratings, "movies.csv": titles}
    return {name: line_end.join(lines) + line_end for name, lines in end.items()}


def built(name: str, raw: Path) -> list[dict]:
    dataset = datasets.load(name)
    rules = protocol(dataset, PREPROCESS)
    found = dataset.read(raw, NAMES)
    made = build(found, rules, 25)
    check(made, rules.split, keep_history=25, n_raw=found.interactions.num_rows)
    titles = dict(zip(made.items["iid"].to_pylist(), made.items["title"].to_pylist(), strict=True))
    return [{**row, "title": titles[row["iid"]]} for row in made.interactions.to_pylist()]


@pytest.mark.parametrize("name", FILMS)
def test_a_release_of_movielens_comes_from_its_place_verified(
    name: str, served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = served
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for file, text in {**films(), "genome-scores.csv": "x", "README.txt": "x"}.items():
            archive.writestr(f"{name}/{file}", text)
    place = datasets.load(name).place
    ((own, checksum),) = place.urls
    assert own.endswith(f"/{name}.zip") and (checksum is None) == (name == "ml-latest-small")
    md5 = Checksum("md5", hashlib.md5((folder / f"{name}.zip").read_bytes()).hexdigest())
    here = replace(place, urls=((f"{url}/{name}.zip", md5),))
    places.fetch(name, here, None, tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "movies.csv",
        "ratings.csv",
    ]
    rows = built(name, tmp_path / "raw")
    assert len(rows) == 125 and [row["label"] for row in rows[:10]] == [0] * 5 + [1, 1, 1, 0, 0]
    assert rows[24]["title"] == "American President, The (1995)"
    assert rows[0]["timestamp"] == 1_147_881_044
    with pytest.raises(InputError, match="md5 is"):
        wrong = replace(place, urls=((f"{url}/{name}.zip", Checksum("md5", "0")),))
        places.fetch(name, wrong, None, tmp_path / "raw2")


def test_a_folder_of_a_release_gives_the_two_files_and_no_others(tmp_path: Path) -> None:
    for file, text in {**films("\n"), "genome-scores.csv": "large"}.items():
        (tmp_path / "in/ml-25m").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in/ml-25m" / file).write_text(text)
    places.fetch("ml-25m", datasets.load("ml-25m").place, str(tmp_path / "in"), tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "movies.csv",
        "ratings.csv",
    ]
    assert len(built("ml-25m", tmp_path / "raw")) == 125


def test_the_two_layouts_of_ml_100k_say_the_same(tmp_path: Path) -> None:
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    rows = "".join(f"{n % 4}\t{n % 3}\t{n % 5 + 1}\t{881_250_949 + n}\n" for n in range(12))
    titles = ['Toy "Story"', "Misérables, Les", "Kolya"]
    for name in ("recbole", "grouplens"):
        (tmp_path / name).mkdir()
    (tmp_path / "recbole/ml-100k.inter").write_text(head + rows)
    (tmp_path / "grouplens/u.data").write_text(rows)
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    lines = "".join(f"{n}\t{title}\t1996\tX\n" for n, title in enumerate(titles))
    (tmp_path / "recbole/ml-100k.item").write_text(head + lines)
    genres = "|".join("0" * 19)
    lines = "".join(
        f"{n}|{title} (1996)|01-Jan-1996||http://x/{n}|{genres}\n" for n, title in enumerate(titles)
    )
    (tmp_path / "grouplens/u.item").write_bytes(lines.encode("latin-1"))
    read = datasets.load("ml-100k").read
    one, other = (read(tmp_path / name, NAMES) for name in ("recbole", "grouplens"))
    assert one.interactions.equals(other.interactions)
    assert one.titles.to_pylist() == other.titles.to_pylist()
    assert other.titles["title"].to_pylist()[1] == "Misérables, Les (1996)"


@pytest.mark.parametrize(
    ("name", "category"), [("amazon-beauty-2023", "All_Beauty"), ("amazon-books-2023", "Books")]
)
def test_a_category_of_amazon_2023_comes_from_a_server_in_milliseconds(
    name: str, category: str, served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, url = served
    reviews = [
        {"rating": float(1 + (u + i) % 5), "title": "So so", "text": "x", "images": [], "asin": "Z"}
        | {"parent_asin": f"B{i}", "user_id": f"U{u}", "timestamp": MS + 1000 * i}
        | {"helpful_vote": 0, "verified_purchase": True}
        for u in range(6)
        for i in range(6)
    ]
    reviews.append({**reviews[0], "user_id": "once"})
    books = [
        {"main_category": category, "title": f"Item {i} &amp; more", "parent_asin": f"B{i}"}
        for i in range(6)
    ]
    for file, lines in ((category, reviews), (f"meta_{category}", books)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{file}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    place = datasets.load(name).place
    assert [link for link, _ in place.urls] == [
        f"https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/{part}/{file}.jsonl.gz"
        for part, file in (("review_categories", category), ("meta_categories", f"meta_{category}"))
    ]
    places.fetch(name, place, f"{url}/", tmp_path / "raw")
    rows = built(name, tmp_path / "raw")
    assert len(rows) == 36  # the user of one review is gone
    assert rows[0]["timestamp"] == MS // 1000 and rows[0]["title"] == "Item 0 & more"
    assert sum(row["label"] for row in rows) == sum(it["rating"] >= 4 for it in reviews[:36])


def test_a_lone_surrogate_costs_its_line_and_is_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    review = {"rating": 5.0, "parent_asin": "B", "user_id": "U", "timestamp": MS}
    lines = [json.dumps(review), json.dumps({**review, "user_id": "\ud800"})]
    meta = [{"parent_asin": "B", "title": "T"}, {"parent_asin": "B", "title": "\udfff"}]
    for file, text in (
        ("All_Beauty", "\n".join(lines)),
        ("meta_All_Beauty", "\n".join(map(json.dumps, meta))),
    ):
        (tmp_path / f"{file}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    raw = datasets.load("amazon-beauty-2023").read(tmp_path, NAMES)
    assert raw.interactions["user"].to_pylist() == ["U"]
    assert raw.titles["title"].to_pylist() == ["T"]
    assert raw.counts["review_lines_unusable"] == raw.counts["metadata_lines_unusable"] == 1
    assert "All_Beauty.jsonl.gz: line 2: expected" in capfd.readouterr().err


# python -m stages.datasets


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def keys_of(line: str) -> dict[str, str]:
    words = re.findall(r"-S (?:'([^']+)'|(\S+))", line)
    return dict((one or other).split("=", 1) for one, other in words)


@pytest.mark.usefixtures("in_root")
def test_the_look_finds_the_keys_of_the_documented_example() -> None:
    *lines, command = look(Path("docs/own-data"))
    assert len(lines) <= 10 and any("15 rows" in line for line in lines)
    keys = keys_of(command)
    assert (
        keys["preprocess.table.user"] == "reader" and keys["preprocess.table.items"] == "books.csv"
    )
    assert keys["preprocess.split"] == "leave_last_out"  # five rows per user


@pytest.mark.usefixtures("in_root")
def test_the_look_finds_separator_encoding_scale_and_titles_in_one_file(tmp_path: Path) -> None:
    rows = [
        f"u{u};{i};Café {i};{1 + (u * i) % 10};{MS + i}" for u in range(1, 9) for i in range(1, 21)
    ]
    text = "\n".join(["User-ID;ISBN;Book-Title;Book-Rating;date", *rows])
    (tmp_path / "BX.csv").write_bytes(text.encode("latin-1"))
    *lines, command = look(tmp_path)
    keys = keys_of(command)
    table = {key.rpartition(".")[2]: value for key, value in keys.items() if ".table." in key}
    assert table == {
        **{"interactions": "BX.csv", "items": "null", "user": "User-ID", "item": "ISBN"},
        **{"title": "Book-Title", "rating": "Book-Rating", "timestamp": "date"},
        **{"separator": '";"', "encoding": "latin-1"},
    }
    assert any(line.startswith("gives 160 rows") for line in lines), lines


@pytest.mark.usefixtures("in_root")
def test_the_look_draws_dislikes_where_there_are_likes_alone(tmp_path: Path) -> None:
    rows = "".join(f"u{u},{i},T{i},1\n" for u in range(1, 9) for i in range(u, u + 20))
    (tmp_path / "clicks.csv").write_text("user,item,title,rating\n" + rows)
    *lines, command = look(tmp_path / "clicks.csv")
    assert keys_of(command)["preprocess.table.negatives"] == "{per_event: 1, seed: 1}"
    assert keys_of(command)["preprocess.table.rating"] == "null"
    assert any("rows of label 0 drawn" in line for line in lines), lines


@pytest.mark.usefixtures("in_root")
def test_the_look_says_what_does_not_do_yet_and_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,title,rating\nu,1,T,five\n")
    assert any("does not do yet: " in line and "'five'" in line for line in look(tmp_path))
    (tmp_path / "a.csv").write_text("who,what\n1,2\n")
    with pytest.raises(InputError, match="no table with columns named like user and item"):
        look(tmp_path)
    (tmp_path / "b.jsonl").write_text("x")
    with pytest.raises(InputError, match="no table; expected CSV, TSV"):
        look(tmp_path / "b.jsonl")
