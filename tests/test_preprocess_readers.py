"""Readers: Amazon's streams and everything that is wrong in them, MovieLens, own tables."""

import csv
import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_table import NAMES, documented_params, names
from ruamel.yaml import YAML

from benchmarks.preprocess_generate import write_amazon
from stages import datasets
from stages.datasets.amazon_book import FILES, METADATA, REVIEWS
from stages.datasets.building import json_lines
from stages.datasets.building.amazon import clean_titles, read_amazon
from stages.datasets.building.build import build
from stages.datasets.building.checks import check
from stages.datasets.building.params import Table
from stages.datasets.building.protocol import HalvedDecember, Protocol
from stages.datasets.building.raw import Raw
from stages.io.errors import InputError
from stages.io.tables import INTERACTIONS, ITEMS, SPLITS, read_table

ROOT = Path(__file__).parents[1]
JULY_2017 = 1_498_867_200


def review(n: int, **changes: Any) -> str:
    fields = {
        "overall": 5.0,
        "reviewerID": f"U{n}",
        "asin": f"{n:010d}",
        "reviewText": 'He said "no"\n<b>é</b>\u2028',
        "unixReviewTime": JULY_2017 + n,
    }
    return json.dumps({k: v for k, v in {**fields, **changes}.items() if v is not ...})


def book(n: int, title: Any = ..., **changes: Any) -> str:
    fields = {"asin": f"{n:010d}", "title": f"Book {n}" if title is ... else title}
    return json.dumps({**fields, **changes})


def write(folder: Path, reviews: list[str], books: list[str], end: str = "\n") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for name, lines in ((REVIEWS, reviews), (METADATA, books)):
        (folder / name).write_bytes(gzip.compress(("\n".join(lines) + end).encode()))
    return folder


def read_rows(folder: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    raw = read_amazon(folder, FILES, 2017)
    return raw.interactions.to_pylist(), dict(raw.counts)


def test_sound_lines_become_rows_in_the_order_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, [review(n) for n in (3, 1, 2)], [book(n) for n in (1, 2, 3)])
    rows, counts = read_rows(tmp_path)
    assert [row["user"] for row in rows] == ["U3", "U1", "U2"]
    assert rows[0] == {
        **{"user": "U3", "item": "0000000003", "rating": 5.0, "timestamp": JULY_2017 + 3}
    }
    assert counts["review_lines"] == 3 and counts["review_lines_broken"] == 0


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"overall": "4.0"}, "ratings_as_text"),
        ({"overall": 4}, None),
        ({"unixReviewTime": f"{JULY_2017}"}, "times_as_text"),
        ({"unixReviewTime": float(JULY_2017)}, None),
        ({"unixReviewTime": JULY_2017 + 0.5}, "times_with_fractions"),
    ],
)
@pytest.mark.parametrize("how_many", ["one", "all"])
def test_numbers_in_other_spellings_are_taken_and_counted(
    tmp_path: Path, changes: dict[str, Any], counted: str | None, how_many: str
) -> None:
    odd = [review(n, **changes) for n in range(1 if how_many == "one" else 5)]
    lines = odd + [review(n) for n in range(len(odd), 5)]
    write(tmp_path, lines, [book(n) for n in range(5)])
    rows, counts = read_rows(tmp_path)
    assert [row["user"] for row in rows] == [f"U{n}" for n in range(5)]
    assert rows[0]["rating"] == float(changes.get("overall", 5))
    assert rows[0]["timestamp"] == JULY_2017
    odd_counts = {
        key: counts[key] for key in ("ratings_as_text", "times_as_text", "times_with_fractions")
    }
    assert odd_counts == {key: len(odd) if key == counted else 0 for key in odd_counts}


