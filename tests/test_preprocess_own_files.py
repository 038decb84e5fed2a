"""Anybody's own files: read as they were meant, or refused in one line that says what to set."""

import bz2
import gzip
from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_table import NAMES, names

from stages import datasets
from stages.datasets.building.build import build
from stages.datasets.building.params import Negatives, Table
from stages.datasets.building.protocol import PerUser, Protocol
from stages.datasets.building.raw import Raw, seconds
from stages.io.errors import InputError
from stages.io.outside import read_columns

ROWS = "user,item,rating,timestamp\na,1,5,7\nb,2,3.5,8\n"
ITEMS = "item,title\n1,One\n2,Two\n"
JANUARY_3 = 1_704_268_800  # 2024-01-03 08:00 UTC


def read(folder: Path, table: Table = NAMES) -> Raw:
    return datasets.load("table").read(folder, table)


def fill(folder: Path, events: str | bytes = ROWS, items: str | bytes = ITEMS) -> Path:
    for name, text in (("i.csv", events), ("t.csv", items)):
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def refusal(folder: Path, table: Table = NAMES) -> str:
    with pytest.raises(InputError) as error:
        read(folder, table)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    return str(error.value)


# Which keys to set.


def test_all_wrong_columns_are_told_at_once_with_their_keys_and_those_that_there_are(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "userId,movieId,rating,ts\n1,1,5,7\n", "movieId,name\n1,One\n")
    assert refusal(tmp_path) == (
        f"{tmp_path}/i.csv: no column 'user' (preprocess.table.user), no column 'item' "
        "(preprocess.table.item), no column 'timestamp' (preprocess.table.timestamp); it has "
        f"'userId', 'movieId', 'rating', 'ts'; {tmp_path}/t.csv: no column 'item' "
        "(preprocess.table.item), no column 'title' (preprocess.table.title); it has 'movieId', "
        "'name'"
    )


def test_events_without_a_rating_are_told_how_likes_alone_are_said(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,timestamp\na,1,7\n")
    assert refusal(tmp_path) == (
        f"{tmp_path}/i.csv: no column 'rating' (preprocess.table.rating); it has 'user', 'item', "
        "'timestamp'; if every row is a like: preprocess.table.rating null and "
        "preprocess.table.negatives"
    )


def test_json_lines_are_told_where_such_files_are_read(tmp_path: Path) -> None:
    fill(tmp_path)
    with gzip.open(tmp_path / "i.jsonl.gz", "wt") as file:
        file.write('{"user_id": "a", "parent_asin": "1", "rating": 5.0, "timestamp": 1}\n')
    told = refusal(tmp_path, names(interactions="i.jsonl.gz"))
    assert "no table by its name" in told and "see dataset amazon-books-2023" in told


def test_a_heading_with_a_space_or_a_capital_is_shown_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, "User, item,rating,timestamp\na,1,5,7\n")
    assert "it has 'User', ' item', 'rating', 'timestamp'" in refusal(tmp_path)


def test_a_missing_file_lists_what_lies_in_the_folder_with_its_key(tmp_path: Path) -> None:
    fill(tmp_path)
    found = refusal(tmp_path, names(interactions="events.csv", items="films.csv"))
    assert f"events.csv: no such file; {tmp_path} holds 'i.csv', 't.csv' " in found
    assert "(preprocess.table.interactions); " in found and "(preprocess.table.items)" in found


def test_a_file_that_is_no_table_by_its_name_says_which_endings_are(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "reviews.jsonl.gz").write_bytes(b"x")
    found = refusal(tmp_path, names(interactions="reviews.jsonl.gz"))
    assert "no table by its name; expected CSV, TSV, RecBole's .inter and .item" in found


@pytest.mark.parametrize(
    "doubled",
    ["user,item,rating,timestamp,rating\na,1,5,7,1\n", "user,user,item,rating,timestamp\n"],
)
def test_a_doubled_column_is_refused(tmp_path: Path, doubled: str) -> None:
    fill(tmp_path, doubled)
    assert "has 2 columns '" in refusal(tmp_path)


