"""Item neighbours: what a model missed of items that a user answered, told on to similar items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from stages.collab.fitting import SCORING_BATCH, Rows

Floats = NDArray[np.float64]

# Items whose similarities to all items are computed at once: bounds the memory.
_BLOCK = 256


@dataclass(frozen=True)
class ItemNeighbours:
    """What the neighbours of an item say of it.

    Attributes:
        residuals: (n_users + 1, n_items + 1), what a model missed of each train row.
        similarities: (n_items + 1, n_items + 1), of each item to its neighbours, all above 0.
    """

    residuals: csr_matrix
    similarities: csr_matrix

    def sums(self, rows: Rows) -> Floats:
        """Returns (n,): similarity times residual, over an item's neighbours its user answered."""
        starts = range(0, len(rows), SCORING_BATCH)
        parts = [self._sums(rows.take(slice(at, at + SCORING_BATCH))) for at in starts]
        return np.concatenate([np.empty(0), *parts])

    def _sums(self, rows: Rows) -> Floats:
        similar = self.similarities[rows.items.numpy()]
        missed = self.residuals[rows.users.numpy()]
        return np.asarray(similar.multiply(missed).sum(axis=1)).ravel()


def find_neighbours(
    rows: Rows,
    missed: Floats,
    *,
    n_users: int,
    n_items: int,
    neighbours: int,
    shrinkage: float,
) -> ItemNeighbours:
    """Finds for each item those whose residuals are alike among users.

    The similarity of two items is the cosine of their columns of residuals, times n / (n +
    shrinkage), n being the users who answered both. Similarities below 0 are left out.

    Args:
        rows: (n) train rows.
        missed: (n,) residuals: label - probability.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        neighbours: items kept for each item, the most similar.
        shrinkage: common users at which a cosine is halved.
    """
    places = rows.users.numpy(), rows.items.numpy()
    shape = (n_users + 1, n_items + 1)
    residuals = csr_matrix((missed, places), shape=shape)
    answered = csr_matrix((np.ones(len(rows)), places), shape=shape)
    answered.data[:] = 1  # an item that a user answered twice is one
    blocks = [
        _nearest(residuals, answered, slice(start, start + _BLOCK), neighbours, shrinkage)
        for start in range(0, n_items + 1, _BLOCK)
    ]
    return ItemNeighbours(residuals, vstack(blocks, format="csr"))


def _nearest(
    residuals: csr_matrix, answered: csr_matrix, block: slice, neighbours: int, shrinkage: float
) -> csr_matrix:
    """Returns the block's rows of the similarities, the greatest of each alone."""
    norms = np.sqrt(np.asarray(residuals.multiply(residuals).sum(axis=0))).ravel()
    products = (residuals.T.tocsr()[block] @ residuals).toarray()
    common = (answered.T.tocsr()[block] @ answered).toarray()
    # Where nobody answered both, the product is 0 as well.
    below = norms[block, None] * norms * (common + shrinkage)
    similar = np.divide(products * common, below, out=np.zeros_like(products), where=below > 0)
    np.maximum(similar, 0, out=similar)
    n = len(similar)
    similar[np.arange(n), block.start + np.arange(n)] = 0  # an item is no neighbour of itself
    most = min(neighbours, similar.shape[1])
    kept = np.argpartition(-similar, most - 1, axis=1)[:, :most]
    lines = np.repeat(np.arange(n), most)
    values = np.take_along_axis(similar, kept, axis=1).ravel()
    nearest = csr_matrix((values, (lines, kept.ravel())), shape=similar.shape)
    nearest.eliminate_zeros()
    return nearest
