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
from stages.io.tables import SPLITS

_ROWS_AT_ONCE = 1 << 14  # so that what is compared stays in the processor's cache


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
    _check_presence(built.split, column["label"])


def _check_conservation(built: Built, n_raw: int) -> None:
    found = built.interactions.num_rows + sum(built.dropped.values())
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
    length = pc.list_value_length(history).to_numpy()
    items = pc.list_flatten(history).to_numpy()
    start = np.cumsum(length) - length
    follows = np.r_[False, uid[1:] == uid[:-1]][: len(uid)]
    _refuse(~follows & (length > 0), "history of a user's first row is not empty")
    here = np.flatnonzero(follows)
    added = np.asarray(label)[here - 1] == 1
    grown = length[here - 1] + added
    expected = grown if keep is None else np.minimum(grown, keep)
    _refuse_at(here[length[here] != expected], "history is not all earlier positive items")
    last = here[added]
    wrong = items[start[last] + length[last] - 1] != iid[last - 1]
    _refuse_at(last[wrong], "history does not end with the last positive item")
    # What is left must stand at the same distance from the end of the history before.
    shared = length[here] - added
    old = start[here - 1] + length[here - 1] - shared
    for at in range(0, len(here), _ROWS_AT_ONCE):
        piece = slice(at, at + _ROWS_AT_ONCE)
        _check_equal_stretches(items, start[here[piece]], old[piece], shared[piece], here[piece])


def _check_equal_stretches(
    items: NDArray, new: NDArray, old: NDArray, length: NDArray, rows: NDArray
) -> None:
    """Refuses rows whose items from `new` on are not those from `old` on, over `length`."""
    within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    differs = items[np.repeat(new, length) + within] != items[np.repeat(old, length) + within]
    if differs.any():
        _refuse_at(
            np.repeat(rows, length)[differs], "history holds an item that was not liked before"
        )


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


def _check_presence(split: NDArray, label: NDArray) -> None:
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            sizes = {other: int((split == k).sum()) for k, other in enumerate(SPLITS)}
            raise InputError(
                f"preprocess: the {name} split is empty: {sizes}; choose another preprocess.split, "
                "shares or month_edges"
            )
    if len(np.unique(label[split == 0])) < 2:
        raise InputError(
            f"preprocess: all {int((split == 0).sum())} train rows have label "
            f"{int(label[split == 0][0])}; check preprocess.positive_from"
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
    return {
        "rows": table.num_rows,
        "users": built.users.num_rows,
        "items": built.items.num_rows,
        "users_with_padding": built.users.num_rows + 1,
        "items_with_padding": built.items.num_rows + 1,
        "unique_user_item_time": n_unique,
        "repeated_user_item_time": table.num_rows - n_unique,
        **{
            name: _describe_split(table.filter(pa.array(built.split == number)))
            for number, name in enumerate(SPLITS)
        },
        "dropped": built.dropped,
        "raw": counts,
    }


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
