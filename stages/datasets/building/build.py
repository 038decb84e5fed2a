"""From raw interactions to labelled, split rows with histories: arrays, no loop over rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.datasets.building.negatives import draw_negatives
from stages.datasets.building.protocol import DROPPED, Protocol
from stages.datasets.building.raw import Raw
from stages.datasets.building.repeated import Ranked, without_repeats
from stages.io.errors import InputError
from stages.io.tables import ITEMS, USERS

WARM_ABOVE = 3  # a warm row's user and item each have more train rows than this
UNTITLED = 3  # so many items without a title are named


@dataclass(frozen=True)
class Built:
    """A data set ready to be checked and written.

    Attributes:
        interactions: the columns of `INTERACTIONS`, ordered by row, over all splits; histories
            may be views into one list of all likes.
        split: (rows,) 0 train, 1 valid, 2 test.
        users: the columns of `USERS`, ordered by uid.
        items: the columns of `ITEMS`, ordered by iid.
        dropped: raw rows left out, by reason.
        ratings: the least and the greatest rating.
        untitled: the first few items that have rows but no title, by their own ids.
        drawn: rows of label 0 that were added.
    """

    interactions: pa.Table
    split: NDArray[np.int8]
    users: pa.Table
    items: pa.Table
    dropped: dict[str, int]
    ratings: tuple[float, float]
    untitled: tuple[str, ...] = ()
    drawn: int = 0


def build(raw: Raw, protocol: Protocol, keep_history: int | None) -> Built:
    """Builds a data set (CoLLM's protocol).

    Rows are ordered by user, then time; ties keep the file's order. Users and items are numbered
    from 1 in order of first appearance among the rows that remain.

    Args:
        raw: the interactions and titles.
        protocol: labels, filters and split.
        keep_history: positive items kept per row; None keeps all.

    Raises:
        InputError: no row remains.
    """
    dropped: dict[str, int] = {}
    if not raw.interactions.num_rows:
        raise InputError("data/raw: the interactions are empty")
    first = int(pc.min(raw.interactions["timestamp"]).as_py())
    untitled = untitled_items(raw)
    table = _filter(raw, protocol, dropped)
    user, item = Ranked.of(table["user"]), Ranked.of(table["item"])
    timestamp = table["timestamp"].to_numpy()
    order = np.lexsort((timestamp, user.rank))  # stable: ties keep the file's order
    user_rank, item_rank, timestamp = user.rank[order], item.rank[order], timestamp[order]
    split = protocol.split.assign(user_rank, timestamp, first)
    kept = split != DROPPED
    dropped["outside_split"] = int(len(kept) - kept.sum())
    if not kept.any():
        raise InputError(nothing_left(raw.interactions.num_rows, dropped))
    label = table["rating"].to_numpy()[order][kept] >= protocol.positive_from
    user_rank, item_rank = user_rank[kept], item_rank[kept]
    split, timestamp = split[kept], timestamp[kept]
    n_events = len(label)
    if protocol.negatives is not None:
        event, item_rank, label = draw_negatives(user_rank, item_rank, label, protocol.negatives)
        user_rank, split, timestamp = user_rank[event], split[event], timestamp[event]
    uid, uid_rank = first_appearance(user_rank)
    iid, iid_rank = first_appearance(item_rank)
    n_user = np.bincount(uid[split == 0], minlength=len(uid_rank) + 1).astype(np.int32)
    n_item = np.bincount(iid[split == 0], minlength=len(iid_rank) + 1).astype(np.int32)
    least = np.minimum(n_user[uid], n_item[iid])
    interactions = pa.table(
        {
            "row": np.arange(len(uid), dtype=np.int64),
            "uid": uid,
            "iid": iid,
            "label": label.astype(np.int8),
            "timestamp": timestamp,
            "history": histories(uid, iid, label, keep_history),
            "seen": least >= 1,
            "warm": least > WARM_ABOVE,
        }
    )
    users = _ids("uid", user.distinct, uid_rank, n_user)
    items = _ids("iid", item.distinct, iid_rank, n_item)
    titles = raw.titles["title"].take(pc.index_in(item.distinct.take(iid_rank), raw.titles["item"]))
    return Built(
        interactions,
        split,
        users.cast(USERS),
        items.append_column("title", titles).select(ITEMS.names).cast(ITEMS),
        dropped,
        _extremes(raw.interactions["rating"]),
        untitled,
        drawn=len(label) - n_events,
    )


def _filter(raw: Raw, protocol: Protocol, dropped: dict[str, int]) -> pa.Table:
    """Drops repeats, rows without title, then users and items with few ratings, counted once."""
    table, repeats = without_repeats(raw.interactions, protocol.repeats)
    dropped |= repeats
    titled = pc.is_in(table["item"], raw.titles["item"])
    dropped["without_title"] = int(pc.sum(pc.invert(titled)).as_py())
    table = table.filter(titled)
    if not table.num_rows:
        raise InputError(_no_partners(raw))
    dropped["few_ratings"] = 0
    if protocol.more_than is not None:
        enough = np.ones(table.num_rows, dtype=bool)
        for key in ("user", "item"):
            rank = Ranked.of(table[key]).rank
            enough &= np.bincount(rank)[rank] > protocol.more_than
        dropped["few_ratings"] = int(len(enough) - enough.sum())
        table = table.filter(pa.array(enough))
    if not table.num_rows:
        raise InputError(nothing_left(raw.interactions.num_rows, dropped))
    return table


def untitled_items(raw: Raw) -> tuple[str, ...]:
    """Returns the first few items, in their order, that have rows but no title."""
    return _first_without(raw.interactions["item"], raw.titles["item"])


def _first_without(items: pa.ChunkedArray, partners: pa.ChunkedArray) -> tuple[str, ...]:
    alone = pc.unique(items.filter(pc.invert(pc.is_in(items, partners))))
    first = alone.take(pc.sort_indices(alone)[:UNTITLED])
    return tuple(first.cast(pa.string()).to_pylist())


def _no_partners(raw: Raw) -> str:
    sides = [untitled_items(raw), _first_without(raw.titles["item"], raw.interactions["item"])]
    without_title, without_rows = (", ".join(map(repr, ids)) or "none" for ids in sides)
    return (
        f"data/raw: no row is left of {raw.interactions.num_rows}: no item has a title; ids of "
        f"rows: {without_title}; ids of titles: {without_rows}; write them alike in both"
    )


def nothing_left(n_rows: int, dropped: dict[str, int]) -> str:
    """Returns the message for a data set of which nothing remains."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items() if n)
    return f"data/raw: no row is left of {n_rows}: {reasons}".replace("_", " ")


def _extremes(ratings: pa.ChunkedArray) -> tuple[float, float]:
    found = pc.min_max(ratings).as_py()
    return float(found["min"]), float(found["max"])


def first_appearance(values: NDArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Numbers values from 1 in order of first appearance.

    Args:
        values: (n,) whole numbers.

    Returns:
        (n,) their numbers, and the distinct values in that order.
    """
    distinct, where, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(where)
    number = np.empty(len(order), dtype=np.int32)
    number[order] = np.arange(1, len(order) + 1)
    return number[inverse], distinct[order]


def histories(uid: NDArray, iid: NDArray, label: NDArray, keep: int | None) -> pa.ChunkedArray:
    """The positive items before each row, of the same user, oldest first.

    All positives in row order form one long list in which every history is a contiguous stretch:
    it ends where the row stands and begins `keep` before, or where the user begins.

    Args:
        uid: (n,) users; rows of one user stand together, in order of time.
        iid: (n,) items.
        label: (n,) 1 or True where positive.
        keep: longest history, the most recent items; None keeps all.

    Returns:
        (n,) lists of int32, views into one list.
    """
    positive = np.asarray(label, dtype=bool)
    liked = np.asarray(iid, dtype=np.int32)[positive]
    end = np.cumsum(positive) - positive
    starts = np.flatnonzero(np.r_[True, uid[1:] != uid[:-1]][: len(uid)])
    begin = np.repeat(end[starts], np.diff(np.r_[starts, len(uid)]))
    if keep is not None:
        begin = np.maximum(begin, end - keep)
    # Views, not copies: of one user's 20,000 likes, histories hold 200 million.
    views = pa.ListViewArray.from_arrays(
        pa.array(begin, pa.int32()), pa.array(end - begin, pa.int32()), pa.array(liked)
    )
    return pa.chunked_array([views])


def _ids(key: str, distinct: pa.Array, order: NDArray, n_train: NDArray) -> pa.Table:
    return pa.table(
        {
            key: np.arange(1, len(order) + 1, dtype=np.int32),
            "source_id": distinct.take(order).cast(pa.string()),
            "n_train": n_train[1:],
        }
    )
