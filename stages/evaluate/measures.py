"""What `metrics/evaluate.json` holds: each method's metrics, and paired differences."""

from typing import Any

import numpy as np

from stages.common.predictions import ScoredRows
from stages.common.quality import difference
from stages.common.ranking import draw_users
from stages.evaluate.methods import BASELINE

# Key in the file -> which method is subtracted from codes.
DIFFERENCES = {"difference": "text", f"difference_to_{BASELINE}": BASELINE}


def measure(
    rows: ScoredRows, *, ndcg_k: int, replicates: int, level: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Measures every method on the same rows, and how far codes are from the others.

    Users are drawn once and the same draws are used for every method, so that an interval of a
    difference is a paired one: what makes a draw of users easy or hard cancels out.

    Args:
        rows: rows with all methods' scores.
        ndcg_k: NDCG counts a user's first `ndcg_k` rows by score.
        replicates: how often users are drawn.
        level: share of replicates within an interval.
        rng: source of the draws.

    Returns:
        `protocol`; per method auc, uauc, uauc_users, rows, seen, warm, cold, ndcg, intervals;
        `difference` (codes - text) and `difference_to_binmf`, each with auc and uauc: value, low,
        high. An undefined value is None.
    """
    draws = draw_users(rows.uids, replicates, rng)
    measured = rows.measured(draws=draws, ndcg_k=ndcg_k, level=level)
    return {
        "protocol": rows.protocol(ndcg_k=ndcg_k, replicates=replicates, level=level),
        **{method: found.quality for method, found in measured.items()},
        **{
            key: difference(measured["codes"], measured[other], level)
            for key, other in DIFFERENCES.items()
        },
    }
