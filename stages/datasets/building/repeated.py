"""Users who met an item more than once: which of these rows count."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.datasets.building.protocol import Repeats


@dataclass(frozen=True)
class Ranked:
    """A column of ids as the ranks of its distinct values (numbers by size, text by bytes)."""

    rank: NDArray[np.int64]
    distinct: pa.Array

    @classmethod
    def of(cls, ids: pa.ChunkedArray) -> "Ranked":
        """Ranks ids."""
        encoded = pc.dictionary_encode(ids).combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0)
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        rank_of = np.empty(len(order), dtype=np.int64)
        rank_of[order] = np.arange(len(order))
        return cls(
            rank_of[encoded.indices.to_numpy(zero_copy_only=False)], encoded.dictionary.take(order)
        )


def without_repeats(table: pa.Table, repeats: Repeats) -> tuple[pa.Table, dict[str, int]]:
    """Leaves out rows that say again what another said, or what another has overruled.

    Where a user's earlier row of the same item stays, the item's own title stands in the history
    of the later one: a liked item is liked again, so its label can be read off there.

    Args:
        table: user, item, rating and timestamp, in the file's order.
        repeats: which row of a user and an item counts: `last` in time (of one moment: in the
            file), `first`, or `keep`, all. Rows equal in all four columns count once anyway.

    Returns:
        What is left, in the file's order; and how many rows are not, by reason.
    """
    place = _repeated(table)
    if not len(place):
        return table, {"exact_repeats": 0, "repeats": 0}
    user, item = (Ranked.of(table[key].take(pa.array(place))).rank for key in ("user", "item"))
    rating, timestamp = (table[key].to_numpy()[place] for key in ("rating", "timestamp"))
    order = np.lexsort((place, rating, timestamp, item, user))
    equal = _same_as_before(user[order], item[order], timestamp[order], rating[order])
    n_equal = int(equal.sum())
    left = np.delete(np.arange(len(place)), order[equal])
    overruled = np.empty(0, dtype=np.int64)
    if repeats != "keep":
        left = left[np.lexsort((place[left], timestamp[left], item[left], user[left]))]
        again = _same_as_before(user[left], item[left])
        # Of rows of one user and item, all but the first; or all that another one follows.
        overruled = left[again] if repeats == "first" else left[:-1][again[1:]]
    kept = np.ones(table.num_rows, dtype=bool)
    kept[place[order[equal]]] = kept[place[overruled]] = False
    counts = {"exact_repeats": n_equal, "repeats": len(overruled)}
    return (table if kept.all() else table.filter(pa.array(kept))), counts


def _repeated(table: pa.Table) -> NDArray[np.int64]:
    """Returns the places of rows whose user has met their item in another row too."""
    user, item = Ranked.of(table["user"]), Ranked.of(table["item"])
    pair = user.rank * max(len(item.distinct), 1) + item.rank
    order = np.argsort(pair, kind="stable")
    again = _same_as_before(pair[order])
    return np.sort(order[again | np.r_[again[1:], False][: len(again)]])


def _same_as_before(*columns: NDArray) -> NDArray[np.bool_]:
    """Returns (n,) whether each row equals the one before it in all columns."""
    same = np.ones(len(columns[0]), dtype=bool)
    same[:1] = False
    for column in columns:
        same[1:] &= column[1:] == column[:-1]
    return same