@pytest.mark.parametrize(
    ("bad", "counted"),
    [
        (review(7)[:40], "review_lines_broken"),
        ("", "review_lines_broken"),
        ("[1, 2]", "review_lines_broken"),
        ("\x00\x01", "review_lines_broken"),
        (review(7) + review(8), "review_lines_broken"),
        (review(7, overall="five"), "review_lines_unusable"),
        (review(7, overall=None), "review_lines_unusable"),
        (review(7, overall=True), "review_lines_unusable"),
        (review(7, overall="nan"), "review_lines_unusable"),
        (review(7, overall=...), "review_lines_unusable"),
        (review(7, asin=...), "review_lines_unusable"),
        (review(7, asin=""), "review_lines_unusable"),
        (review(7, reviewerID=12), "review_lines_unusable"),
        (review(7, unixReviewTime=[1]), "review_lines_unusable"),
    ],
)
def test_a_bad_line_costs_itself_and_is_counted_and_named(
    tmp_path: Path, bad: str, counted: str, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [review(n) for n in range(5)]
    write(tmp_path, [*lines[:2], bad, *lines[2:]], [book(n) for n in range(9)])
    rows, counts = read_rows(tmp_path)
    assert [row["user"] for row in rows] == [f"U{n}" for n in range(5)]
    names = ("review_lines_broken", "review_lines_unusable")
    assert {key: counts[key] for key in names} == {key: int(key == counted) for key in names}
    assert f"{REVIEWS}: line 3: " in capfd.readouterr().err


@pytest.mark.parametrize("odd", ["null", " null", "null\r", "true", "7", '"x"', "[null]"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_line_that_is_no_object_is_a_broken_one(tmp_path: Path, odd: str, before: int) -> None:
    """Where one is `null` before any object, Arrow's reader ends the process."""
    lines = [review(n) for n in range(5)]
    write(tmp_path, [*lines[:before], odd, *lines[before:]], [book(n) for n in range(5)])
    rows, counts = read_rows(tmp_path)
    assert [row["user"] for row in rows] == [f"U{n}" for n in range(5)]
    assert counts["review_lines_broken"] == 1


def test_a_last_line_without_end_counts_and_a_cut_one_is_broken(tmp_path: Path) -> None:
    lines = [review(n) for n in range(5)]
    write(tmp_path, lines, [book(n) for n in range(5)], end="")
    assert len(read_rows(tmp_path)[0]) == 5
    write(tmp_path, [*lines[:4], lines[4][:30]], [book(n) for n in range(5)], end="")
    rows, counts = read_rows(tmp_path)
    assert (len(rows), counts["review_lines"], counts["review_lines_broken"]) == (4, 5, 1)


def test_too_many_bad_lines_refuse_the_file_with_the_first_of_them(tmp_path: Path) -> None:
    lines = [review(n) for n in range(100)] + ["{"] * 11
    write(tmp_path, lines, [book(1)])
    with pytest.raises(InputError, match=r"line 101: broken JSON.*11 of 111 lines") as error:
        read_amazon(tmp_path, FILES, 2017)
    assert "\n" not in str(error.value)


@given(
    kinds=st.lists(st.sampled_from(["good", "cut", "text", "float", "bare"]), max_size=30),
    size=st.integers(50, 2_000),
)
@settings(max_examples=60, deadline=None)
def test_blocks_of_any_size_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], size: int
) -> None:
    make = {
        "good": review,
        "cut": lambda n: review(n)[:25],
        "text": lambda n: review(n, overall="3"),
        "float": lambda n: review(n, unixReviewTime=JULY_2017 + n + 0.25),
        "bare": lambda n: review(n, overall=...),
    }
    lines = [review(0), *(make[kind](n) for n, kind in enumerate(kinds, start=1))]
    lines = [line for line in lines for _ in range(1)]
    folder = write(tmp_path_factory.mktemp("amazon"), lines, [book(n) for n in range(31)])
    expected = [0, *(n for n, kind in enumerate(kinds, start=1) if kind not in ("cut", "bare"))]
    bad = len(lines) - len(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "_BLOCK", size)
        patch.setattr(json_lines, "BAD_LINES", 100)
        rows, counts = read_rows(folder)
    assert [row["user"] for row in rows] == [f"U{n}" for n in expected]
    assert counts["review_lines"] == len(lines)
    assert counts["review_lines_broken"] + counts["review_lines_unusable"] == bad
    assert counts["ratings_as_text"] == kinds.count("text")
    assert counts["times_with_fractions"] == kinds.count("float")


def test_only_the_calendar_year_in_utc_is_kept(tmp_path: Path) -> None:
    edges = [1_483_228_799, 1_483_228_800, 1_514_764_799, 1_514_764_800]
    lines = [review(n, unixReviewTime=time) for n, time in enumerate(edges)]
    write(tmp_path, lines, [book(n) for n in range(4)])
    rows, counts = read_rows(tmp_path)
    assert [row["user"] for row in rows] == ["U1", "U2"] and counts["outside_year"] == 2


def test_the_last_metadata_row_of_an_item_wins_even_without_title(tmp_path: Path) -> None:
    books = [book(1, "old"), book(2, "kept"), book(1, "new"), book(3, "lost"), book(3, "")]
    write(tmp_path, [review(n) for n in (1, 2, 3)], books)
    raw = read_amazon(tmp_path, FILES, 2017)
    assert sorted(raw.titles["title"].to_pylist()) == ["kept", "new"]
    assert raw.counts["items_with_several_rows"] == 2 and raw.counts["items_without_title"] == 1


def test_missing_titles_of_all_kinds_drop_the_reviews_and_are_counted(tmp_path: Path) -> None:
    books = [book(0), book(1, ""), book(2, None), json.dumps({"asin": f"{3:010d}"}), book(4, 17)]
    write(tmp_path, [review(n) for n in range(6)], books)
    raw = read_amazon(tmp_path, FILES, 2017)
    assert raw.counts["items_without_title"] == 5
    built = build(raw, Protocol(5, HalvedDecember(2017)), 5)
    assert built.interactions.num_rows == 1 and built.dropped["without_title"] == 5


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("Emma", "Emma"),
        ("Pride &amp; Prejudice", "Pride & Prejudice"),
        ('<span id="productTitle" class="a">Emma</span>', "Emma"),
        ("  two\n\tlines  ", "two lines"),
        ("<style>.a {x: 1}</style><script>var a = 1 < 2;</script>Kim", "Kim"),
        ("<script>var never = 'closed'", ""),
        ("I <3 maths: a < b > c", "I <3 maths: a < b > c"),
        ("<br/>", ""),
        (None, ""),
    ],
)
def test_titles_become_plain_lines(title: str | None, plain: str) -> None:
    cleaned, n_html = clean_titles(pa.chunked_array([pa.array([title], pa.string())]))
    assert cleaned.to_pylist() == [plain]
    assert n_html == int(title is not None and ("<s" in title or "<br" in title or "&" in title))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[: len(raw) // 2], "cut off or no gzip file"),
        (lambda raw: raw[:-3], "cut off or no gzip file"),
        (lambda raw: b"{}" * 50, "cut off or no gzip file"),
        (lambda raw: raw[:60] + bytes(40) + raw[100:], "cut off or no gzip file|bad"),
        (lambda raw: gzip.compress(b""), "holds no line"),
        (lambda raw: gzip.compress(b"a,b\n1,2\n" * 20), "line 1: broken JSON"),
        (lambda raw: gzip.compress("\n".join(["{}"] * 20).encode("utf-16")), "line 1: broken JSON"),
    ],
)
@pytest.mark.parametrize("name", [REVIEWS, METADATA])
def test_a_damaged_file_ends_in_one_line_that_names_it(
    tmp_path: Path, damage: Any, message: str, name: str
) -> None:
    write(tmp_path, [review(n) for n in range(300)], [book(n) for n in range(300)])
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(InputError, match=message) as error:
        read_amazon(tmp_path, FILES, 2017)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{REVIEWS}: no such file"):
        read_amazon(tmp_path, FILES, 2017)


