"""Rows that carry what their user liked before, as one padded tensor."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.collab.fitting import Rows

PADDING = 0


@dataclass(frozen=True)
class HistoryRows(Rows):
    """Labelled interactions with the items liked before each.

    Attributes:
        histories: (n, length) int32 items, oldest first, padded with 0 on the left, so that the
            latest item always stands in the last slot.
    """

    histories: Tensor

    def take(self, rows: Tensor | slice) -> "HistoryRows":
        """Returns the rows at these positions."""
        return HistoryRows(
            self.users[rows], self.items[rows], self.labels[rows], self.histories[rows]
        )


def histories_of(rows: Rows) -> Tensor:
    """Returns the (n, length) histories of rows that have them.

    Raises:
        TypeError: they have none.
    """
    if not isinstance(rows, HistoryRows):
        raise TypeError(f"expected HistoryRows, found {type(rows).__name__}")
    return rows.histories


def padded_histories(values: NDArray, offsets: NDArray, *, length: int) -> Tensor:
    """Lays lists of different lengths out as a table, all rows at once.

    Args:
        values: the items of all lists, one list after the other.
        offsets: (n + 1,) where each list begins in `values`, and where the last one ends.
        length: columns of the table; of a longer list the last so many items are kept.

    Returns:
        (n, length) int32, each list at the right end of its row, 0 to the left of it.
    """
    starts, ends = offsets[:-1, None], offsets[1:, None]
    places = ends - length + np.arange(length)
    held = places >= starts
    table = np.full(places.shape, PADDING, dtype=np.int32)
    table[held] = values[places[held]]
    return torch.from_numpy(table)
