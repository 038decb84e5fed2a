"""Small tables that `dvc plots show` draws: ROC curves, and AUC by slice."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from stages.common.predictions import ScoredRows
from stages.evaluate.methods import METHODS, TITLES

MOST_POINTS = 200
SLICES = ("warm", "cold")


def roc_points(rows: ScoredRows) -> pd.DataFrame:
    """Points of each method's ROC curve, from (0, 0) to (1, 1).

    Returns:
        Columns method, fpr, tpr: at most `MOST_POINTS` rows per method, and none where only one
        class is present.
    """
    curves = []
    if len(np.unique(rows.labels)) == 2:
        for method, scores in rows.scores.items():
            fpr, tpr, _ = roc_curve(rows.labels, scores)
            kept = _evenly_along(fpr + tpr, MOST_POINTS)
            curve = {"method": TITLES[method], "fpr": fpr[kept], "tpr": tpr[kept]}
            curves.append(pd.DataFrame(curve))
    return pd.concat(curves) if curves else pd.DataFrame(columns=["method", "fpr", "tpr"])


def slice_bars(quality: dict[str, Any]) -> pd.DataFrame:
    """AUC of each method on warm and on cold rows.

    Returns:
        Columns method, slice (with its number of rows), auc; no row where AUC is undefined.
    """
    bars = [
        {
            "method": TITLES[method],
            "slice": f"{name} ({quality[method][name]['rows']:,} rows)",
            "auc": quality[method][name]["auc"],
        }
        for name in SLICES
        for method in METHODS
        if quality[method][name]["auc"] is not None
    ]
    return pd.DataFrame(bars, columns=["method", "slice", "auc"])


def _evenly_along(path: NDArray, most: int) -> NDArray:
    """Indices of at most `most` points at about even steps of the ascending `path`, ends kept."""
    if len(path) <= most:
        return np.arange(len(path))
    steps = np.linspace(path[0], path[-1], most)
    return np.unique(np.r_[np.searchsorted(path, steps[:-1]), len(path) - 1])
