"""Users who meet an item twice, likes without dislikes, and what the data's last line says."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.datasets.building.build import Built, build
from stages.datasets.building.checks import check, describe, summary
from stages.datasets.building.params import Negatives
from stages.datasets.building.protocol import LeaveLastOut, PerUser, Protocol
from stages.datasets.building.raw import Raw
from stages.io.errors import InputError

Row = tuple[int, int, int, int]  # user, item, rating, timestamp
LAST = Protocol(4, LeaveLastOut())


def raw_of(rows: list[Row], untitled: frozenset[int] = frozenset()) -> Raw:
    user, item, rating, time = (list(column) for column in zip(*rows, strict=True))
    titled = sorted(set(item) - untitled)
    kinds = {
        "user": pa.int64(),
        "item": pa.int64(),
        "rating": pa.float64(),
        "timestamp": pa.int64(),
    }
    columns = zip(kinds.items(), (user, item, rating, time), strict=True)
    return Raw(
        pa.table({name: pa.chunked_array([pa.array(v, kind)]) for (name, kind), v in columns}),
        pa.table({"item": titled, "title": [f"T{i}" for i in titled]}),
    )


def doubled_table(seed: int = 0) -> list[Row]:
    """Events of 35 users, half of which come again later with another rating."""
    rng = np.random.default_rng(seed)
    once = [
        (user, int(item), int(rng.integers(1, 6)), int(rng.integers(10**6)))
        for user in range(1, 36)
        for item in rng.choice(40, 20, replace=False)
    ]
    again = [
        (u, i, int(rng.integers(1, 6)), t + 10**6) for u, i, _, t in once if rng.random() < 0.5
    ]
    return once + again


def own_item_in_history(built: Built) -> list[int]:
    """The labels of rows whose item stands in their own history."""
    rows = built.interactions.to_pylist()
    return [row["label"] for row in rows if row["iid"] in row["history"]]


def test_a_rating_given_twice_puts_no_title_into_its_own_history() -> None:
    rows = doubled_table()
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1)), 25)
    check(built, PerUser(0.1, 0.1), keep_history=25, n_raw=len(rows))
    assert own_item_in_history(built) == []
    found = describe(built, {})
    assert found["own_item_in_history"] == 0
    assert found["dropped"]["repeats"] == len(rows) - 35 * 20
    assert "repeats" in summary(built, found, 4)


def test_kept_repeats_leak_and_it_is_counted_and_told() -> None:
    rows = doubled_table()
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1), repeats="keep"), 25)
    leaky = own_item_in_history(built)
    found = describe(built, {})
    assert found["own_item_in_history"] == len(leaky) > 100
    assert f"{len(leaky):,} rows with their own item in their history" in summary(built, found, 4)


@pytest.mark.parametrize(
    ("repeats", "expected"), [("last", [(1, 9), (0, 4)]), ("first", [(0, 1), (1, 2)])]
)
def test_the_last_or_the_first_in_time_counts_wherever_it_stands_in_the_file(
    repeats: str, expected: list[tuple[int, int]]
) -> None:
    rows = [(2, 7, 5, 2), (1, 7, 5, 9), (1, 7, 1, 1), (2, 7, 1, 4), (1, 7, 5, 3)]
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1), repeats=repeats), 5)  # type: ignore
    found = built.interactions.to_pylist()
    assert [(row["label"], row["timestamp"]) for row in found] == expected


@pytest.mark.parametrize("repeats", ["last", "first", "keep"])
def test_a_row_that_stands_there_twice_counts_once(repeats: str) -> None:
    rows = [(1, 7, 5, 9), (1, 7, 5, 9), (1, 8, 1, 9), (1, 7, 5, 9)]
    built = build(raw_of(rows), Protocol(4, PerUser(0.1, 0.1), repeats=repeats), 5)  # type: ignore
    assert built.dropped["exact_repeats"] == 2 and built.dropped["repeats"] == 0
    assert built.interactions["label"].to_pylist() == [1, 0]


def test_leave_last_out_needs_three_rows_and_counts_who_has_fewer() -> None:
    rows = [(1, item, 4 + item % 2, item) for item in range(1, 6)]
    rows += [(2, 1, 1, 1), (2, 2, 5, 2), (3, 1, 1, 1), (3, 2, 5, 2), (3, 3, 1, 3)]
    built = build(raw_of(rows), LAST, 5)
    assert built.split.tolist() == [0, 0, 0, 1, 2, 0, 0, 0, 1, 2]
    found = describe(built, {})
    assert found["users_without_test_row"] == 1
    assert "1 users without a test row" in summary(built, found, 4)


def test_an_empty_split_names_leave_last_out() -> None:
    rows = [(user, item, item, item) for user in (1, 2) for item in range(1, 6)]
    rules = Protocol(4, PerUser(0.1, 0.1))
    built = build(raw_of(rows), rules, 5)
    with pytest.raises(InputError, match=r"valid split is empty.*leave_last_out"):
        check(built, rules.split, keep_history=5, n_raw=len(rows))


def test_an_empty_split_says_what_was_dropped_before() -> None:
    rows = [(user, item, item, item) for user in (1, 2) for item in range(1, 11)]
    rules = Protocol(4, PerUser(0.1, 0.1))
    built = build(raw_of(rows, untitled=frozenset(range(1, 8))), rules, 5)
    with pytest.raises(InputError, match=r"valid split is empty.*; dropped before: 14 without tit"):
        check(built, rules.split, keep_history=5, n_raw=len(rows))


# Likes alone.

EVENTS = [(user, item, 1, item) for user in range(1, 9) for item in range(user, user + 12)]


def likes(per_event: int = 1, seed: int = 1, events: list[Row] = EVENTS) -> Built:
    negatives = Negatives(per_event=per_event, seed=seed)
    return build(raw_of(events), Protocol(1, LeaveLastOut(), negatives=negatives), 25)


def test_likes_alone_are_refused_with_the_key_that_draws_dislikes() -> None:
    built = build(raw_of(EVENTS), Protocol(1, LeaveLastOut()), 25)
    with pytest.raises(InputError, match=r"likes and dislikes; set .*preprocess\.table\.negatives"):
        check(built, LeaveLastOut(), keep_history=25, n_raw=len(EVENTS))


@given(per_event=st.integers(1, 3), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_negatives_are_items_never_met_beside_their_event(per_event: int, seed: int) -> None:
    built = likes(per_event, seed)
    check(built, LeaveLastOut(), keep_history=25, n_raw=len(EVENTS))
    rows = built.interactions.append_column("split", pa.array(built.split)).to_pylist()
    met = {(row["uid"], row["iid"]) for row in rows if row["label"]}
    drawn = [(row["uid"], row["iid"]) for row in rows if not row["label"]]
    assert len(met) == len(EVENTS) and not met & set(drawn) and len(set(drawn)) == len(drawn)
    assert built.drawn == len(drawn) <= per_event * len(EVENTS)
    waiting: list[dict] = []
    for row in rows:  # negatives come before their event: same user, time, split and history
        waiting.append(row)
        if row["label"]:
            shared = ("uid", "timestamp", "split", "history")
            assert all(other[key] == row[key] for other in waiting for key in shared)
            assert len(waiting) <= per_event + 1
            waiting = []
    assert not waiting


def test_negatives_follow_their_own_seed_and_nothing_else() -> None:
    assert likes(seed=3).interactions.equals(likes(seed=3).interactions)
    assert not likes(seed=3).interactions.equals(likes(seed=4).interactions)


def test_a_user_who_has_met_all_items_gets_no_negatives() -> None:
    events = [(1, item, 1, item) for item in range(1, 11)] + [(2, 1, 1, 1), (2, 2, 1, 2)]
    built = likes(per_event=2, events=events)
    labels = {1: 0, 2: 0}
    for row in built.interactions.to_pylist():
        labels[row["uid"]] += 1 - row["label"]
    assert labels == {1: 0, 2: 4}
    assert "4 rows of label 0 drawn" in summary(built, describe(built, {}), 1)


# The last line.


def test_the_line_says_rows_users_items_share_liked_scale_and_why_rows_are_gone() -> None:
    rows = [(1, item, 2 * item, item) for item in range(1, 6)] * 2 + [(2, 6, 4, 1), (2, 9, 4, 1)]
    built = build(raw_of(rows, untitled=frozenset({9})), LAST, 5)
    found = describe(built, {"titles_with_reserved_characters": 3})
    assert summary(built, found, 4) == (
        "6 rows (train 4, valid 1, test 1) of 2 users and 6 items; 83% liked (rating 4 or more, of "
        "2 to 10); dropped: 5 exact repeats, 1 without title (items '9'); 1 users without a test "
        "row; 3 titles with reserved characters, which were removed"
    )


def test_ids_that_match_nowhere_are_shown_from_both_sides() -> None:
    def text(ids: list[str]) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(ids, pa.string())])

    numbers = raw_of([(1, 1, 5, 0)] * 4).interactions
    written = text(["1.0", "2.0", "3.0", "4.0"])
    titles = pa.table({"item": text(["1", "2", "3", "4"]), "title": text(["A", "B", "C", "D"])})
    with pytest.raises(InputError) as caught:
        build(Raw(numbers.set_column(1, "item", written), titles), LAST, 5)
    assert str(caught.value) == (
        "data/raw: no row is left of 4: no item has a title; ids of rows: '1.0', '2.0', '3.0'; "
        "ids of titles: '1', '2', '3'; write them alike in both"
    )
