"""Ranking metrics over labelled scores: AUC, UAUC, NDCG, and intervals over users.

One implementation for all stages. Each function says what it returns where it is undefined.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auc(labels: NDArray, scores: NDArray) -> float | None:
    """Area under the ROC curve; ties count half.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) any finite numbers, higher meaning more likely 1.

    Returns:
        AUC in [0, 1]; None where only one class is present.
    """
    ranked = _Ranked.of(labels, scores)
    return ranked.auc(np.ones(len(ranked.positive)))


def user_aucs(uids: NDArray, labels: NDArray, scores: NDArray) -> tuple[NDArray, Floats]:
    """AUC within each user who has both classes (Mann-Whitney, ties count half).

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.

    Returns:
        The users with both classes, ascending, and their AUCs, each (m,).
    """
    order = np.lexsort((scores, uids))
    uids, positive = np.asarray(uids)[order], np.asarray(labels)[order] == 1
    scores = np.asarray(scores, dtype=np.float64)[order]
    users, user, n_rows = np.unique(uids, return_inverse=True, return_counts=True)
    first_row = np.cumsum(n_rows) - n_rows
    new_score = np.r_[True, (user[1:] != user[:-1]) | (scores[1:] != scores[:-1])][: len(user)]
    tie = np.cumsum(new_score) - 1
    tie_size = np.bincount(tie, minlength=0)
    tie_first = np.cumsum(tie_size) - tie_size
    rank = (tie_first + (tie_size - 1) / 2)[tie] - first_row[user] + 1
    n_pos = np.bincount(user, weights=positive, minlength=len(users))
    n_neg = n_rows - n_pos
    rank_sum = np.bincount(user, weights=rank * positive, minlength=len(users))
    both = (n_pos > 0) & (n_neg > 0)
    above = rank_sum[both] - n_pos[both] * (n_pos[both] + 1) / 2
    return users[both], above / (n_pos[both] * n_neg[both])


def uauc(uids: NDArray, labels: NDArray, scores: NDArray) -> tuple[float | None, int]:
    """Mean over users of the user's AUC, each user weighing the same.

    Returns:
        UAUC and the number of users it is the mean of: those with both classes. (None, 0) where
        there are none.
    """
    users, values = user_aucs(uids, labels, scores)
    return (float(values.mean()), len(users)) if len(users) else (None, 0)


def ndcg(uids: NDArray, labels: NDArray, scores: NDArray, k: int) -> float | None:
    """Mean NDCG@k over the users with both classes: each user's rows ranked by score.

    Binary gain, discount 1 / log2(rank + 1). Tied scores share the mean gain of their places, so
    that the order of rows in a file never counts.

    Returns:
        NDCG in [0, 1]; None where no user has both classes.
    """
    uids, labels, scores = np.asarray(uids), np.asarray(labels), np.asarray(scores)
    order = np.lexsort((-scores, uids))
    uids, labels, scores = uids[order], labels[order], scores[order]
    values = []
    starts = np.flatnonzero(np.r_[True, uids[1:] != uids[:-1]][: len(uids)])
    for gains, ranked in zip(
        np.split(labels, starts)[1:], np.split(scores, starts)[1:], strict=True
    ):
        if 0 < gains.sum() < len(gains):
            values.append(_ndcg_of_one_user(gains.astype(float), ranked, k))
    return float(np.mean(values)) if values else None


def _ndcg_of_one_user(gains: Floats, scores: NDArray, k: int) -> float:
    discount = np.zeros(len(gains))
    top = min(k, len(gains))
    discount[:top] = 1 / np.log2(np.arange(top) + 2)
    tie = np.cumsum(np.r_[True, scores[1:] != scores[:-1]]) - 1
    mean_gain = np.bincount(tie, weights=gains) / np.bincount(tie)
    best = discount[: int(gains.sum())].sum()
    return float((mean_gain[tie] * discount).sum() / best)


def sliced_metrics(
    uids: NDArray, labels: NDArray, scores: NDArray, slices: Mapping[str, NDArray]
) -> dict[str, Any]:
    """AUC and UAUC over all rows and within slices of them.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.
        slices: name -> (n,) bool, the rows of the slice.

    Returns:
        `auc`, `uauc`, `uauc_users`, `rows`, and the same four under each slice's name; an
        undefined value is None.
    """

    def metrics(rows: NDArray) -> dict[str, Any]:
        mean, users = uauc(uids[rows], labels[rows], scores[rows])
        return {
            "auc": auc(labels[rows], scores[rows]),
            "uauc": mean,
            "uauc_users": users,
            "rows": int(rows.sum()),
        }

    whole = metrics(np.ones(len(uids), dtype=bool))
    return whole | {name: metrics(rows) for name, rows in slices.items()}


@dataclass(frozen=True)
class _Ranked:
    """Rows sorted by score once, so that AUC under many weightings costs one pass each."""

    positive: NDArray
    order: NDArray
    tie: NDArray

    @classmethod
    def of(cls, labels: NDArray, scores: NDArray) -> "_Ranked":
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
    users, user = np.unique(uids, return_inverse=True)
    valid_users, values = user_aucs(uids, labels, scores)
    valid = np.searchsorted(users, valid_users)
    ranked = _Ranked.of(labels, scores)
    aucs = [ranked.auc(counts[user]) for counts in draws]
    weights = draws[:, valid].astype(float)
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        uaucs = (weights @ values) / total
    return Bootstrap(np.array([np.nan if a is None else a for a in aucs]), uaucs)


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