def test_generated_files_go_through_the_paper_s_protocol(tmp_path: Path) -> None:
    write_amazon(tmp_path, 60_000, seed=2)
    raw = read_amazon(tmp_path, FILES, 2017)
    rules = Protocol(5, HalvedDecember(2017), year=2017, more_than=5)
    built = build(raw, rules, 10)
    check(built, rules.split, keep_history=10, n_raw=raw.interactions.num_rows)
    assert built.interactions.num_rows > 500
    n_valid, n_test = ((built.split == k).sum() for k in (1, 2))
    assert n_test - n_valid in (0, 1)
    assert not [t for t in built.items["title"].to_pylist() if re.search("[<]|&amp;", t)]


def test_generated_files_are_the_same_bytes_for_the_same_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_amazon(tmp_path / name, 500, seed=3)
    for name in (REVIEWS, METADATA):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def read_raw(dataset: str, folder: Path) -> Raw:
    return datasets.load(dataset).read(folder, NAMES)


def ml_100k(folder: Path, inter: str, item: str) -> Path:
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "ml-100k.inter").write_bytes((head + inter).encode())
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (folder / "ml-100k.item").write_bytes((head + item).encode())
    return folder


def test_ml_100k_titles_carry_their_year_where_it_is_known(tmp_path: Path) -> None:
    items = '1\tToy "Story"\t1995\tX\n2\tunkonwn\t\tX\n3\tMisérables, Les\tV\t\n'
    raw = read_raw("ml-100k", ml_100k(tmp_path, "1\t1\t4\t881250949\n", items))
    assert raw.titles["title"].to_pylist() == ['Toy "Story" (1995)', "unkonwn", "Misérables, Les"]
    assert raw.interactions.to_pylist() == [
        {"user": 1, "item": 1, "rating": 4.0, "timestamp": 881250949}
    ]


