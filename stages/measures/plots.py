"""The small table of ROC curves that `dvc plots show` draws."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    """False and true positive rates from the highest score down, corners of the curve alone.

    As scikit-learn's function of that name, whose import takes longer than all of `evaluate`.

    Args:
        labels: (n,) 0 or 1, both of them.
        scores: (n,) higher meaning more likely 1; rows of one score are one step.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    liked, ranked = np.asarray(labels)[order] == 1, np.asarray(scores)[order]
    last = np.r_[np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1]
    true = np.cumsum(liked)[last]
    false = 1 + last - true
    turns = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
    corners = np.r_[True, turns, True] if len(last) > 2 else np.ones(len(last), dtype=bool)
    false, true = (np.r_[0, steps[corners]] for steps in (false, true))
    return false / false[-1], true / true[-1]


def _evenly_along(path: NDArray, most: int) -> NDArray:
    """Indices of at most `most` points at about even steps of the ascending `path`, ends kept."""
    if len(path) <= most:
        return np.arange(len(path))
    steps = np.linspace(path[0], path[-1], most)
    return np.unique(np.r_[np.searchsorted(path, steps[:-1]), len(path) - 1])
