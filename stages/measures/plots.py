"""The small table of ROC curves that `dvc plots show` draws."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.measures.metrics.auc import Ranked
from stages.measures.scored_rows import ScoredRows

MOST_POINTS = 200


def roc_points(rows: ScoredRows, titles: Mapping[str, str]) -> pd.DataFrame:
    """Points of ROC curves, from (0, 0) to (1, 1).

    Args:
        rows: rows with the methods' scores.
        titles: method -> what the plot calls it; methods without a title are left out.

    Returns:
        Columns method, fpr, tpr: at most `MOST_POINTS` rows per method, and none where only one
        class is present.
    """
    curves = []
    if len(np.unique(rows.labels)) == 2:
        for method, title in titles.items():
            fpr, tpr = roc_curve(rows.labels, rows.scores[method])
            kept = _evenly_along(fpr + tpr, MOST_POINTS)
            curve = {"method": title, "fpr": fpr[kept], "tpr": tpr[kept]}
            curves.append(pd.DataFrame(curve))
    return pd.concat(curves) if curves else pd.DataFrame(columns=["method", "fpr", "tpr"])


def roc_curve(labels: NDArray, scores: NDArray) -> tuple[NDArray, NDArray]:
    """False and true positive rates as the threshold falls, tied rows in one step.

    Points inside of a straight run of steps are left out. As scikit-learn's, which would take
    longer to import than `evaluate` takes for all of its work.

    Args:
        labels: (n,) 0 or 1, both present.
        scores: (n,) any finite numbers.

    Returns:
        Rates in [0, 1], from (0, 0) to (1, 1).
    """
    ranked = Ranked.of(labels, scores)
    false, true = (
        np.cumsum(np.bincount(ranked.tie, weights=rows)[::-1])
        for rows in (~ranked.positive, ranked.positive)
    )
    bends = np.diff(false, 2).astype(bool) | np.diff(true, 2).astype(bool)
    kept = np.r_[True, bends, True][-len(false) :]
    return np.r_[0, false[kept] / false[-1]], np.r_[0, true[kept] / true[-1]]


def _evenly_along(path: NDArray, most: int) -> NDArray:
    """Indices of at most `most` points at about even steps of the ascending `path`, ends kept."""
    if len(path) <= most:
        return np.arange(len(path))
    steps = np.linspace(path[0], path[-1], most)
    return np.unique(np.r_[np.searchsorted(path, steps[:-1]), len(path) - 1])
