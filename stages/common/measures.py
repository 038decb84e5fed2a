"""What `metrics/compare/<method>.json` holds: the keys `metrics/evaluate.json` has per method."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from stages.common.params import Section
from stages.common.ranking import bootstrap, draw_users, interval, ndcg, sliced_metrics


class Measures(Section):
    """How every compared method's scores are measured: `compare.measures` in `params.yaml`."""

    ndcg_k: int = Field(ge=1, le=1000)
    replicates: int = Field(ge=10, le=100_000)
    level: float = Field(gt=0, lt=1)


def measure(
    splits: Mapping[str, pa.Table],
    scores: Mapping[str, NDArray],
    *,
    ndcg_k: int,
    replicates: int,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Measures a method's scores of validation and test rows.

    Args:
        splits: `valid` and `test`, with uid, label, seen and warm.
        scores: `valid` and `test`, the scores in the tables' order.
        ndcg_k: NDCG counts a user's first `ndcg_k` rows by score.
        replicates: how often users are drawn.
        level: share of replicates within an interval.
        rng: source of the draws of users.

    Returns:
        Of the test rows auc, uauc, uauc_users, rows, seen, warm, cold, ndcg and intervals; under
        `valid` the first four of the validation rows; `protocol`. An undefined value is None.
    """
    test, valid = splits["test"], splits["valid"]
    uids, labels = test["uid"].to_numpy(), test["label"].to_numpy()
    seen, warm = (test[name].to_numpy(zero_copy_only=False) for name in ("seen", "warm"))
    drawn = bootstrap(uids, labels, scores["test"], draw_users(uids, replicates, rng))
    return {
        "protocol": {"ndcg_k": ndcg_k, "replicates": replicates, "level": level},
        **sliced_metrics(uids, labels, scores["test"], {"seen": seen, "warm": warm, "cold": ~seen}),
        "ndcg": ndcg(uids, labels, scores["test"], ndcg_k),
        "intervals": {"auc": interval(drawn.auc, level), "uauc": interval(drawn.uauc, level)},
        "valid": sliced_metrics(
            valid["uid"].to_numpy(), valid["label"].to_numpy(), scores["valid"], {}
        ),
    }
