"""Checks of a built data set, and its description: run on every build, cheap and loud.

Nothing here reuses how `build` computes: a history is compared with the row before, a split with
its neighbours, so that a mistake there cannot hide itself here.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.datasets.building.build import Built
from stages.datasets.building.protocol import Split
from stages.io.errors import InputError
from stages.io.tables import SPLITS, lists, pieces_of

_ELEMENTS_AT_ONCE = 1 << 20  # of histories: what is compared stays small


def check(built: Built, split: Split, *, keep_history: int | None, n_raw: int) -> None:
    """Refuses a data set that breaks the protocol.

    Args:
        built: the data set.
        split: how it was split.
        keep_history: longest history; None for no limit.
        n_raw: rows before anything was dropped.

    Raises:
        InputError: names what is wrong and the first row where.
    """
    column = {
        name: built.interactions[name].to_numpy()
        for name in ("row", "uid", "iid", "label", "timestamp")
    }
    _check_conservation(built, n_raw)
    _check_order(**{key: column[key] for key in ("row", "uid", "timestamp")})
    for key in ("uid", "iid"):
        _check_numbering(key, column[key])
    check_histories(
        column["uid"],
        column["iid"],
        column["label"],
        built.interactions["history"],
        keep_history,
    )
    _check_boundaries(built.split, column["uid"], column["timestamp"], split.by_user)
    _check_presence(built, column["label"])


def _check_conservation(built: Built, n_raw: int) -> None:
    found = built.interactions.num_rows - built.drawn + sum(built.dropped.values())
    if found != n_raw:
        raise InputError(f"preprocess: {n_raw} raw rows, but {found} kept or dropped")
    for table, key in ((built.users, "uid"), (built.items, "iid")):
        n_train = int(pc.sum(table["n_train"]).as_py())
        if n_train != int((built.split == 0).sum()):
            raise InputError(f"preprocess: n_train over all {key} is {n_train}, not train's rows")


def _check_order(row: NDArray, uid: NDArray, timestamp: NDArray) -> None:
    _refuse(row != np.arange(len(row)), "rows are not numbered from 0 on")
    step, elapsed = np.diff(uid), np.diff(timestamp)
    _refuse((step < 0) | ((step == 0) & (elapsed < 0)), "rows are not ordered by user and time", 1)


def _check_numbering(key: str, ids: NDArray) -> None:
    """New numbers rise by one: every number first appears after all smaller ones."""
    before = np.maximum.accumulate(np.r_[0, ids])[:-1]
    _refuse((ids < 1) | (ids > before + 1), f"{key} is not numbered by first appearance")


def check_histories(
    uid: NDArray, iid: NDArray, label: NDArray, history: pa.ChunkedArray, keep: int | None
) -> None:
    """Proves by induction that no history holds its own row or a later one, or misses any.

    A user's first history is empty; each next one is the one before, plus the item of the row
    before if that was positive, less the oldest beyond `keep`.

    Raises:
        InputError: names the first row that is otherwise.
    """
    length = pc.list_value_length(history).to_numpy().astype(np.int64)
    follows = np.r_[False, uid[1:] == uid[:-1]][: len(uid)]
    _refuse(~follows & (length > 0), "history of a user's first row is not empty")
    liked_before = np.r_[False, np.asarray(label)[:-1] == 1][: len(uid)] & follows
    grown = np.r_[0, length[:-1]][: len(uid)] + liked_before
    expected = grown if keep is None else np.minimum(grown, keep)
    _refuse(follows & (length != expected), "history is not all earlier positive items")
    for begin, end in pieces_of(length, _ELEMENTS_AT_ONCE):
        first = max(begin - 1, 0)  # the row before is what the first one is compared with
        own = slice(first, end)
        items = lists(history.slice(first, end - first)).flatten().to_numpy()
        _check_continued(items, length[own], iid[own], follows[own], liked_before[own], first)


def _check_continued(
    items: NDArray,
    length: NDArray,
    iid: NDArray,
    follows: NDArray,
    liked_before: NDArray,
    first: int,
) -> None:
    """Refuses rows whose history is not the end of the row's before, plus what was liked there.

    Args:
        items: all histories, one behind the other.
        length: (n,) of each history.
        iid: (n,) items of the rows.
        follows: (n,) whether the row before is of the same user.
        liked_before: (n,) whether the row before is, and is positive.
        first: number of the first of these rows, which is not checked itself.
    """
    start = np.cumsum(length) - length
    last = np.flatnonzero(liked_before[1:]) + 1
    wrong = items[start[last] + length[last] - 1] != iid[last - 1]
    _refuse_at(first + last[wrong], "history does not end with the last positive item")
    # What is left must stand at the same distance from the end of the history before.
    here = np.flatnonzero(follows[1:]) + 1
    shared = length[here] - liked_before[here]
    old = start[here - 1] + length[here - 1] - shared
    within = np.arange(shared.sum()) - np.repeat(np.cumsum(shared) - shared, shared)
    new, old = (items[np.repeat(begin, shared) + within] for begin in (start[here], old))
    differs = new != old
    if differs.any():
        rows = np.repeat(here, shared)[differs]
        _refuse_at(first + rows, "history holds an item that was not liked before")


def _check_boundaries(split: NDArray, uid: NDArray, timestamp: NDArray, by_user: bool) -> None:
    if by_user:
        back = (np.diff(uid) == 0) & (np.diff(split) < 0)
        _refuse(back, "a user's train, valid and test rows are not in this order of time", 1)
        return
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        before, after = timestamp[split == earlier], timestamp[split == later]
        if len(before) and len(after) and before.max() > after.min():
            raise InputError(
                f"preprocess: {SPLITS[earlier]} ends at {before.max()}, after the beginning of "
                f"{SPLITS[later]} at {after.min()}"
            )


def _check_presence(built: Built, label: NDArray) -> None:
    split, gone = built.split, _gone(built)
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            sizes = {other: int((split == k).sum()) for k, other in enumerate(SPLITS)}
            raise InputError(
                f"preprocess: the {name} split is empty: {sizes}; choose another preprocess.split "
                "(leave_last_out needs three rows per user), shares or month_edges"
                + (f"; dropped before: {', '.join(gone)}" if gone else "")
            )
    if len(np.unique(label[split == 0])) < 2:
        one = int(label[split == 0][0])
        low, high = built.ratings
        what = f"ratings from {low:g} to {high:g}" if low < high else f"every rating {low:g}"
        raise InputError(
            f"preprocess: all {int((split == 0).sum())} train rows have label {one} ({what}): "
            "there must be likes and dislikes; set preprocess.positive_from, or for likes alone "
            "preprocess.table.negatives with rating and label null"
        )


def _refuse(wrong: NDArray, what: str, shift: int = 0) -> None:
    _refuse_at(np.flatnonzero(wrong) + shift, what)


def _refuse_at(rows: NDArray, what: str) -> None:
    if len(rows):
        raise InputError(f"preprocess: row {rows.min()}: {what} ({len(np.unique(rows))} such rows)")


def describe(built: Built, counts: dict[str, int]) -> dict[str, Any]:
    """Describes a data set: the paper's Table 1, and what was found, dropped and repeated.

    Args:
        built: the data set.
        counts: what reading counted.

    Returns:
        Metrics for `metrics/data.json`. Shares are of the split's rows; `_with_padding` counts
        id 0 too, as the paper does.
    """
    table = built.interactions
    n_unique = _n_unique(*(table[key].to_numpy() for key in ("uid", "iid", "timestamp")))
    tested = len(np.unique(table["uid"].to_numpy()[built.split == 2]))
    return {
        "rows": table.num_rows,
        "users": built.users.num_rows,
        "items": built.items.num_rows,
        "users_with_padding": built.users.num_rows + 1,
        "items_with_padding": built.items.num_rows + 1,
        "users_without_test_row": built.users.num_rows - tested,
        "least_rating": built.ratings[0],
        "greatest_rating": built.ratings[1],
        "drawn_negatives": built.drawn,
        "unique_user_item_time": n_unique,
        "repeated_user_item_time": table.num_rows - n_unique,
        "own_item_in_history": _n_own_item_in_history(built),
        **{
            name: _describe_split(table.filter(pa.array(built.split == number)))
            for number, name in enumerate(SPLITS)
        },
        "dropped": built.dropped,
        "raw": counts,
    }


def summary(built: Built, described: dict[str, Any], positive_from: float) -> str:
    """Returns what was built in one line: rows, users, items, share positive, what was dropped.

    Args:
        built: the data set.
        described: what `describe` says of it.
        positive_from: least rating with label 1.
    """
    likes = float(np.mean(built.interactions["label"].to_numpy()))
    low, high = built.ratings
    scale = f"rating {positive_from:g} or more, of {low:g} to {high:g}"
    sizes = ", ".join(f"{name} {described[name]['rows']:,}" for name in SPLITS)
    parts = [
        f"{described['rows']:,} rows ({sizes}) of {described['users']:,} users and "
        f"{described['items']:,} items; {likes:.0%} liked ({scale})"
    ]
    if built.drawn:
        parts.append(f"{built.drawn:,} rows of label 0 drawn")
    parts.append(f"dropped: {', '.join(_gone(built)) or 'none'}")
    if described["users_without_test_row"]:
        parts.append(f"{described['users_without_test_row']:,} users without a test row")
    if described["own_item_in_history"]:
        parts.append(
            f"{described['own_item_in_history']:,} rows with their own item in their history: "
            "preprocess.repeats keeps it there"
        )
    odd = described["raw"].get("titles_with_reserved_characters")
    if odd:
        parts.append(f"{odd:,} titles with reserved characters, which were removed")
    return "; ".join(parts)


def _gone(built: Built) -> list[str]:
    """Returns how many rows were dropped, by reason, and the first items without title."""
    gone = [f"{n:,} {reason.replace('_', ' ')}" for reason, n in built.dropped.items() if n]
    if built.untitled:
        place = next(k for k, text in enumerate(gone) if text.endswith(" without title"))
        gone[place] += f" (items {', '.join(map(repr, built.untitled))})"
    return gone


def _n_own_item_in_history(built: Built) -> int:
    """Counts rows whose item stands in their history, so that an answer can be read off there."""
    uid, iid = (built.interactions[key].to_numpy() for key in ("uid", "iid"))
    order = np.lexsort((iid, uid))
    again = np.flatnonzero((np.diff(uid[order]) == 0) & (np.diff(iid[order]) == 0)) + 1
    histories = built.interactions["history"]
    return sum(iid[row] in histories[int(row)].values.to_numpy() for row in order[again])


def _describe_split(table: pa.Table) -> dict[str, Any]:
    def share(column: pa.ChunkedArray) -> float:
        return float(np.mean(column.to_numpy()))

    length = pc.list_value_length(table["history"])
    return {
        "rows": table.num_rows,
        "users": len(pc.unique(table["uid"])),
        "items": len(pc.unique(table["iid"])),
        "positive_share": share(table["label"]),
        "seen": int(pc.sum(table["seen"]).as_py()),
        "seen_share": share(table["seen"]),
        "warm": int(pc.sum(table["warm"]).as_py()),
        "warm_share": share(table["warm"]),
        "empty_history_share": share(pc.equal(length, 0)),
        "first_timestamp": int(pc.min(table["timestamp"]).as_py()),
        "last_timestamp": int(pc.max(table["timestamp"]).as_py()),
    }


def _n_unique(*columns: NDArray) -> int:
    order = np.lexsort(columns)
    new = np.zeros(max(len(order) - 1, 0), dtype=bool)
    for column in columns:
        new |= np.diff(column[order]) != 0
    return int(new.sum()) + bool(len(order))
