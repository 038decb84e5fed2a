"""Damaged files: each is refused in one line, or read as a plain second reader reads it.

Seeded; 150 inputs per reader, or as many as `--fuzz N` says.
"""

import csv
import datetime
import decimal
import gzip
import io
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import damaged_bytes, damaged_lines, damaged_text
from own_table import NAMES, names

from stages import datasets
from stages.datasets.amazon_book import FILES, METADATA, REVIEWS
from stages.datasets.building.amazon import read_amazon
from stages.datasets.building.raw import Raw
from stages.io import outside
from stages.io.errors import InputError
from stages.io.outside import Written, read_columns

Rows = list[tuple[str, str, float, int]]  # user, item, rating, timestamp as written
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
DATE = re.compile(r"\s*\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?\s*", re.ASCII | re.DOTALL)


class UnreadableError(ValueError):
    """What the plain reader raises where a file means nothing certain."""


def assert_read_or_refused(
    read: Callable[[], Raw], plainly: Callable[[], tuple[Rows, dict[str, str]]], raw: bytes
) -> bool:
    """Reads; compares with the plain reader. Returns whether the file was read."""
    try:
        found = read()
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) <= 610, raw
        return False
    try:
        rows, titles = plainly()
    except UnreadableError as reason:
        raise AssertionError(f"read, but {reason}: {raw!r}") from reason
    seen = found.interactions.to_pylist()
    assert [(str(row["user"]), str(row["item"]), row["rating"]) for row in seen] == [
        row[:3] for row in rows
    ], raw
    times = [(row["timestamp"], time) for row, (*_, time) in zip(seen, rows, strict=True)]
    units = (1, 10**3, 10**6, 10**9)
    assert any(all(found == time // unit for found, time in times) for unit in units), raw
    assert {str(row["item"]): row["title"] for row in found.titles.to_pylist()} == titles, raw
    return True


# Plain readers.


def number(text: str) -> float:
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise UnreadableError(f"{text!r} is no number")
    return float(text)


def moment(text: str) -> int:
    if re.fullmatch(r"\s*[+-]?\d+\s*", text, re.ASCII):
        return int(text)
    if DATE.fullmatch(text):
        found = datetime.datetime.fromisoformat(text.strip())
        return math.floor(found.replace(tzinfo=found.tzinfo or datetime.UTC).timestamp())
    return math.floor(number(text))


def plain_rows(raw: bytes, separator: str, quotes: bool) -> list[list[str]]:
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = io.StringIO(text, newline="")
    how: dict[str, Any] = {"strict": True} if quotes else {"quoting": csv.QUOTE_NONE}
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator, **how) if row]
    except csv.Error as error:
        raise UnreadableError(str(error)) from None
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise UnreadableError("ragged or empty")
    return rows


def plain_columns(raw: bytes, separator: str, wanted: list[str], quotes: bool) -> list[list[str]]:
    head, *rows = plain_rows(raw, separator, quotes)
    if any(head.count(name) != 1 for name in wanted):
        raise UnreadableError(f"columns {head}")
    return [[row[head.index(name)] for name in wanted] for row in rows]


def plain_title(text: str) -> str:
    planes = "".join(f"\\U{p:04x}fffe\\U{p:04x}ffff" for p in range(17))
    reserved = f"[\ufdd0-\ufdef{planes}\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f]"
    spaces = "[\t\n\v\f\r \x85\u2028\u2029]+"
    return re.sub(spaces, " ", re.sub(reserved, "", text)).strip()


def one_title_each(pairs: list[tuple[str, str]]) -> dict[str, str]:
    titles: dict[str, str] = {}
    for item, text in pairs:
        if plain_title(text) and titles.setdefault(item, plain_title(text)) != plain_title(text):
            raise UnreadableError(f"two titles of {item}")
    return titles


def plain_table(events: bytes, items: bytes, separator: str) -> tuple[Rows, dict[str, str]]:
    columns = ["user", "item", "rating", "timestamp"]
    rows: Rows = []
    for user, item, rating, time in plain_columns(events, separator, columns, True):
        if not user or not item:
            raise UnreadableError("empty id")
        rows.append((user, item, number(rating), moment(time)))
    named = plain_columns(items, separator, ["item", "title"], True)
    if any(not item for item, _ in named):
        raise UnreadableError("empty id")
    return rows, one_title_each([(item, title) for item, title in named])