def test_a_doubled_column_of_parquet_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    columns = [pa.array(["a"]), pa.array(["1"]), pa.array([5]), pa.array([7]), pa.array([1])]
    table = pa.table(columns, names=["user", "item", "rating", "timestamp", "rating"])
    pq.write_table(table, tmp_path / "i.parquet")
    found = refusal(tmp_path, names(interactions="i.parquet"))
    assert "has 2 columns 'rating' (preprocess.table.rating)" in found


def test_the_other_separator_is_a_key(tmp_path: Path) -> None:
    fill(tmp_path, ROWS.replace(",", ";"), ITEMS.replace(",", ";"))
    assert "set preprocess.table.separator" in refusal(tmp_path)
    raw = read(tmp_path, names(separator=";"))
    assert raw.interactions["rating"].to_pylist() == [5.0, 3.5]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "shift_jis"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_another_encoding_is_a_key(tmp_path: Path, encoding: str, quote: str) -> None:
    title = "ラン" if encoding == "shift_jis" else "Misérables"
    items = f"item,title\n1,{quote}{title}{quote}\n2,Two\n"
    fill(tmp_path, ROWS.encode(encoding), items.encode(encoding))
    assert "preprocess.table.encoding, as " in refusal(tmp_path)
    raw = read(tmp_path, names(encoding=encoding))
    assert raw.titles["title"].to_pylist() == [title, "Two"]
    assert raw.interactions["user"].to_pylist() == ["a", "b"]


def test_a_mark_before_utf_8_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    fill(tmp_path, ROWS.encode("utf-8-sig"), ITEMS.replace("One", '"One"').encode("utf-8-sig"))
    assert read(tmp_path).interactions["user"].to_pylist() == ["a", "b"]


# Kinds of files.