@pytest.mark.parametrize(
    ("inter", "item", "message"),
    [
        ("1\t1\tfour\t1\n", "1\tA\t1990\tX\n", "ml-100k.inter.*Row #2.*'four'"),
        ("1\t1\t\t1\n", "1\tA\t1990\tX\n", "row 1 of the data has no 'rating:float'"),
        ("1\t1\tnan\t1\n", "1\tA\t1990\tX\n", "row 1 of the data: nan"),
        ("1\t1\t5\n", "1\tA\t1990\tX\n", "Row #2: Expected 4 columns, got 3"),
        ("1\t1\t5\t1e13\n", "1\tA\t1990\tX\n", "timestamp in seconds"),
        (
            "1\t1\t5\t1\n",
            "1\tA\t1990\tX\n1\tB\t1990\tX\n",
            "item 1 has 2 titles, such as 'A",
        ),
        ("1\t1\t5\t1\n", "1\tA\t1990\tX\n\tB\t1990\tX\n", "row 2 of the data has no 'item_id"),
    ],
)
def test_a_bad_value_in_ml_100k_is_named_with_file_and_row(
    tmp_path: Path, inter: str, item: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_raw("ml-100k", ml_100k(tmp_path, inter, item))
    assert "\n" not in str(error.value)


def test_an_unknown_encoding_and_a_missing_column_are_named(tmp_path: Path) -> None:
    ml_100k(tmp_path, "1\t1\t5\t1\n", "1\tA\t1990\tX\n")
    item = tmp_path / "ml-100k.item"
    item.write_bytes(item.read_bytes() + "2\tMisérables\t1995\tX\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"ml-100k.item: not in utf-8"):
        read_raw("ml-100k", tmp_path)
    item.write_text("item_id:token\ttitle\n1\tA\n")
    with pytest.raises(InputError, match=r"ml-100k.item.*movie_title:token_seq"):
        read_raw("ml-100k", tmp_path)


def test_ml_1m_titles_are_latin_1_or_utf_8(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1::5::956703932\n")
    for encoding in ("latin-1", "utf-8"):
        (tmp_path / "movies.dat").write_bytes("1::Misérables (1995)::Drama\n".encode(encoding))
        assert read_raw("ml-1m", tmp_path).titles["title"].to_pylist() == ["Misérables (1995)"]
    (tmp_path / "movies.dat").write_bytes("1::A::B\n".encode("utf-16"))
    with pytest.raises(InputError, match="holds zero bytes"):
        read_raw("ml-1m", tmp_path)
    (tmp_path / "movies.dat").write_text("1::A::B\n2:A:B\n")
    with pytest.raises(InputError, match="line 2: '2:A:B', expected id::title::genres"):
        read_raw("ml-1m", tmp_path)


def read_own_table(folder: Path, as_named: Table = NAMES) -> Raw:
    return datasets.load("table").read(folder, as_named)


def own(folder: Path, interactions: str, items: str = "item,title\nx,X\n1,One\n") -> Path:
    (folder / "i.csv").write_text(interactions, encoding="utf-8")
    (folder / "t.csv").write_text(items, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("user,item,rating\na,x,5\n", "no column|timestamp"),
        ("user,item,rating,timestamp\na,x,many,1\n", "row 1.*'many', expected rating"),
        ("user,item,rating,timestamp\na,x,5,1\n,x,5,1\n", "row 2 of the data has no 'user'"),
        (
            "user,item,rating,timestamp\na,x,5,2024-01-03\na,x,5,soon\n",
            "row 2.*'soon', expected time",
        ),
        ("user,item,rating,timestamp\na,x,5,17000000000000\n", "row 1.*timestamp in seconds"),
        ("user,item,rating,timestamp\na,x,5,7\na,x,5,later\n", "row 2.*'later', expected time"),
        ("user,item,rating,timestamp\na,x,5\n", "Row #2: Expected 4 columns, got 3"),
        ("", "[Ee]mpty"),
    ],
)
def test_a_bad_own_table_is_refused_in_one_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_own_table(own(tmp_path, rows))
    assert "i.csv" in str(error.value) and "\n" not in str(error.value)


def test_own_labels_must_be_0_or_1(tmp_path: Path) -> None:
    labelled = names(rating=None, label="liked")
    head = "user,item,liked,timestamp\n"
    raw = read_own_table(own(tmp_path, head + "a,x,1,5\na,x,0,6\n"), labelled)
    assert raw.interactions["rating"].to_pylist() == [1.0, 0.0]
    raw = read_own_table(own(tmp_path, head + "a,x,true,5\n"), labelled)
    assert raw.interactions["rating"].to_pylist() == [1.0]
    with pytest.raises(InputError, match="row 2 of the data: '2', expected label 0 or 1"):
        read_own_table(own(tmp_path, head + "a,x,1,5\na,x,2,6\n"), labelled)


def test_ids_are_text_unless_all_are_whole_numbers(tmp_path: Path) -> None:
    head = "user,item,rating,timestamp\n"
    raw = read_own_table(own(tmp_path, head + "007,1,5,5\n7,1,5,6\n"))
    assert raw.interactions["user"].to_pylist() == ["007", "7"]
    assert raw.titles["item"].type == raw.interactions["item"].type == pa.string()
    raw = read_own_table(own(tmp_path, head + "10,1,5,5\n", "item,title\n1,One\n"))
    assert raw.interactions.to_pylist()[0]["user"] == 10
    assert raw.titles["item"].type == raw.interactions["item"].type == pa.int64()


def test_words_like_na_and_null_are_ids_and_titles(tmp_path: Path) -> None:
    rows = "user,item,rating,timestamp\nNA,null,5,5\n"
    raw = read_own_table(own(tmp_path, rows, "item,title\nnull,NaN\n"))
    assert raw.interactions.to_pylist()[0]["user"] == "NA"
    assert raw.titles.to_pylist() == [{"item": "null", "title": "NaN"}]


def test_dates_seconds_and_fractions_give_the_same_times(tmp_path: Path) -> None:
    head = "user,item,rating,timestamp\n"
    for text in ("2024-01-03 08:00:00", "2024-01-03T08:00:00Z", "1704268800", "1704268800.7"):
        raw = read_own_table(own(tmp_path, head + f"a,x,5,{text}\n"))
        assert raw.interactions["timestamp"].to_pylist() == [1_704_268_800], text


def test_parquet_and_csv_give_the_same_rows(tmp_path: Path) -> None:
    own(tmp_path, "user,item,rating,timestamp\n3,1,5,5\n2,1,1,6\n", "item,title\n1,One\n")
    expected = read_own_table(tmp_path)
    columns = {"user": [3, 2], "item": [1, 1], "rating": [5, 1], "timestamp": [5, 6]}
    pq.write_table(pa.table({**columns, "more": ["a", "b"]}), tmp_path / "i.parquet")
    pq.write_table(pa.table({"title": ["One"], "item": [1]}), tmp_path / "t.parquet")
    files = {"interactions": "i.parquet", "items": "t.parquet"}
    found = read_own_table(tmp_path, names(**files))
    assert found.interactions.to_pylist() == expected.interactions.to_pylist()
    assert found.titles.to_pylist() == expected.titles.to_pylist()
    with pytest.raises(InputError, match=r"no column 'stars' \(.*\.rating\); it has 'user'"):
        read_own_table(tmp_path, names(**files, rating="stars"))
    (tmp_path / "i.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"i\.parquet"):
        read_own_table(tmp_path, names(**files))


def run_example(folder: Path, changes: dict[str, Any]) -> Path:
    """Runs both stages on the documented example; returns `data/interactions`."""
    (folder / "params.yaml").write_text(documented_params(changes), encoding="utf-8")
    for stage in ("fetch_data", "preprocess"):
        command = [sys.executable, "-m", f"stages.{stage}"]
        ended = subprocess.run(
            command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
    return folder / "data/interactions"


def test_the_documented_example_runs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs/own-data", tmp_path / "docs/own-data")
    folder = run_example(tmp_path, {})
    sizes = [read_table(folder / f"{name}.parquet", INTERACTIONS).num_rows for name in SPLITS]
    assert sizes == [9, 3, 3]
    with (ROOT / "docs/own-data/books.csv").open(encoding="utf-8") as file:
        books = {row["book"]: row["name"] for row in csv.DictReader(file)}
    items = read_table(folder / "items.parquet", ITEMS).to_pylist()
    assert {row["source_id"]: row["title"] for row in items} == books


def test_labels_in_own_tables_are_the_labels_of_the_rows(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs/own-data", tmp_path / "docs/own-data")
    by_rating = read_table(run_example(tmp_path, {}) / "train.parquet", INTERACTIONS)
    path = tmp_path / "docs/own-data/interactions.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [f"{r['reader']},{r['book']},{int(int(r['stars']) >= 4)},{r['when']}" for r in rows]
    path.write_text("\n".join(["reader,book,liked,when", *lines]) + "\n", encoding="utf-8")
    changes = {"preprocess": {"table": {"rating": None, "label": "liked"}}}
    by_label = read_table(run_example(tmp_path, changes) / "train.parquet", INTERACTIONS)
    assert by_label.equals(by_rating) and set(by_label["label"].to_pylist()) == {0, 1}


def test_the_documented_command_sets_what_the_documented_params_say() -> None:
    text = (ROOT / "docs/own-data/README.md").read_text(encoding="utf-8")
    flat: dict[str, Any] = {}

    def flatten(value: Any, key: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                flatten(inner, f"{key}.{name}" if key else name)
        else:
            flat[key] = str(value)

    flatten(YAML(typ="safe").load(ROOT / "docs/own-data/params.yaml"), "")
    assert dict(re.findall(r"-S ([\w.]+)=(\S+)", text)) == flat