def whole_number(text: str) -> int:
    if re.fullmatch(r"\s*0[xX][0-9a-fA-F]+\s*", text, re.ASCII):
        return int(text, 16)
    if not re.fullmatch(r"\s*-?\d+\s*", text, re.ASCII):
        raise UnreadableError(f"{text!r} is no whole number")
    return int(text)


def plain_ml_1m(ratings: bytes, movies: bytes) -> tuple[Rows, dict[str, str]]:
    rows: Rows = []
    for fields in plain_rows(ratings, ":", False):
        if len(fields) != 7 or any(fields[1::2]):
            raise UnreadableError(f"fields {fields}")
        user, item, rating, time = fields[::2]
        ids = (str(whole_number(user)), str(whole_number(item)))
        rows.append((*ids, number(rating), whole_number(time)))
    try:
        text = movies.decode("utf-8")
    except UnicodeDecodeError:
        text = movies.decode("latin-1")
    named = []
    for line in text.split("\n"):
        fields = line.removesuffix("\r").split("::")
        if fields != [""]:
            if len(fields) < 3 or not re.fullmatch(r"\d+", fields[0], re.ASCII):
                raise UnreadableError(line)
            named.append((str(int(fields[0])), "::".join(fields[1:-1])))
    return rows, one_title_each(named)


def plain_ml_100k(inter: bytes, item: bytes) -> tuple[Rows, dict[str, str]]:
    head = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    rows: Rows = []
    for u, i, rating, time in plain_columns(inter, "\t", head, False):
        ids = (str(whole_number(u)), str(whole_number(i)))
        rows.append((*ids, number(rating), math.floor(number(time))))
    head = ["item_id:token", "movie_title:token_seq", "release_year:token"]
    named = [
        (str(whole_number(i)), f"{title} ({year})" if re.fullmatch(r"\d{4}", year) else title)
        for i, title, year in plain_columns(item, "\t", head, False)
    ]
    return rows, one_title_each(named)


def plain_amazon(reviews: bytes, metadata: bytes) -> tuple[Rows, dict[str, str]]:
    rows = []
    for found in plain_objects(reviews):
        user, item = found.get("reviewerID"), found.get("asin")
        rating, time = plain_value(found.get("overall")), plain_value(found.get("unixReviewTime"))
        if is_text(user) and is_text(item) and None not in (rating, time):
            rows.append((user, item, rating, math.floor(time)))  # type: ignore[arg-type]
    year = [row for row in rows if 1_483_228_800 <= row[3] < 1_514_764_800]
    titles = {}
    for found in plain_objects(metadata):
        title = found.get("title")
        if is_text(found.get("asin")) and not re.search("[\ud800-\udfff]", str(title)):
            titles[found["asin"]] = plain_title(title) if isinstance(title, str) else ""
    wanted = {row[1] for row in year}
    return year, {item: t for item, t in titles.items() if t and item in wanted}


def plain_objects(raw: bytes) -> Iterator[dict[str, Any]]:
    for line in raw.split(b"\n"):
        try:
            found = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and not re.search("[\ud800-\udfff]", value)


