"""Intervals: users are drawn with replacement, and metrics computed anew."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.measures.metrics.auc import Ranked
from stages.measures.metrics.uauc import METRIC as UAUC
from stages.measures.metrics.uauc import user_aucs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bootstrap:
    """Metrics of one set of scores over resampled users.

    Attributes:
        auc: (replicates,) AUC of each replicate; NaN where undefined.
        uauc: (replicates,) UAUC of each replicate; NaN where undefined.
    """

    auc: Floats
    uauc: Floats


def bootstrap(uids: NDArray, labels: NDArray, scores: NDArray, draws: NDArray) -> Bootstrap:
    """AUC and UAUC over resampled users.

    Users are drawn, not rows: rows of one user are not independent. Pass the same `draws` for two
    sets of scores on the same rows and subtract, and the difference is paired.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.
        draws: (replicates, users) how often each user (ascending by uid) is drawn; see
            `draw_users`.
    """
    _, user = np.unique(uids, return_inverse=True)
    ranked = Ranked.of(labels, scores)
    aucs = [ranked.auc(counts[user]) for counts in draws]
    _, values = user_aucs(uids, labels, scores)
    return Bootstrap(
        auc=np.array([np.nan if a is None else a for a in aucs]),
        uauc=UAUC.drawn(uids, labels, values, draws),
    )


def draw_users(uids: NDArray, replicates: int, rng: np.random.Generator) -> NDArray:
    """Returns (replicates, users) counts of drawing users with replacement."""
    n = len(np.unique(uids))
    return rng.multinomial(n, np.full(n, 1 / n), size=replicates)


def interval(values: Floats, level: float = 0.95) -> dict[str, float] | None:
    """Percentile interval of bootstrap replicates; None where all are undefined."""
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return {"low": float(low), "high": float(high)}
