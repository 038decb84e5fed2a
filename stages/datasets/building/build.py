"""From raw interactions to labelled, split rows with histories: arrays, no loop over rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.datasets.building.protocol import DROPPED, Protocol
from stages.datasets.building.raw import Raw
from stages.io.errors import InputError
from stages.io.tables import INTERACTIONS, ITEMS, USERS

WARM_ABOVE = 3  # a warm row's user and item each have more train rows than this
_ROWS_AT_ONCE = 1 << 16  # histories are gathered in pieces, so that memory stays bounded


@dataclass(frozen=True)
class Built:
    """A data set ready to be checked and written.

    Attributes:
        interactions: the columns of `INTERACTIONS`, ordered by row, over all splits.
        split: (rows,) 0 train, 1 valid, 2 test.
        users: the columns of `USERS`, ordered by uid.
        items: the columns of `ITEMS`, ordered by iid.
        dropped: raw rows left out, by reason.
    """

    interactions: pa.Table
    split: NDArray[np.int8]
    users: pa.Table
    items: pa.Table
    dropped: dict[str, int]


@dataclass(frozen=True)
class _Ranked:
    """A column of ids as the ranks of its distinct values (numbers by size, text by bytes)."""

    rank: NDArray[np.int64]
    distinct: pa.Array

    @classmethod
    def of(cls, ids: pa.ChunkedArray) -> "_Ranked":
        encoded = pc.dictionary_encode(ids).combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0)
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        rank_of = np.empty(len(order), dtype=np.int64)
        rank_of[order] = np.arange(len(order))
        return cls(
            rank_of[encoded.indices.to_numpy(zero_copy_only=False)], encoded.dictionary.take(order)
        )


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
    table = _filter(raw, protocol, dropped)
    user, item = _Ranked.of(table["user"]), _Ranked.of(table["item"])
    timestamp = table["timestamp"].to_numpy()
    order = np.lexsort((timestamp, user.rank))  # stable: ties keep the file's order
    user_rank, item_rank, timestamp = user.rank[order], item.rank[order], timestamp[order]
    split = protocol.split.assign(user_rank, timestamp, first)
    kept = split != DROPPED
    dropped["outside_split"] = int(len(kept) - kept.sum())
    if not kept.any():
        raise InputError(f"data/raw: no row is left of {raw.interactions.num_rows}: {dropped}")
    label = table["rating"].to_numpy()[order][kept] >= protocol.positive_from
    split, timestamp = split[kept], timestamp[kept]
    uid, uid_rank = first_appearance(user_rank[kept])
    iid, iid_rank = first_appearance(item_rank[kept])
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
        },
        schema=INTERACTIONS,
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
    )


def _filter(raw: Raw, protocol: Protocol, dropped: dict[str, int]) -> pa.Table:
    """Drops rows without title, then users and items with too few ratings, counted once."""
    table = raw.interactions
    titled = pc.is_in(table["item"], raw.titles["item"])
    dropped["without_title"] = int(pc.sum(pc.invert(titled)).as_py())
    table = table.filter(titled)
    dropped["few_ratings"] = 0
    if protocol.more_than is not None and table.num_rows:
        enough = np.ones(table.num_rows, dtype=bool)
        for key in ("user", "item"):
            rank = _Ranked.of(table[key]).rank
            enough &= np.bincount(rank)[rank] > protocol.more_than
        dropped["few_ratings"] = int(len(enough) - enough.sum())
        table = table.filter(pa.array(enough))
    if not table.num_rows:
        raise InputError(f"data/raw: no row is left of {raw.interactions.num_rows}: {dropped}")
    return table


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
        (n,) lists of int32.
    """
    positive = np.asarray(label, dtype=bool)
    liked = np.asarray(iid, dtype=np.int32)[positive]
    end = np.cumsum(positive) - positive
    starts = np.flatnonzero(np.r_[True, uid[1:] != uid[:-1]][: len(uid)])
    begin = np.repeat(end[starts], np.diff(np.r_[starts, len(uid)]))
    if keep is not None:
        begin = np.maximum(begin, end - keep)
    pieces = [
        _stretches(liked, begin[at : at + _ROWS_AT_ONCE], end[at : at + _ROWS_AT_ONCE])
        for at in range(0, len(uid), _ROWS_AT_ONCE)
    ]
    return pa.chunked_array(pieces, type=pa.list_(pa.int32()))


def _stretches(liked: NDArray, begin: NDArray, end: NDArray) -> pa.ListArray:
    """Lists `liked[begin[k]:end[k]]` for each k."""
    offsets = np.r_[0, np.cumsum(end - begin)]
    where = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], end - begin)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(liked[where]))


def _ids(key: str, distinct: pa.Array, order: NDArray, n_train: NDArray) -> pa.Table:
    return pa.table(
        {
            key: np.arange(1, len(order) + 1, dtype=np.int32),
            "source_id": distinct.take(order).cast(pa.string()),
            "n_train": n_train[1:],
        }
    )
