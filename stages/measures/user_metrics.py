"""Metrics that are means over users: what they have in common, and which there are.

Each is a file in `stages/measures/metrics` that defines `METRIC`. Nothing else names it: what
measures rows and what prints them asks here. AUC, which is no mean over users, is the one
exception. Each function says what it returns where it is undefined.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.io.sources import modules_below
from stages.measures import metrics

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UserMetric:
    """A metric that is the mean over users with both classes of a number of theirs.

    Attributes:
        title: what the table calls it; `{k}` stands for `evaluate.ndcg_k`.
        of_users: from (n,) users, (n,) labels, (n,) scores and k to (m,) numbers, one per user with
            both classes, users ascending. Tied scores give the mean over all orders of the tied
            rows.
        by_rows: whether a user counts as often as they have rows; else all users count alike.
    """

    title: str
    of_users: Callable[[NDArray, NDArray, NDArray, int], Floats]
    by_rows: bool = False

    def mean(self, uids: NDArray, labels: NDArray, scores: NDArray, k: int) -> float | None:
        """Returns the mean over users; None where no user has both classes."""
        return self.average(uids, labels, self.of_users(uids, labels, scores, k))

    def average(self, uids: NDArray, labels: NDArray, values: Floats) -> float | None:
        """Returns the mean of what `of_users` returned; None where no user has both classes."""
        once = np.ones((1, len(np.unique(uids))))
        return float(self.drawn(uids, labels, values, once)[0]) if len(values) else None

    def drawn(self, uids: NDArray, labels: NDArray, values: Floats, draws: NDArray) -> Floats:
        """Returns the means over resampled users: each counts as often as they are drawn.

        Args:
            uids: (n,) users.
            labels: (n,) 0 or 1.
            values: (m,) numbers, one per user with both classes, users ascending.
            draws: (replicates, users); see `stages.measures.bootstrap.draw_users`.

        Returns:
            (replicates,) means; NaN where no user with both classes is drawn.
        """
        _, user, rows = np.unique(uids, return_inverse=True, return_counts=True)
        liked = np.bincount(user, weights=labels)
        both = (liked > 0) & (liked < rows)
        weights = draws[:, both] * (rows[both] if self.by_rows else 1.0)
        with np.errstate(invalid="ignore"):
            return (weights @ values) / weights.sum(axis=1)

    def chance(self, uids: NDArray, labels: NDArray, k: int) -> float | None:
        """Returns what a random order of each user's rows gives on average; None as for `mean`.

        It is that of scores that are all tied, since ties give the mean over all orders.
        """
        return self.mean(uids, labels, np.zeros(len(labels)), k)


def user_metrics() -> dict[str, UserMetric]:
    """Returns the metrics that are means over users, by name; UAUC, which is one, comes first."""
    folder = metrics.__name__
    found = [name for name in modules_below(folder) if name not in ("auc", "uauc")]
    return {name: importlib.import_module(f"{folder}.{name}").METRIC for name in ("uauc", *found)}
