"""The metrics of the table: one file each, named as in `metrics/evaluate.json`.

A metric that is a mean over users is a file that defines `METRIC`. Nothing else names it: what
measures rows and what prints them looks into this folder. AUC, which is no mean over users, is the
one exception. Each function says what it returns where it is undefined.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.io.sources import modules_below


@dataclass(frozen=True)
class UserMetric:
    """A metric that is the mean over users with both classes of a number of theirs.

    Attributes:
        title: what the table calls it; `{k}` stands for `evaluate.ndcg_k`.
        of_users: from (n,) users, (n,) labels, (n,) scores and k to (m,) numbers, one per user with
            both classes, users ascending. Tied scores give the mean over all orders of the tied
            rows.
    """

    title: str
    of_users: Callable[[NDArray, NDArray, NDArray, int], NDArray[np.float64]]

    def mean(self, uids: NDArray, labels: NDArray, scores: NDArray, k: int) -> float | None:
        """Returns the mean over users; None where no user has both classes."""
        values = self.of_users(uids, labels, scores, k)
        return float(np.mean(values)) if len(values) else None

    def chance(self, uids: NDArray, labels: NDArray, k: int) -> float | None:
        """Returns what a random order of each user's rows gives on average; None as for `mean`.

        It is that of scores that are all tied, since ties give the mean over all orders.
        """
        return self.mean(uids, labels, np.zeros(len(labels)), k)


def user_metrics() -> dict[str, UserMetric]:
    """Returns the metrics that are means over users, by name; UAUC, which is one, comes first."""
    found = [name for name in modules_below(__name__) if name not in ("auc", "uauc")]
    return {name: importlib.import_module(f"{__name__}.{name}").METRIC for name in ("uauc", *found)}
