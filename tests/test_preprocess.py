"""preprocess: the protocol as properties, against a naive way, and against the published split."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_table import NAMES, PREPROCESS, names
from ruamel.yaml import YAML

from stages import datasets
from stages.datasets.building import checks
from stages.datasets.building.build import Built, build
from stages.datasets.building.checks import check, describe
from stages.datasets.building.dataset import protocol
from stages.datasets.building.params import Preprocess
from stages.datasets.building.protocol import (
    Fractions,
    HalvedDecember,
    LeaveLastOut,
    Months,
    PerUser,
    Protocol,
    Split,
)
from stages.datasets.building.raw import Raw
from stages.io import tables
from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.tables import INTERACTIONS, ITEMS, SPLITS, USERS, read_table, write_table

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
MONTH = 31 * 86_400
START_2017 = 1_483_228_800
SPLIT_KINDS: list[Split] = [
    PerUser(0.2, 0.2),
    LeaveLastOut(),
    Fractions(0.2, 0.2),
    Months((0, 2, 4, 6)),
    HalvedDecember(2017),
]
Row = tuple[int, int, int, int]  # user, item, rating, timestamp

rows_of = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.integers(1, 8),
        st.integers(1, 5),
        st.integers(0, 11).map(lambda month: START_2017 + month * MONTH),
    ),
    min_size=1,
    max_size=60,
)


def raw_of(rows: list[Row], untitled: frozenset[int] = frozenset(), text: bool = False) -> Raw:
    kind = pa.string() if text else pa.int64()
    user, item, rating, time = (list(column) for column in zip(*rows, strict=True))
    known = sorted(set(item) - untitled)
    return Raw(
        pa.table(
            {
                "user": pa.chunked_array([pa.array(user).cast(kind)]),
                "item": pa.chunked_array([pa.array(item).cast(kind)]),
                "rating": pa.chunked_array([pa.array(rating, pa.float64())]),
                "timestamp": pa.chunked_array([pa.array(time, pa.int64())]),
            }
        ),
        pa.table(
            {
                "item": pa.chunked_array([pa.array(known, pa.int64()).cast(kind)]),
                "title": pa.chunked_array([pa.array([f"T{i}" for i in known], pa.string())]),
            }
        ),
    )


def try_build(raw: Raw, rules: Protocol, keep: int | None) -> Built | None:
    """Builds; None where the protocol leaves no row, which is refused."""
    try:
        return build(raw, rules, keep)
    except InputError as error:
        assert "no row is left" in str(error)
        return None


def naive(
    rows: list[Row], split: Split, keep: int | None, positive_from: float, repeats: str
) -> list[dict]:
    """The protocol row by row: fold, sort, walk, remember."""
    ordered = sorted(fold(rows, repeats), key=lambda row: (row[0], row[3]))
    users = np.array([row[0] for row in ordered])
    times = np.array([row[3] for row in ordered])
    parts = split.assign(users, times, min(row[3] for row in rows))
    uids: dict[int, int] = {}
    iids: dict[int, int] = {}
    liked: dict[int, list[int]] = {}
    out: list[dict] = []
    for (user, item, rating, time), part in zip(ordered, parts, strict=True):
        if part < 0:
            continue
        uid, iid = uids.setdefault(user, len(uids) + 1), iids.setdefault(item, len(iids) + 1)
        before = liked.setdefault(user, [])
        history = before[-keep:] if keep else list(before)
        label = int(rating >= positive_from)
        out.append(
            {"row": len(out), "uid": uid, "iid": iid, "label": label, "timestamp": time}
            | {"history": history, "split": int(part)}
        )
        if label:
            before.append(iid)
    n_user, n_item = {}, {}
    for row in out:
        n_user[row["uid"]] = n_user.get(row["uid"], 0) + (row["split"] == 0)
        n_item[row["iid"]] = n_item.get(row["iid"], 0) + (row["split"] == 0)
    for row in out:
        least = min(n_user[row["uid"]], n_item[row["iid"]])
        row |= {"seen": least >= 1, "warm": least > 3}
    return out


def fold(rows: list[Row], repeats: str) -> list[Row]:
    """Equal rows once; then of each user and item the last or first in time, or all of them."""
    distinct = list(dict.fromkeys(rows))
    if repeats == "keep":
        return distinct
    counts: dict[tuple[int, int], Row] = {}
    in_time = sorted(distinct, key=lambda row: row[3])
    for row in in_time if repeats == "last" else reversed(in_time):
        counts[row[:2]] = row
    return [row for row in distinct if counts[row[:2]] is row]


@given(
    rows=rows_of,
    keep=st.none() | st.integers(1, 4),
    split=st.sampled_from(SPLIT_KINDS),
    repeats=st.sampled_from(["last", "first", "keep"]),
)
@settings(max_examples=200, deadline=None)
def test_every_row_is_what_a_walk_through_the_users_gives(
    rows: list[Row], keep: int | None, split: Split, repeats: Any
) -> None:
    built = try_build(raw_of(rows), Protocol(4, split, repeats=repeats), keep)
    expected = naive(rows, split, keep, 4, repeats)
    if built is None:
        assert expected == []
        return
    found = built.interactions.append_column("split", pa.array(built.split)).to_pylist()
    assert found == expected


@given(rows=rows_of, split=st.sampled_from(SPLIT_KINDS))
@settings(max_examples=100, deadline=None)
def test_rows_are_conserved_unique_and_their_checks_pass(rows: list[Row], split: Split) -> None:
    raw = raw_of(rows, untitled=frozenset({1, 2}))
    built = try_build(raw, Protocol(4, split, more_than=2), 3)
    if built is None:
        return
    assert built.interactions.num_rows + sum(built.dropped.values()) == len(rows)
    assert built.interactions["row"].to_pylist() == list(range(built.interactions.num_rows))
    assert "1" not in built.items["source_id"].to_pylist()
    try:
        check(built, split, keep_history=3, n_raw=len(rows))
    except InputError as error:
        assert "split is empty" in str(error) or "have label" in str(error)


@given(rows=rows_of)
@settings(max_examples=100, deadline=None)
def test_history_never_contains_the_row_itself_or_later_ones(rows: list[Row]) -> None:
    built = build(raw_of(rows), Protocol(4, PerUser(0.2, 0.2)), None)
    table = built.interactions.to_pylist()
    place = {(row["uid"], row["iid"]): row["row"] for row in table}
    for row in table:
        assert all(place[row["uid"], iid] < row["row"] for iid in row["history"])


@given(rows=rows_of)
@settings(max_examples=50, deadline=None)
def test_text_ids_and_numbers_of_one_digit_give_the_same_rows(rows: list[Row]) -> None:
    rules = Protocol(4, PerUser(0.2, 0.2))
    numbers, texts = build(raw_of(rows), rules, 5), build(raw_of(rows, text=True), rules, 5)
    assert numbers.interactions.equals(texts.interactions)
    assert numbers.users.equals(texts.users) and numbers.items.equals(texts.items)


def test_whole_number_ids_sort_as_numbers() -> None:
    built = build(raw_of([(10, 1, 5, 0), (9, 2, 5, 0)]), Protocol(4, PerUser(0.1, 0.1)), 5)
    assert built.users["source_id"].to_pylist() == ["9", "10"]


def test_tied_rows_keep_the_order_of_the_file() -> None:
    rows = [(1, item, 5, 7) for item in (3, 1, 2)]
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1)), 5)
    assert built.items["source_id"].to_pylist() == ["3", "1", "2"]
    assert built.interactions["history"].to_pylist() == [[], [1], [1, 2]]


def test_histories_written_in_pieces_are_those_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = example()
    write_table(built.interactions, tmp_path / "at once", INTERACTIONS)
    monkeypatch.setattr(tables, "_MOST_ELEMENTS", 7)
    monkeypatch.setattr(checks, "_ELEMENTS_AT_ONCE", 7)
    write_table(built.interactions, tmp_path / "in pieces", INTERACTIONS)
    check_example(built)
    assert pq.ParquetFile(tmp_path / "in pieces").num_row_groups > 5
    found, expected = (pq.read_table(tmp_path / name) for name in ("in pieces", "at once"))
    assert found.equals(expected)
    assert found["history"].to_pylist() == built.interactions["history"].to_pylist()


def test_twenty_thousand_likes_of_one_user_are_no_copies() -> None:
    n = 20_000
    rows = [(1, item, 5, item) for item in range(1, n + 1)]
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1)), None)
    assert built.interactions["history"][-1].values.to_pylist() == list(range(1, n))
    # Whole histories are n * (n - 1) / 2 numbers of 4 bytes.
    assert built.interactions.nbytes < 100 * n


@given(
    n_rows=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    valid=st.sampled_from([0.1, 0.2, 0.3]),
    test=st.sampled_from([0.1, 0.25, 0.5]),
)
def test_per_user_shares_are_floors_and_the_last_rows(
    n_rows: list[int], valid: float, test: float
) -> None:
    user = np.repeat(np.arange(len(n_rows)), n_rows)
    parts = PerUser(valid, test).assign(user, np.arange(len(user)), 0)
    for number, n in enumerate(n_rows):
        own = parts[user == number].tolist()
        n_test, n_valid = int(n * test + 1e-9), int(n * valid + 1e-9)
        assert own == [0] * (n - n_test - n_valid) + [1] * n_valid + [2] * n_test


def test_a_user_with_one_row_has_it_in_train() -> None:
    assert PerUser(0.4, 0.5).assign(np.array([7]), np.array([0]), 0).tolist() == [0]


@given(times=st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_fractions_cut_by_time_at_exact_counts(times: list[int]) -> None:
    time = np.array(times)
    parts = Fractions(0.2, 0.1).assign(np.zeros(len(time)), time, 0)
    n_test, n_valid = int(len(time) * 0.1 + 1e-9), int(len(time) * 0.2 + 1e-9)
    assert [int((parts == k).sum()) for k in (1, 2)] == [n_valid, n_test]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        if (parts == earlier).any() and (parts == later).any():
            assert time[parts == earlier].max() <= time[parts == later].min()


def test_months_are_calendar_months_of_utc() -> None:
    moments = [
        "2000-04-30T23:59:59",
        "2000-05-01",
        "2000-07-31T23:59:59",
        "2000-08-01",
        "2001-04-01",
    ]
    time = np.array(moments, dtype="datetime64[s]").astype(np.int64)
    assert Months((1, 3, 4, 12)).assign(np.zeros(5), time, int(time[0])).tolist() == [
        *(-1, 0, 1, 2, -1)
    ]


def test_december_is_halved_by_time_and_days_by_protocol_order() -> None:
    day = np.array(["2017-12-02", "2017-12-01", "2017-12-01", "2017-11-30", "2018-01-01"])
    time = day.astype("datetime64[s]").astype(np.int64)
    assert HalvedDecember(2017).assign(np.zeros(5), time, 0).tolist() == [2, 1, 2, 0, -1]


def test_few_ratings_are_counted_once_and_before_anything_is_removed() -> None:
    # Item 2 has 2 ratings, one by user 3 who goes: it stays all the same.
    rows = [(1, 1, 5, 0), (1, 2, 5, 1), (2, 1, 5, 2), (2, 1, 5, 3), (3, 2, 5, 4)]
    rules = Protocol(4, PerUser(0.1, 0.1), more_than=1, repeats="keep")
    built = build(raw_of(rows), rules, 5)
    assert built.users["source_id"].to_pylist() == ["1", "2"]
    assert built.items["source_id"].to_pylist() == ["1", "2"]
    assert built.dropped == {
        **{"exact_repeats": 0, "repeats": 0, "without_title": 0},
        **{"few_ratings": 1, "outside_split": 0},
    }


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("ml-100k", Protocol(4.0, PerUser(0.1, 0.1))),
        ("ml-1m", Protocol(4.0, Months((14, 24, 29, 34)))),
        ("amazon-book", Protocol(5.0, HalvedDecember(2017), 2017, 20, "keep")),
        ("table", Protocol(4.0, PerUser(0.1, 0.1))),
        ("ml-latest-small", Protocol(4.0, PerUser(0.1, 0.1))),
        ("ml-20m", Protocol(4.0, PerUser(0.1, 0.1))),
        ("ml-25m", Protocol(4.0, PerUser(0.1, 0.1))),
        ("ml-32m", Protocol(4.0, PerUser(0.1, 0.1))),
        ("amazon-beauty-2023", Protocol(4.0, LeaveLastOut(), more_than=4)),
        ("amazon-books-2023", Protocol(4.0, LeaveLastOut(), more_than=4)),
    ],
)
def test_each_data_set_has_its_own_protocol(dataset: str, expected: Protocol) -> None:
    assert protocol(datasets.load(dataset), PREPROCESS) == expected


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("per_user", PerUser(0.2, 0.3)),
        ("leave_last_out", LeaveLastOut()),
        ("fractions", Fractions(0.2, 0.3)),
        ("months", Months((1, 2, 3, 4))),
    ],
)
def test_params_take_the_place_of_a_data_sets_own_split_and_threshold(
    split: str, expected: Split
) -> None:
    changes = {"valid_share": 0.2, "test_share": 0.3, "month_edges": [1, 2, 3, 4]}
    changes |= {"split": split, "positive_from": 3.0}
    params = Preprocess(**{**PREPROCESS.model_dump(), **changes})
    assert protocol(datasets.load("ml-1m"), params) == Protocol(3.0, expected)
    amazon = Protocol(3.0, expected, year=2017, more_than=20, repeats="keep")
    assert protocol(datasets.load("amazon-book"), params) == amazon


@pytest.mark.parametrize("positive_from", [None, 3.0])
def test_a_label_in_an_own_table_is_the_label_and_no_other_set_s_business(
    positive_from: float | None,
) -> None:
    table = names(rating=None, label="liked").model_dump()
    changes = {"table": table, "positive_from": positive_from}
    params = Preprocess(**{**PREPROCESS.model_dump(), **changes})
    assert protocol(datasets.load("table"), params).positive_from == 1.0
    assert protocol(datasets.load("ml-100k"), params).positive_from == (positive_from or 4.0)


def example() -> Built:
    rng = np.random.default_rng(3)
    rows = [
        (int(u), int(i), int(r), int(t))
        for u, i, r, t in zip(
            *(rng.integers(1, high, 200) for high in (9, 30, 6, 1000)), strict=True
        )
    ]
    return build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1)), 4)


def check_example(built: Built) -> None:
    n_raw = built.interactions.num_rows + sum(built.dropped.values())
    check(built, PerUser(0.1, 0.1), keep_history=4, n_raw=n_raw)


def broken(built: Built, name: str, row: int, value: Any) -> Built:
    """The data set with one value changed."""
    table = built.interactions
    values = table[name].to_pylist()
    values[row] = value(values[row])
    column = pa.chunked_array([pa.array(values, table.schema.field(name).type)])
    return replace(
        built, interactions=table.set_column(table.column_names.index(name), name, column)
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("history", lambda h: [*h[1:], h[0] + 1], "does not end with|not liked before"),
        ("history", lambda h: [h[0] + 1, *h[1:]], "not liked before"),
        ("history", lambda h: h[1:], "not all earlier"),
        ("history", lambda h: [*h, 1], "not all earlier"),
        ("row", lambda r: r + 1, "numbered from 0"),
        ("timestamp", lambda t: t + 10**6, "not ordered"),
        ("uid", lambda u: u + 1, "not ordered"),
        ("iid", lambda i: i + 10**6, "not numbered by first appearance"),
        ("iid", lambda i: 0, "not numbered by first appearance"),
    ],
)
def test_the_checks_catch_one_wrong_value(name: str, change: Any, message: str) -> None:
    built = example()
    check(built, PerUser(0.1, 0.1), keep_history=4, n_raw=200)
    full = [len(h) == 4 for h in built.interactions["history"].to_pylist()]
    row = next(k for k in range(1, 199) if full[k] and full[k + 1])
    with pytest.raises(InputError, match=message):
        wrong = broken(built, name, row, change)
        check(wrong, PerUser(0.1, 0.1), keep_history=4, n_raw=200)


def test_a_later_item_in_a_history_is_called_a_leak_loudly() -> None:
    built = example()
    table = built.interactions.to_pylist()
    first_positive = next(row for row in table if row["label"] and not row["history"])
    leaky = broken(built, "history", first_positive["row"], lambda h: [first_positive["iid"]])
    with pytest.raises(InputError, match=r"history of a user's first row|not all earlier"):
        check(leaky, PerUser(0.1, 0.1), keep_history=4, n_raw=200)


def test_the_checks_catch_a_broken_boundary_and_lost_rows() -> None:
    built = example()
    swapped = replace(built, split=np.where(built.split == 0, 2, 0).astype(np.int8))
    n_train = int((swapped.split == 0).sum())
    counts = pa.array([n_train] + [0] * (built.users.num_rows - 1), pa.int32())
    items = pa.array([n_train] + [0] * (built.items.num_rows - 1), pa.int32())
    swapped = replace(
        swapped,
        users=built.users.set_column(2, "n_train", counts),
        items=built.items.set_column(3, "n_train", items),
    )
    with pytest.raises(InputError, match="not in this order of time"):
        check(swapped, PerUser(0.1, 0.1), keep_history=4, n_raw=200)
    with pytest.raises(InputError, match="ends at"):
        check(swapped, Fractions(0.1, 0.1), keep_history=4, n_raw=200)
    with pytest.raises(InputError, match="201 raw rows, but 200 kept or dropped"):
        check(built, PerUser(0.1, 0.1), keep_history=4, n_raw=201)


def test_an_empty_split_and_a_single_class_are_refused() -> None:
    rows = [(1, k, 5, k) for k in range(1, 8)]
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1)), 5)
    with pytest.raises(InputError, match="the valid split is empty"):
        check(built, PerUser(0.1, 0.1), keep_history=5, n_raw=7)
    built = build(raw_of(rows), Protocol(4, PerUser(0.2, 0.2)), 5)
    with pytest.raises(InputError, match="all 5 train rows have label 1"):
        check(built, PerUser(0.2, 0.2), keep_history=5, n_raw=7)


def test_repeated_rows_are_counted() -> None:
    rows = [(1, 1, 5, 0), (1, 1, 4, 0), (1, 1, 5, 1), (1, 2, 1, 2), (1, 3, 1, 2)]
    built = build(raw_of(rows), Protocol(4, PerUser(0.2, 0.2), repeats="keep"), 5)
    found = describe(built, {})
    assert found["own_item_in_history"] == 2
    assert (found["unique_user_item_time"], found["repeated_user_item_time"]) == (4, 1)


def params_text(changes: dict[str, Any]) -> str:
    """The project's `params.yaml` with other values for some keys, dotted where nested."""
    yaml = YAML(typ="rt")
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = params
        for section in sections:
            place = place[section]
        assert name in place, key
        place[name] = value
    stream = io.StringIO()
    yaml.dump(params, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "keep_history",
            2**62,
            "preprocess.keep_history = 4611686018427387904: input should be less",
        ),
        (
            "repeats",
            "drop",
            "preprocess.repeats = 'drop': input should be 'last', 'first' or 'keep'",
        ),
        ("table.separator", ";;", "preprocess.table.separator"),
        ("table.separator", '"', "stands between values"),
        (
            "table.encoding",
            "utf-88",
            "preprocess.table.encoding = 'utf-88': value error, expe",
        ),
        ("table.encoding", "hex", "preprocess.table.encoding = 'hex'"),
        ("table.interactions", "../a.csv", "expected the name of a file, without a folder"),
        ("table.rating", None, "or both be null and negatives say"),
        (
            "table.negatives",
            {"per_event": 0, "seed": 1},
            "preprocess.table.negatives.per_event",
        ),
        ("keep_history", 0, "preprocess.keep_history = 0: input should be greater than"),
        ("split", "random", "preprocess.split = 'random': input should be 'per_user'"),
        ("engine", "dask", "preprocess.engine = 'dask': input should be 'pandas' or 'spark'"),
        ("valid_share", 0.95, "leave nothing to train on"),
        ("month_edges", [14, 24, 24, 34], "month_edges must rise"),
        ("positive_from", "four", "preprocess.positive_from = 'four'"),
        ("table.label", "liked", "exactly one of rating and label"),
    ],
)
def test_each_bad_value_is_refused_with_its_key(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text({f"preprocess.{key}": value}), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_section(Preprocess, "preprocess", path)
    assert message in str(error.value) and "\n" not in str(error.value)


def run_stage(
    folder: Path, changes: dict[str, Any], stage: str = "preprocess"
) -> subprocess.CompletedProcess[str]:
    (folder / "params.yaml").write_text(params_text(changes), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def write_ml_1m(folder: Path) -> None:
    """A small data set in GroupLens' format, with an accent in Latin-1 and two colons."""
    rng = np.random.default_rng(1)
    (folder / "data/raw").mkdir(parents=True)
    lines = [
        f"{user}::{item}::{rating}::{956_703_932 + 1000 * k}\n"
        for user in (2, 10)
        for k, (item, rating) in enumerate(rng.integers(1, 6, (40, 2)).tolist())
    ]
    (folder / "data/raw/ratings.dat").write_text("".join(lines), encoding="latin-1")
    titles = ["Misérables, Les (1995)", "Mission:: (1996)", "C (1)", "D (2)", "E (3)"]
    movies = "".join(f"{k}::{title}::Drama\n" for k, title in enumerate(titles, start=1))
    (folder / "data/raw/movies.dat").write_text(movies, encoding="latin-1")


def test_the_stage_writes_its_tables_and_the_same_bytes_again(tmp_path: Path) -> None:
    write_ml_1m(tmp_path)
    written = []
    for _ in range(2):
        changes = {"preprocess.split": "per_user", "preprocess.repeats": "keep"}
        ended = run_stage(tmp_path, {"dataset": "ml-1m", **changes})
        assert ended.returncode == 0, ended.stderr
        written.append(
            {path.name: path.read_bytes() for path in (tmp_path / "data/interactions").iterdir()}
        )
    assert written[0] == written[1]
    folder = tmp_path / "data/interactions"
    sizes = [read_table(folder / f"{name}.parquet", INTERACTIONS).num_rows for name in SPLITS]
    assert sizes == [64, 8, 8]
    assert read_table(folder / "users.parquet", USERS)["source_id"].to_pylist() == ["2", "10"]
    titles = read_table(folder / "items.parquet", ITEMS)["title"].to_pylist()
    assert {"Misérables, Les (1995)", "Mission:: (1996)"} <= set(titles)
    found = json.loads((tmp_path / "metrics/data.json").read_text(encoding="utf-8"))
    assert (found["users"], found["users_with_padding"], found["rows"]) == (2, 3, 80)
    assert found["train"]["rows"] == 64 and found["raw"]["rows"] == 80


def test_the_stage_ends_in_one_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    write_ml_1m(tmp_path)
    (tmp_path / "data/interactions").mkdir()
    (tmp_path / "data/interactions/old").write_text("x")
    ended = run_stage(tmp_path, {"dataset": "ml-1m"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: data/raw: no row is left of 80")
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "data/interactions").iterdir()] == ["old"]
    assert not (tmp_path / "metrics").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is missing")
def test_ml_1m_gives_the_published_split_row_for_row() -> None:
    dataset = datasets.load("ml-1m")
    rules = protocol(dataset, PREPROCESS)
    raw = dataset.read(SHARED / "ml-1m-raw", NAMES)
    built = build(raw, rules, None)
    check(built, rules.split, keep_history=None, n_raw=raw.interactions.num_rows)
    titles = built.items["title"].to_numpy(zero_copy_only=False)
    for number, name in enumerate(SPLITS):
        expected = pq.read_table(SHARED / "ml-1m-split" / f"{name}.parquet")
        found = built.interactions.filter(pa.array(built.split == number))
        for column in ("row", "uid", "iid", "label", "timestamp", "history"):
            assert found[column].to_pylist() == expected[column].to_pylist(), (name, column)
        assert found["seen"].cast(pa.int8()).to_pylist() == expected["not_cold"].to_pylist()
        assert titles[found["iid"].to_numpy() - 1].tolist() == expected["title"].to_pylist()
    described = describe(built, {})
    assert [described[name]["rows"] for name in SPLITS] == [33_891, 10_401, 7_331]
    assert (described["users_with_padding"], described["items_with_padding"]) == (839, 3_256)
    assert (described["test"]["seen"], described["test"]["warm"]) == (4_153, 3_522)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is missing")
def test_the_two_stages_give_the_published_split_from_a_folder(tmp_path: Path) -> None:
    changes = {
        "dataset": "ml-1m",
        "fetch_data.source": str(SHARED / "ml-1m-raw"),
        "preprocess.keep_history": None,
    }
    for stage in ("fetch_data", "preprocess"):
        ended = run_stage(tmp_path, changes, stage)
        assert ended.returncode == 0, ended.stderr
    for name in SPLITS:
        found = read_table(tmp_path / f"data/interactions/{name}.parquet", INTERACTIONS)
        expected = pq.read_table(SHARED / "ml-1m-split" / f"{name}.parquet")
        assert found["row"].to_pylist() == expected["row"].to_pylist()
        assert found["history"].to_pylist() == expected["history"].to_pylist()
