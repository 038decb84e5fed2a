"""AUC and UAUC over all rows and within slices of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measures.metrics.auc import auc
from stages.measures.metrics.uauc import uauc


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
