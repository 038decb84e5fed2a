"""What a fit and the scoring after it take; kept apart from quality, since it varies by run."""

import time
from collections.abc import Callable
from typing import TypeVar

from numpy.typing import NDArray

from stages.collab.fitting import CollaborativeModel, Fit, Rows, score

M = TypeVar("M", bound=CollaborativeModel)


def timed(fit: Callable[[], tuple[M, Fit]], rows: Rows) -> tuple[M, Fit, NDArray, dict[str, float]]:
    """Fits a model and scores rows with it.

    Args:
        fit: fits and returns the model and how it went.
        rows: (n) rows to score.

    Returns:
        The model, how the fit went, the (n,) scores, and their cost: `rows`, `fit_seconds`, and
        `seconds` and `rows_per_second` of the scoring.
    """
    start = time.perf_counter()
    model, fitted = fit()
    after_fit = time.perf_counter()
    scores = score(model, rows)
    seconds = time.perf_counter() - after_fit
    cost = {
        "rows": len(rows),
        "fit_seconds": after_fit - start,
        "seconds": seconds,
        "rows_per_second": len(rows) / seconds,
    }
    return model, fitted, scores, cost
