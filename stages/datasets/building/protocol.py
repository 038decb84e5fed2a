"""What is to be built, free of how: labels, filters, splits of each data set.

Both engines read this one definition (CoLLM's protocol, arXiv 2310.19488, section 4.1).
"""

from dataclasses import dataclass
from typing import Literal
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from stages.datasets.building.params import Negatives

Repeats = Literal["last", "first", "keep"]
DROPPED = -1  # beside 0 train, 1 valid, 2 test


class Split(Interface):
    """Gives each row its split."""

    # What makes the boundaries: a moment for all users, or each user's own sequence.
    by_user: bool

    def assign(self, user: NDArray, timestamp: NDArray, first: int) -> NDArray[np.int8]:
        """Assigns rows to splits.

        Args:
            user: (n,) users as whole numbers, ascending: rows are in protocol order.
            timestamp: (n,) seconds since 1970, ascending within each user.
            first: the data's earliest timestamp, before anything was dropped.

        Returns:
            (n,) 0 train, 1 valid, 2 test, -1 dropped.
        """
        ...


@dataclass(frozen=True)
class PerUser:
    """Each user's last rows: of n, `floor(n * test)` to test, `floor(n * valid)` before them."""

    valid: float
    test: float
    by_user = True

    def assign(self, user: NDArray, timestamp: NDArray, first: int) -> NDArray[np.int8]:
        """See `Split.assign`."""
        n_rows, left = _rows_left(user)
        n_test, n_valid = whole(n_rows, self.test), whole(n_rows, self.valid)
        in_test = left <= np.repeat(n_test, n_rows)
        in_valid = left <= np.repeat(n_test + n_valid, n_rows)
        return np.where(in_test, 2, np.where(in_valid, 1, 0)).astype(np.int8)


@dataclass(frozen=True)
class LeaveLastOut:
    """Each user's last row to test, the one before it to valid; users of one or two: train."""

    by_user = True

    def assign(self, user: NDArray, timestamp: NDArray, first: int) -> NDArray[np.int8]:
        """See `Split.assign`."""
        n_rows, left = _rows_left(user)
        enough = np.repeat(n_rows >= 3, n_rows)
        return np.where(enough & (left <= 2), 3 - left, 0).astype(np.int8)


def _rows_left(user: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns (users,) rows of each, and (n,) how many are left from each row to the user's end."""
    start = np.flatnonzero(np.r_[True, user[1:] != user[:-1]][: len(user)])
    n_rows = np.diff(np.r_[start, len(user)])
    return n_rows, np.repeat(start + n_rows, n_rows) - np.arange(len(user))


@dataclass(frozen=True)
class Fractions:
    """By time over all users: the last `floor(n * test)` rows to test, and so on.

    Rows of one moment at a boundary stay in protocol order.
    """

    valid: float
    test: float
    by_user = False

    def assign(self, user: NDArray, timestamp: NDArray, first: int) -> NDArray[np.int8]:
        """See `Split.assign`."""
        n = len(timestamp)
        n_test, n_valid = int(whole(n, self.test)), int(whole(n, self.valid))
        split = np.zeros(n, dtype=np.int8)
        order = np.argsort(timestamp, kind="stable")
        split[order[n - n_test - n_valid :]] = 1
        split[order[n - n_test :]] = 2
        return split


@dataclass(frozen=True)
class Months:
    """Windows of calendar months (UTC), counted from the data's first month.

    Attributes:
        edges: first month of train, of valid, of test, and the first one after.
    """

    edges: tuple[int, int, int, int]
    by_user = False

    def assign(self, user: NDArray, timestamp: NDArray, first: int) -> NDArray[np.int8]:
        """See `Split.assign`."""
        month = months(timestamp) - months(np.array([first]))[0]
        window = np.searchsorted(self.edges, month, side="right") - 1
        return np.where(window == 3, DROPPED, window).astype(np.int8)


@dataclass(frozen=True)
class HalvedDecember:
    """Amazon-Book's: train January to November; December by time, its halves valid and test.

    Times are whole days there, so a day is cut in two: its rows stay in protocol order.
    """

    year: int
    by_user = False

    def assign(self, user: NDArray, timestamp: NDArray, first: int) -> NDArray[np.int8]:
        """See `Split.assign`."""
        month = months(timestamp) - (self.year - 1970) * 12
        december = np.flatnonzero(month == 11)
        december = december[np.argsort(timestamp[december], kind="stable")]
        split = np.where((month >= 0) & (month < 11), 0, DROPPED).astype(np.int8)
        half = len(december) // 2
        split[december[:half]] = 1
        split[december[half:]] = 2
        return split


def whole(n: NDArray | int, share: float) -> NDArray[np.int64]:
    """Returns `floor(n * share)`, not falling one short where the product is whole."""
    return np.floor(np.asarray(n) * share + 1e-9).astype(np.int64)


def months(timestamp: NDArray) -> NDArray[np.int64]:
    """Returns calendar months (UTC) since January 1970."""
    return timestamp.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


@dataclass(frozen=True)
class Protocol:
    """How one data set becomes labelled, split rows.

    Attributes:
        positive_from: least rating with label 1.
        split: the split.
        year: only rows of this calendar year (UTC) count; None for all.
        more_than: keep users and items with more ratings than this, each counted once before
            anything is removed; None keeps all.
        repeats: which row of a user and an item counts where there are several: the last in time,
            the first, or all of them. Rows that say the same at the same time count once anyway.
        negatives: rows of label 0 that are drawn beside the others; None for none.
    """

    positive_from: float
    split: Split
    year: int | None = None
    more_than: int | None = None
    repeats: Repeats = "last"
    negatives: Negatives | None = None
