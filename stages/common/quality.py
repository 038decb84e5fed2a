"""What is measured of a set of scores, and how two sets differ on the same draws of users."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from stages.common.params import Section
from stages.common.ranking import (
    Bootstrap,
    bootstrap,
    draw_users,
    interval,
    ndcg,
    sliced_metrics,
)


class Measures(Section):
    """How scores are measured; each key is explained in `params.yaml`."""

    ndcg_k: int = Field(ge=1, le=1000)
    replicates: int = Field(ge=10, le=100_000)
    level: float = Field(gt=0, lt=1)


@dataclass(frozen=True)
class Measured:
    """One set of scores, measured.

    Attributes:
        quality: auc, uauc, uauc_users, rows, the same under each slice, ndcg, and intervals of auc
            and uauc; an undefined value is None.
        drawn: auc and uauc of each draw of users.
    """

    quality: dict[str, Any]
    drawn: Bootstrap


def measure_scores(
    uids: NDArray,
    labels: NDArray,
    scores: NDArray,
    *,
    slices: Mapping[str, NDArray],
    draws: NDArray,
    ndcg_k: int,
    level: float,
) -> Measured:
    """Measures scores over all rows, within slices, and over draws of users.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.
        slices: name -> (n,) bool, the rows of the slice.
        draws: (replicates, users); see `stages.common.ranking.draw_users`.
        ndcg_k: NDCG counts a user's first `ndcg_k` rows by score.
        level: share of replicates within an interval.
    """
    drawn = bootstrap(uids, labels, scores, draws)
    quality = {
        **sliced_metrics(uids, labels, scores, slices),
        "ndcg": ndcg(uids, labels, scores, ndcg_k),
        "intervals": {"auc": interval(drawn.auc, level), "uauc": interval(drawn.uauc, level)},
    }
    return Measured(quality, drawn)


def measure_splits(
    splits: Mapping[str, pa.Table],
    scores: Mapping[str, NDArray],
    *,
    ndcg_k: int,
    replicates: int,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Measures a compared method's scores of validation and test rows.

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
    measured = measure_scores(
        uids,
        labels,
        scores["test"],
        slices={"seen": seen, "warm": warm, "cold": ~seen},
        draws=draw_users(uids, replicates, rng),
        ndcg_k=ndcg_k,
        level=level,
    )
    return {
        "protocol": {"ndcg_k": ndcg_k, "replicates": replicates, "level": level},
        **measured.quality,
        "valid": sliced_metrics(
            valid["uid"].to_numpy(), valid["label"].to_numpy(), scores["valid"], {}
        ),
    }


def difference(one: Measured, other: Measured, level: float) -> dict[str, Any]:
    """How far `one` is above `other`, both measured on the same draws: a paired interval.

    What makes a draw of users easy or hard for both cancels out.

    Returns:
        `auc` and `uauc`, each with value, low and high; None where undefined.
    """

    def paired(metric: str, replicates: NDArray) -> dict[str, float] | None:
        ours, theirs = one.quality[metric], other.quality[metric]
        if ours is None or theirs is None:
            return None
        return {"value": ours - theirs, **(interval(replicates, level) or {})}

    return {
        "auc": paired("auc", one.drawn.auc - other.drawn.auc),
        "uauc": paired("uauc", one.drawn.uauc - other.drawn.uauc),
    }