def plain_value(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


# Files.


def table_files(separator: str) -> tuple[bytes, bytes]:
    events = io.StringIO(newline="")
    writer = csv.writer(events, delimiter=separator)
    writer.writerow(["user", "item", "rating", "timestamp", "note"])
    for n in range(12):
        note = 'said "no"\nand left' if n == 5 else "x"
        writer.writerow([f"u{n % 4}", n % 5, n % 9 / 2 + 0.5, 1_490_000_000 + 1000 * n, note])
    items = io.StringIO(newline="")
    writer = csv.writer(items, delimiter=separator)
    writer.writerow(["item", "title"])
    for n, title in enumerate(["Alien", 'He said "Hello"', "a\tb, c", "two\nlines", "Misérables"]):
        writer.writerow([n, title])
    return events.getvalue().encode(), items.getvalue().encode()


def ml_1m_files() -> tuple[bytes, bytes]:
    rows = "".join(f"{n % 4 + 1}::{n % 5 + 1}::{n % 5 + 1}::{956_703_932 + n}\n" for n in range(12))
    titles = ["A (1990)", "Mission:: (1996)", "Misérables, Les (1995)", '"Q"', "E"]
    movies = "".join(f"{n}::{title}::Drama|War\n" for n, title in enumerate(titles, start=1))
    return rows.encode(), movies.encode("latin-1")


def ml_100k_files() -> tuple[bytes, bytes]:
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    inter += "".join(f"{n % 4}\t{n % 3}\t{n % 5 + 1}\t{881_250_949 + n}\n" for n in range(12))
    item = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    item += '0\tToy "Story"\t1995\tX\n1\tunkonwn\t\tX\n2\tMisérables, Les\tV\t\n'
    return inter.encode(), item.encode()


def amazon_files() -> tuple[bytes, bytes]:
    reviews = [
        {"overall": 5.0 if n % 2 else "4.0", "reviewerID": f"U{n % 3}", "asin": f"B{n % 4}"}
        | {"reviewText": 'He "said"\n', "unixReviewTime": 1_498_867_200 + n}
        for n in range(12)
    ]
    books = [{"asin": f"B{n % 4}", "title": f"Book {n}", "also_buy": ["x"]} for n in range(5)]
    lines = ["".join(json.dumps(it) + "\n" for it in these) for these in (reviews, books)]
    return lines[0].encode(), lines[1].encode()


READERS: dict[str, tuple[tuple[bytes, bytes], tuple[str, str], bytes, Callable, Callable]] = {
    "csv": (
        table_files(","),
        ("i.csv", "t.csv"),
        b",",
        lambda folder: datasets.load("table").read(folder, NAMES),
        lambda *files: plain_table(*files, ","),
    ),
    "tsv": (
        table_files("\t"),
        ("i.tsv", "t.tsv"),
        b"\t",
        lambda folder: datasets.load("table").read(
            folder, names(interactions="i.tsv", items="t.tsv")
        ),
        lambda *files: plain_table(*files, "\t"),
    ),
    "dat": (
        ml_1m_files(),
        ("ratings.dat", "movies.dat"),
        b"::",
        lambda folder: datasets.load("ml-1m").read(folder, NAMES),
        plain_ml_1m,
    ),
    "inter": (
        ml_100k_files(),
        ("ml-100k.inter", "ml-100k.item"),
        b"\t",
        lambda folder: datasets.load("ml-100k").read(folder, NAMES),
        plain_ml_100k,
    ),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("damaged", [0, 1], ids=["events", "titles"])
def test_damaged_text_is_read_as_a_plain_reader_reads_it_or_refused(
    tmp_path: Path, fuzz_inputs: int, kind: str, damaged: int
) -> None:
    files, places, separator, read, plainly = READERS[kind]
    for place, raw in zip(places, files, strict=True):
        (tmp_path / place).write_bytes(raw)
    assert assert_read_or_refused(lambda: read(tmp_path), lambda: plainly(*files), b"")
    rng, n_read = random.Random(f"{kind} {damaged}"), 0
    for _ in range(fuzz_inputs // 2):
        raw = damaged_text(files[damaged], separator, rng)
        (tmp_path / places[damaged]).write_bytes(raw)
        both = [raw if place == damaged else files[place] for place in (0, 1)]
        n_read += assert_read_or_refused(
            lambda: read(tmp_path), lambda both=both: plainly(*both), raw
        )
    assert 0 < n_read < fuzz_inputs // 2


@pytest.mark.parametrize("damaged", [0, 1], ids=["reviews", "metadata"])
def test_damaged_json_lines_are_read_as_a_plain_reader_reads_them_or_refused(
    tmp_path: Path, fuzz_inputs: int, damaged: int, capfd: pytest.CaptureFixture[str]
) -> None:
    files, places = amazon_files(), (REVIEWS, METADATA)
    for place, raw in zip(places, files, strict=True):
        (tmp_path / place).write_bytes(gzip.compress(raw, 1))
    rng, n_read = random.Random(damaged), 0
    for _ in range(fuzz_inputs // 2):
        raw = damaged_lines(files[damaged], rng)
        (tmp_path / places[damaged]).write_bytes(gzip.compress(raw, 1))
        both = [raw if place == damaged else files[place] for place in (0, 1)]
        n_read += assert_read_or_refused(
            lambda: read_amazon(tmp_path, FILES, 2017), lambda both=both: plain_amazon(*both), raw
        )
    assert n_read > 0
    capfd.readouterr()


@pytest.mark.parametrize("kind", ["csv.gz", "csv.bz2", "csv.zst", "json.gz"])
def test_damaged_archives_give_what_was_packed_or_are_refused(
    tmp_path: Path, fuzz_inputs: int, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    codec = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}[kind.partition(".")[2]]
    is_amazon = kind.startswith("json")
    files = amazon_files() if is_amazon else table_files(",")
    places = (REVIEWS, METADATA) if is_amazon else (f"i.{kind}", "t.csv")
    parts = [packed(raw, codec) for raw in (files[0][:300], files[0][300:])]
    whole = b"".join(parts)
    (tmp_path / places[1]).write_bytes(packed(files[1], codec) if is_amazon else files[1])
    as_named = names(interactions=places[0])

    def read() -> Raw:
        if is_amazon:
            return read_amazon(tmp_path, FILES, 2017)
        return datasets.load("table").read(tmp_path, as_named)

    def plainly() -> tuple[Rows, dict[str, str]]:
        return plain_amazon(*files) if is_amazon else plain_table(*files, ",")

    (tmp_path / places[0]).write_bytes(whole)
    assert assert_read_or_refused(read, plainly, whole)
    rng = random.Random(kind)
    for _ in range(fuzz_inputs):
        raw = damaged_bytes(whole, rng)
        if raw in parts:
            continue  # cut between two archives: what is left is a sound one
        (tmp_path / places[0]).write_bytes(raw)
        # Without a checksum, what it inflates to is read as plain text is.
        expected = plainly if codec != "zstd" else lambda raw=raw: plain_zstd(raw, files[1])
        assert_read_or_refused(read, expected, raw)
    capfd.readouterr()


def plain_zstd(raw: bytes, items: bytes) -> tuple[Rows, dict[str, str]]:
    with pa.CompressedInputStream(pa.BufferReader(raw), "zstd") as inflated:
        return plain_table(inflated.read(), items, ",")


def packed(raw: bytes, codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(raw)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_damaged_parquet_is_read_as_its_values_say_or_refused(
    tmp_path: Path, fuzz_inputs: int, version: Any, compression: str
) -> None:
    items = table_files(",")[1]
    (tmp_path / "t.csv").write_bytes(items)
    path, as_named = tmp_path / "i.parquet", names(interactions="i.parquet")
    rng, n_read = random.Random(f"{version} {compression}"), 0
    for _ in range(fuzz_inputs // 4):
        table = odd_table(rng) if rng.random() < 0.6 else sound_table()
        how = {"data_page_version": version, "compression": compression}
        groups = rng.choice((None, 5))
        pq.write_table(table, path, **how, store_schema=rng.random() < 0.5, row_group_size=groups)
        raw = path.read_bytes()
        if rng.random() < 0.5:
            path.write_bytes(raw := damaged_bytes(raw, rng))
        n_read += assert_read_or_refused(
            lambda: datasets.load("table").read(tmp_path, as_named),
            lambda raw=raw: plain_parquet(raw, items),
            raw,
        )
    assert 0 < n_read < fuzz_inputs // 4


N = 12


def sound_table() -> pa.Table:
    moments = pa.array([1_490_000_000_000 + k for k in range(N)], pa.timestamp("ms"))
    return pa.table(
        {
            "user": [f"u{k % 4}" for k in range(N)],
            "item": [k % 5 for k in range(N)],
            "rating": [k % 5 + 0.5 for k in range(N)],
            "timestamp": moments,
        }
    )


def odd_table(rng: random.Random) -> pa.Table:
    """Columns of odd types and values, doubled, missing, in another order, or without rows."""
    sound = sound_table()
    columns = {name: sound[name] for name in sound.column_names}
    for name in rng.sample(list(columns), rng.randint(0, 2)):
        columns[name] = pa.chunked_array([odd_array(name, rng)])
    chosen = list(columns)
    if rng.random() < 0.2:
        rng.shuffle(chosen)
    if rng.random() < 0.1:
        chosen = rng.choice((chosen[1:], [*chosen, chosen[-1]]))
    table = pa.Table.from_arrays([columns[name] for name in chosen], chosen)
    return table.slice(0, 0) if rng.random() < 0.05 else table


WHOLE = [pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]


def odd_array(name: str, rng: random.Random) -> pa.Array:
    kind = rng.randrange(9)
    small = [rng.randrange(100) for _ in range(N)]
    if kind == 0:
        found = pa.array(small, rng.choice(WHOLE))
    elif kind == 1:
        odd = rng.choice((math.nan, math.inf, -0.0, 1e300, 5e-324, 0.1, 2.0**53))
        found = pa.array([odd if k == 3 else 4.5 for k in range(N)])
    elif kind == 2:
        found = pa.array(small).cast(pa.string()).cast(rng.choice((pa.large_string(), pa.binary())))
    elif kind == 3:
        found = pa.array([rng.choice(WORDS) for _ in range(N)])
    elif kind == 4:
        unit = rng.choice(("s", "ms", "us", "ns"))
        zone = rng.choice((None, "UTC", "+05:30", "America/New_York"))
        times = [rng.randrange(-(10**9), 2 * 10**9) for _ in range(N)]
        found = (
            pa.array(times, pa.timestamp("s"))
            .cast(pa.timestamp(unit))
            .cast(pa.timestamp(unit, zone))
        )
    elif kind == 5:
        days = [datetime.date(1960 + k, 1, 1 + k) for k in range(N)]
        found = pa.array(days, rng.choice((pa.date32(), pa.date64())))
    elif kind == 6:
        made = [decimal.Decimal(k) / 4 for k in small]
        found = pa.array(made, rng.choice((pa.decimal128(9, 2), pa.decimal128(30, 6))))
    elif kind == 7:
        made = [rng.choice((None, [k], [k, None])) for k in small]
        odd = [pa.nulls(N), pa.array(made), pa.array([{"a": k} for k in small])]
        found = rng.choice([*odd, pa.array([k > 50 for k in small]), pa.nulls(N, pa.int32())])
    else:
        found = pa.array([small[k] if k != 7 else rng.choice((None, 2**62, -1)) for k in range(N)])
    plain = pa.types.is_nested(found.type) or pa.types.is_null(found.type)
    return found if plain or rng.random() < 0.8 else found.dictionary_encode()


WORDS = [
    *(
        "",
        " ",
        "7",
        " 7 ",
        "007",
        "-1",
        "1.5",
        "nan",
        "1e3",
        "é",
        "\0",
        "\n",
        "u1",
        "u2",
        "5",
        "true",
    ),
    *("2020-01-31", "2020-01-31 08:00:00", "20200131", "1490000000", "1490000000000", "x" * 3000),
]


def plain_parquet(raw: bytes, items: bytes) -> tuple[Rows, dict[str, str]]:
    """Reads with Arrow in other pieces, and each value by itself."""
    with pq.ParquetFile(pa.BufferReader(raw)) as file:
        wanted = ["user", "item", "rating", "timestamp"]
        if any(file.schema_arrow.names.count(name) != 1 for name in wanted):
            raise UnreadableError(f"columns {file.schema_arrow.names}")
        pieces = [piece.select(wanted) for piece in file.iter_batches(batch_size=5, columns=wanted)]
    rows: Rows = []
    for piece in pieces:
        stamps = plain_stamps(piece["timestamp"])
        for row, time in zip(piece.to_pylist(), stamps, strict=True):
            rating = decoded(row["rating"])
            value = number(rating) if isinstance(rating, str) else float(rating)
            if not math.isfinite(value):
                raise UnreadableError(f"rating {rating}")
            rows.append((plain_id(row["user"]), plain_id(row["item"]), value, time))
    return rows, plain_table(table_files(",")[0], items, ",")[1]


def decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def plain_id(value: Any) -> str:
    value = decoded(value)
    if value is None or value == "" or isinstance(value, list | dict):
        raise UnreadableError(f"id {value!r}")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int) else AnyText()


class AnyText(str):
    """Equals any text: fractions, decimals and dates may be written in several ways."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    def __ne__(self, other: object) -> bool:
        return not self == other


def plain_stamps(values: pa.Array) -> list[int]:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_timestamp(values.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
        return [value // per_second for value in values.cast(pa.int64()).to_pylist()]
    days = datetime.date(1970, 1, 1)
    found = [decoded(value) for value in values.to_pylist()]
    if pa.types.is_date(values.type):
        return [(value - days).days * 86_400 for value in found]
    return [moment(value) if isinstance(value, str) else math.floor(value) for value in found]


# Valid text, written by Python's csv: read as it reads it.

texts = st.text(
    st.sampled_from("ab\",;\t\n\r\\' é“\u2028\x85\ufeff#0") | st.characters(codec="utf-8"),
    max_size=12,
)


@given(
    rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=30),
    separator=st.sampled_from([",", "\t", ";", "|"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
    packing=st.sampled_from(["", ".gz"]),
)
@settings(max_examples=300, deadline=None)
def test_valid_text_is_read_as_pythons_csv_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    separator: str,
    end: str,
    quoting: Any,
    encoding: str,
    packing: str,
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([("a", "b"), *rows])
    raw = text.getvalue().encode(encoding)
    path = tmp_path_factory.mktemp("csv") / f"x.csv{packing}"
    path.write_bytes(gzip.compress(raw, 1) if packing else raw)
    how = Written(separator=separator, encoding=encoding)
    expected = list(csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=separator))
    if any(row and len(row) != 2 for row in expected):
        # Where a line break is another than the file's, Python writes it without quotes.
        with pytest.raises(InputError, match=r"2 columns|broken|has no"):
            read_columns(path, ["a", "b"], texts=["a", "b"], may_be_null="b", written=how)
        return
    found = read_or_none(path, how)
    if any(not value for row in expected if row for value in row[:1]):
        assert found is None  # the first column may not be empty
        return
    assert found is not None
    assert [list(row) for row in found] == [row for row in expected[1:] if row]


def read_or_none(path: Path, how: Written) -> list[tuple[str, str]] | None:
    try:
        table = read_columns(path, ["a", "b"], texts=["a", "b"], may_be_null="b", written=how)
    except InputError as error:
        assert "has no 'a'" in str(error)
        return None
    return [(row["a"], row["b"] or "") for row in table.to_pylist()]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_quoted_line_breaks_at_every_offset_of_large_files_invent_no_row(
    tmp_path: Path, separator: str
) -> None:
    """Files of over 1 MB: Arrow's own reader cuts them into blocks inside of quotes."""
    for shift in range(8):
        lines = [f'{n}{separator}"{"x" * (n % 61)}a\nb{n}"' for n in range(30_000)]
        text = f"item{separator}title\n" + "y" * shift + "\n".join(lines) + "\n"
        path = tmp_path / ("x.csv" if separator == "," else "x.tsv")
        path.write_text(text)
        assert path.stat().st_size > 1 << 20
        table = read_columns(path, ["item", "title"], texts=["item", "title"])
        expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))[1:]
        assert table["item"].to_pylist() == [row[0] for row in expected]
        assert table["title"].to_pylist() == [row[1] for row in expected]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_across_the_edges_of_blocks_are_whole(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    rows = [[str(n), "é" * (n % 50)] for n in range(3000)]
    path.write_bytes(end.join(["a,b", *map(",".join, rows)]).encode())
    for block in (256, 1000, 1001, 4096):
        monkeypatch.setattr(outside, "_BLOCK", block)
        table = read_columns(path, ["a", "b"], texts=["a", "b"], may_be_null="b")
        assert [[row["a"], row["b"] or ""] for row in table.to_pylist()] == rows
