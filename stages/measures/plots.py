"""The small table of ROC curves that `dvc plots show` draws."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

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
            fpr, tpr, _ = roc_curve(rows.labels, rows.scores[method])
            kept = _evenly_along(fpr + tpr, MOST_POINTS)
            curve = {"method": title, "fpr": fpr[kept], "tpr": tpr[kept]}
            curves.append(pd.DataFrame(curve))
    return pd.concat(curves) if curves else pd.DataFrame(columns=["method", "fpr", "tpr"])


def _evenly_along(path: NDArray, most: int) -> NDArray:
    """Indices of at most `most` points at about even steps of the ascending `path`, ends kept."""
    if len(path) <= most:
        return np.arange(len(path))
    steps = np.linspace(path[0], path[-1], most)
    return np.unique(np.r_[np.searchsorted(path, steps[:-1]), len(path) - 1])
