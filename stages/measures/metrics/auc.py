"""AUC over all rows; a fit chooses its best state by it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def auc(labels: NDArray, scores: NDArray) -> float | None:
    """Area under the ROC curve; ties count half.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) any finite numbers, higher meaning more likely 1.

    Returns:
        AUC in [0, 1]; None where only one class is present.
    """
    ranked = Ranked.of(labels, scores)
    return ranked.auc(np.ones(len(ranked.positive)))


@dataclass(frozen=True)
class Ranked:
    """Rows sorted by score once, so that AUC under many weightings costs one pass each."""

    positive: NDArray
    order: NDArray
    tie: NDArray

    @classmethod
    def of(cls, labels: NDArray, scores: NDArray) -> "Ranked":
        """Sorts (n,) labels by (n,) scores."""
        scores = np.asarray(scores, dtype=np.float64)
        order = np.argsort(scores, kind="stable")
        ranked = scores[order]
        tie = np.cumsum(np.r_[True, ranked[1:] != ranked[:-1]][: len(ranked)]) - 1
        return cls(np.asarray(labels)[order] == 1, order, tie)

    def auc(self, weights: NDArray) -> float | None:
        """AUC where row i (in the caller's order) counts `weights[i]` times."""
        weights = weights[self.order]
        positive = np.bincount(self.tie, weights=weights * self.positive)
        negative = np.bincount(self.tie, weights=weights * ~self.positive)
        total = positive.sum() * negative.sum()
        if total == 0:
            return None
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2)).sum() / total)
