"""Main effects as numbers: how often a user likes what they meet, how often an item is liked.

Rates count train rows only. A rate that a train row's own label went into would tell the answer, so
those of train rows are out of fold: computed from the train rows of the other folds. Rows of one
user and history lie in one fold, so that their prompts still share a prefix.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.prompts.text import UNKNOWN

_NOTHING_COUNTED = 0.5  # the overall share where not a single row is counted


class LikeRates:
    """Smoothed like-rates of users, or of items, by train rows."""

    def __init__(
        self, ids: NDArray, labels: NDArray, strength: float, folds: NDArray | None = None
    ) -> None:
        """Counts rows and likes by fold and id.

        Args:
            ids: (n,) uid or iid of each train row, from 1.
            labels: (n,) 0 or 1.
            strength: rows of the overall share that count as an id's own; above 0.
            folds: (n,) fold of each train row, from 0; one fold by default.
        """
        folds = np.zeros(len(ids), dtype=np.int64) if folds is None else folds
        shape = int(folds.max(initial=0)) + 1, int(ids.max(initial=0)) + 1
        place = folds * shape[1] + ids
        self._strength = strength
        self._rows = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
        self._likes = np.bincount(place, labels, minlength=shape[0] * shape[1]).reshape(shape)

    def of(
        self, ids: NDArray, left_out: NDArray | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Returns the rates of ids: (likes + strength · overall share) / (rows + strength).

        Args:
            ids: (m,) uid or iid, known to the train rows or not.
            left_out: (m,) the fold that does not count for each; all count by default.

        Returns:
            (m,) rates, the overall share where an id has no counted row; (m,) counted rows.
        """
        ids = np.where(ids < self._rows.shape[1], ids, 0)  # 0 is padding, which has no row
        rows, likes = self._rows.sum(axis=0)[ids], self._likes.sum(axis=0)[ids]
        by_fold = self._rows.sum(axis=1), self._likes.sum(axis=1)
        all_rows, all_likes = (np.full(len(ids), part.sum()) for part in by_fold)
        if left_out is not None:
            rows, likes = rows - self._rows[left_out, ids], likes - self._likes[left_out, ids]
            all_rows, all_likes = all_rows - by_fold[0][left_out], all_likes - by_fold[1][left_out]
        share = np.where(all_rows > 0, all_likes / np.maximum(all_rows, 1), _NOTHING_COUNTED)
        return (likes + self._strength * share) / (rows + self._strength), rows


def fold_of_rows(interactions: pa.Table, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deals groups of equal user and history out to folds at random, as evenly as can be.

    Args:
        interactions: (n,) rows with uid and history.
        folds: how many there are.
        rng: source of the deal.

    Returns:
        (n,) fold of each row, from 0.
    """
    columns = interactions.select(["uid", "history"]).to_pydict()
    numbers: dict[tuple[int, ...], int] = {}
    group = [
        numbers.setdefault((uid, *history), len(numbers))
        for uid, history in zip(*columns.values(), strict=True)
    ]
    return (rng.permutation(len(numbers)) % folds)[group]


def percents(rates: NDArray, rows: NDArray) -> list[str]:
    """Returns rates as whole percent, "unknown" where no row was counted."""
    whole = np.rint(100 * rates).astype(int)
    return [
        f"{percent}%" if counted else UNKNOWN
        for percent, counted in zip(whole.tolist(), rows.tolist(), strict=True)
    ]