@pytest.mark.parametrize(
    "ending", [".csv.gz", ".CSV.GZ", ".csv.bz2", ".csv.zst", ".tsv.csv", ".CSV"]
)
def test_a_file_is_read_by_what_its_name_ends_in(tmp_path: Path, ending: str) -> None:
    fill(tmp_path)
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "zst": lambda raw: pa.Codec("zstd").compress(raw, asbytes=True),
    }
    change = compress.get(ending.lower().rpartition(".")[2], bytes)
    (tmp_path / f"x{ending}").write_bytes(change(ROWS.encode()))
    raw = read(tmp_path, names(interactions=f"x{ending}"))
    assert raw.interactions["rating"].to_pylist() == [5.0, 3.5]


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path, ending: str) -> None:
    text = (ROWS + "".join(f"u{n},1,5,{n}\n" for n in range(5000))).encode()
    whole = {"gz": gzip.compress, "bz2": bz2.compress}.get(
        ending, lambda raw: pa.Codec("zstd").compress(raw, asbytes=True)
    )(text)
    fill(tmp_path)
    for size in (len(whole) - 5, len(whole) // 2, 10):
        (tmp_path / f"i.csv.{ending}").write_bytes(whole[:size])
        assert "i.csv" in refusal(tmp_path, names(interactions=f"i.csv.{ending}"))


def test_parquet_in_capitals_is_parquet(tmp_path: Path) -> None:
    fill(tmp_path)
    columns = {"user": ["a"], "item": [1], "rating": [4], "timestamp": [7]}
    pq.write_table(pa.table(columns), tmp_path / "I.PARQUET")
    assert read(tmp_path, names(interactions="I.PARQUET")).interactions.num_rows == 1


def test_an_empty_id_is_refused_in_parquet_as_in_text(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,rating,timestamp\na,1,4,7\n,1,4,8\n")
    assert "row 2 of the data has no 'user'" in refusal(tmp_path)
    columns = {"user": ["a", ""], "item": [1, 1], "rating": [4, 4], "timestamp": [7, 8]}
    pq.write_table(pa.table(columns), tmp_path / "i.parquet")
    assert "row 2 of the data has no 'user'" in refusal(tmp_path, names(interactions="i.parquet"))


def test_recboles_files_are_read_by_the_names_before_the_colon(tmp_path: Path) -> None:
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (tmp_path / "x.inter").write_text(head + "1\t7\t5\t10.0\n2\t7\t1\t11\n")
    (tmp_path / "x.item").write_text('item_id:token\ttitle:token_seq\n7\t"Heroes" live\n')
    table = names(interactions="x.inter", items="x.item", user="user_id", item="item_id")
    raw = read(tmp_path, table)
    assert raw.interactions["timestamp"].to_pylist() == [10, 11]
    assert raw.titles["title"].to_pylist() == ['"Heroes" live']


def test_one_file_may_hold_the_titles_too(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,title,rating,timestamp\na,1,One,5,7\nb,1,One,4,8\nb,2,,1,9\n")
    raw = read(tmp_path, names(items=None))
    assert raw.interactions.num_rows == 3
    assert raw.titles.to_pylist() == [{"item": 1, "title": "One"}]
    fill(tmp_path, "user,title,rating,timestamp\na,One,5,7\nb,One,4,8\n")
    raw = read(tmp_path, names(items=None, item="title"))
    assert raw.titles.to_pylist() == [{"item": "One", "title": "One"}]


def test_the_items_file_may_name_its_column_otherwise(tmp_path: Path) -> None:
    fill(tmp_path, items="film,title\n1,One\n2,Two\n")
    assert "preprocess.table.item)" in refusal(tmp_path)
    assert read(tmp_path, names(item_in_items="film")).titles.num_rows == 2
    assert "preprocess.table.item_in_items)" in refusal(tmp_path, names(item_in_items="movie"))


def test_an_item_may_stand_there_twice_with_one_title_but_not_with_two(tmp_path: Path) -> None:
    fill(tmp_path, items="item,title\n1,One\n2,Two\n1, One \n1,\n")
    assert read(tmp_path).titles["title"].to_pylist() == ["One", "Two"]
    fill(tmp_path, items="item,title\n1,One\n2,Two\n1,Eins\n")
    assert "item '1' has 2 titles, such as 'One' and 'Eins'" in refusal(tmp_path)


# Quotes.


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize(
    "title",
    ['He said "Hello"', '"Heroes"', "two\nlines", "a\tb", "a,b", '"', "é “q”", "a\r\nb", '""'],
)
def test_titles_come_back_as_pandas_wrote_them(tmp_path: Path, title: str, separator: str) -> None:
    ending = {",": "csv", "\t": "tsv"}[separator]
    fill(tmp_path)
    frame = pd.DataFrame({"item": [1, 2], "title": [title, "Two"]})
    frame.to_csv(tmp_path / f"t.{ending}", sep=separator, index=False)
    found = read_columns(tmp_path / f"t.{ending}", ["item", "title"], texts=["item", "title"])
    assert found["title"].to_pylist() == [title, "Two"]
    raw = read(tmp_path, names(items=f"t.{ending}"))
    assert raw.titles["title"][0].as_py() == " ".join(title.split())


@pytest.mark.parametrize("line", ['2,"Heroes" live', '2,"never closed', '2,"a"b"'])
def test_a_quote_that_means_nothing_is_refused_with_the_key(tmp_path: Path, line: str) -> None:
    fill(tmp_path, items=f"item,title\n1,One\n{line}\n3,Three\n")
    assert "set preprocess.table.quotes=false" in refusal(tmp_path)
    title = line.partition(",")[2]
    assert read(tmp_path, names(quotes=False)).titles["title"][1].as_py() == title


def test_a_row_too_short_or_too_long_is_refused_with_or_without_quotes(tmp_path: Path) -> None:
    for row in ("3", "3,a,b", '3,"a",b'):
        fill(tmp_path, items=f"item,title\n1,One\n{row}\n")
        assert "Expected 2 columns, got" in refusal(tmp_path)


# Feedback.


def test_half_stars_and_likes_from_a_threshold(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,rating,timestamp\na,1,3.5,1\na,2,4.0,2\nb,1,0.5,3\nb,2,4.5,4\n")
    built = build(read(tmp_path), Protocol(4.0, PerUser(0.1, 0.1)), 5)
    assert built.interactions["label"].to_pylist() == [0, 1, 0, 1]
    assert built.ratings == (0.5, 4.5)


@pytest.mark.parametrize(
    "words", [("1", "0"), ("true", "false"), ("True", "False"), ("TRUE", "FALSE"), ("1.0", "0.0")]
)
def test_labels_are_numbers_or_true_and_false(tmp_path: Path, words: tuple[str, str]) -> None:
    fill(tmp_path, f"user,item,liked,timestamp\na,1,{words[0]},1\na,2,{words[1]},2\n")
    raw = read(tmp_path, names(rating=None, label="liked"))
    assert raw.interactions["rating"].to_pylist() == [1.0, 0.0]


def test_clicks_without_rating_are_likes_and_dislikes_are_drawn(tmp_path: Path) -> None:
    events = "".join(f"{u},{i},{i}\n" for u in "ab" for i in (1, 2))
    items = "item,title\n" + "".join(f"{i},T{i}\n" for i in (1, 2))
    fill(tmp_path, "user,item,timestamp\n" + events + "c,1,5\nd,2,5\n", items)
    assert "preprocess.table.rating" in refusal(tmp_path)
    negatives = Negatives(per_event=1, seed=1)
    raw = read(tmp_path, names(rating=None, negatives=negatives))
    assert raw.interactions["rating"].to_pylist() == [1.0] * 6
    built = build(raw, Protocol(1.0, PerUser(0.1, 0.1), negatives=negatives), 5)
    assert built.drawn == 2  # users c and d have one item left each


def test_a_rating_with_spaces_is_a_number_and_a_comma_is_not(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,rating,timestamp\na,1, 4 ,1\n")
    assert read(tmp_path).interactions["rating"].to_pylist() == [4.0]
    for bad in ('"4,5"', "0x10", "1e999", "nan", "four", "4.0.1", "٤"):
        fill(tmp_path, f"user,item,rating,timestamp\na,1,5,1\na,1,{bad},1\n")
        assert "row 2 of the data: " in refusal(tmp_path)


# Times.


@pytest.mark.parametrize(
    "text",
    [
        "1704268800",
        "1704268800.75",
        "1.7042688e9",
        "1704268800375",
        "1704268800375123",
        "1704268800375123456",
        "2024-01-03 08:00:00",
        "2024-01-03T08:00",
        "2024-01-03 08:00:00.123456789",
        "2024-01-03 08:00:00 UTC",
        "2024-01-03T08:00:00Z",
        "2024-01-03T10:00:00+02:00",
        "2024-01-03 03:00:00 -0500",
        "2024-01-03T08:00:00.5+00",
    ],
)
def test_times_of_every_unit_and_zone_are_the_same_moment(tmp_path: Path, text: str) -> None:
    fill(tmp_path, f"user,item,rating,timestamp\na,1,5,{text}\n")
    assert read(tmp_path).interactions["timestamp"].to_pylist() == [JANUARY_3]


def test_a_date_alone_is_its_first_second_in_utc(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,rating,timestamp\na,1,5,2024-01-03\na,2,5,1969-12-31\n")
    assert read(tmp_path).interactions["timestamp"].to_pylist() == [JANUARY_3 - 28_800, -86_400]


@pytest.mark.parametrize(
    "stamps",
    [
        ["20200131", "20190228"],
        ["202001", "201912"],
        ["2020013112", "2019022823"],
        ["202001311259", "201902282301"],
        ["20200131125959", "20190228230101"],
        ["2020", "2019"],
    ],
)
def test_dates_without_dashes_are_not_taken_as_seconds(tmp_path: Path, stamps: list[str]) -> None:
    rows = "".join(f"a,{n},5,{stamp}\n" for n, stamp in enumerate(stamps, start=1))
    fill(tmp_path, "user,item,rating,timestamp\n" + rows)
    found = refusal(tmp_path)
    assert "2020-01-31 08:00:00+01:00" in found and stamps[0] in found


@pytest.mark.parametrize(
    ("stamps", "row"),
    [
        (["1490218375007", "1490218375"], 2),  # seconds among milliseconds
        (["1490218375", "2017-03-22"], 2),
        (["2017-03-22", "1490218375"], 2),
        (["2017-03-22", "22.03.2017"], 2),
        (["2017-02-30"], 1),
        (["99999999999999"], 1),  # neither
        (["9" * 30], 1),
        (["1490218375", "soon"], 2),
        (["soon"], 1),
    ],
)
def test_a_time_that_is_none_is_refused_with_its_row(
    tmp_path: Path, stamps: list[str], row: int
) -> None:
    rows = "".join(f"a,{n},5,{stamp}\n" for n, stamp in enumerate(stamps, start=1))
    fill(tmp_path, "user,item,rating,timestamp\n" + rows)
    assert f"row {row} of the data: " in refusal(tmp_path)


def test_without_times_the_rows_stand_in_order_of_time(tmp_path: Path) -> None:
    fill(tmp_path, "user,item,rating\nb,2,5\na,1,3\nb,1,4\n")
    raw = read(tmp_path, names(timestamp=None))
    assert raw.interactions["timestamp"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2024-01-03 08:00:00"]),
        pa.array(["2024-01-03 08:00:00"], pa.large_string()),
        pa.array(["2024-01-03 08:00:00"]).dictionary_encode(),
        pa.array([JANUARY_3 * 1000], pa.timestamp("ms")),
        pa.array([JANUARY_3 * 10**9 + 123_456_789], pa.timestamp("ns")),
        pa.array([JANUARY_3 * 10**6 + 5], pa.timestamp("us", "Europe/Berlin")),
        pa.array([JANUARY_3 + 0.5]),
        pa.array([JANUARY_3 * 1000 + 7]),
        pa.array([JANUARY_3], pa.uint64()),
    ],
    ids=lambda values: str(values.type),
)
def test_times_of_every_type_of_parquet_are_the_same_moment(values: pa.Array) -> None:
    assert seconds(pa.chunked_array([values]), Path("x")).to_pylist() == [JANUARY_3]


# Parquet of odd types.


@pytest.mark.parametrize("n_rows", [0, 2])
@pytest.mark.parametrize("column", ["user", "item", "rating", "timestamp"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([1], pa.list_(pa.int64())),
        ({"a": 1}, pa.struct([("a", pa.int64())])),
        ([("a", 1)], pa.map_(pa.string(), pa.int64())),
        (b"\xff", pa.binary()),
        (None, pa.null()),
        (timedelta(seconds=1), pa.duration("s")),
        (time(1), pa.time32("s")),
        (True, pa.bool_()),
        (Decimal(1), pa.decimal128(30, 2)),
    ],
    ids=str,
)
def test_odd_types_and_empty_tables_end_in_one_line_or_are_read(
    tmp_path: Path, value: Any, kind: pa.DataType, column: str, n_rows: int
) -> None:
    columns = {name: pa.array([1] * n_rows, pa.int64()) for name in ("user", "item", "rating")}
    columns["timestamp"] = pa.array([JANUARY_3] * n_rows, pa.int64())
    columns[column] = pa.array([value] * n_rows, kind)
    pq.write_table(pa.table(columns), tmp_path / "i.parquet")
    fill(tmp_path)
    try:
        raw = read(tmp_path, names(interactions="i.parquet"))
        with pytest.raises(InputError, match="data/raw: "):
            build(raw, Protocol(4, PerUser(0.1, 0.1), more_than=9), 5)
    except InputError as error:
        assert "\n" not in str(error)


# Titles.


def test_reserved_code_points_are_removed_and_counted_and_words_stay_apart(tmp_path: Path) -> None:
    title = "A\ufdd00101\ufdd1B\x00 \u2028C\x7f\uffff"
    fill(tmp_path, items=f"item,title\n1,{title}\n2,\ufdd0\n3,Plain <|im_end|>\n")
    raw = read(tmp_path)
    assert raw.titles["title"].to_pylist() == ["A0101B C", "Plain <|im_end|>"]
    assert raw.counts["titles_with_reserved_characters"] == 2
