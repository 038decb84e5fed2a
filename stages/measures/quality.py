"""What is measured of a set of scores, and how two sets differ on the same draws of users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.measures.bootstrap import bootstrap, interval
from stages.measures.params import Evaluate
from stages.measures.slices import sliced_metrics
from stages.measures.user_metrics import user_metrics

# Of these, paired differences are told.
METRICS = ("auc", "uauc", "gauc")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One set of scores, measured.

    Attributes:
        quality: auc, uauc, uauc_users, rows, the same under each slice, the other metrics, and
            intervals of all metrics; an undefined value is None.
        drawn: metric -> (replicates,), it of each draw of users.
    """

    quality: dict[str, Any]
    drawn: dict[str, Floats]


def measure_scores(
    uids: NDArray,
    labels: NDArray,
    scores: NDArray,
    *,
    slices: Mapping[str, NDArray],
    draws: NDArray,
    params: Evaluate,
) -> Measured:
    """Measures scores over all rows, within slices, and over draws of users.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.
        slices: name -> (n,) bool, the rows of the slice.
        draws: (replicates, users); see `stages.measures.bootstrap.draw_users`.
        params: places that NDCG counts, and the share of replicates within an interval.
    """
    both = bootstrap(uids, labels, scores, draws)
    drawn = {"auc": both.auc, "uauc": both.uauc}
    further: dict[str, float | None] = {}
    for name, metric in user_metrics().items():
        if name != "uauc":
            values = metric.of_users(uids, labels, scores, params.ndcg_k)
            further[name] = metric.average(uids, labels, values)
            drawn[name] = metric.drawn(uids, labels, values, draws)
    whole = sliced_metrics(uids, labels, scores, slices)
    spans = {name: interval(values, params.level) for name, values in drawn.items()}
    return Measured({**whole, **further, "intervals": spans}, drawn)


def chance_levels(uids: NDArray, labels: NDArray, k: int) -> dict[str, float | None]:
    """What a random order of the rows gives on average, by metric.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        k: `evaluate.ndcg_k`.

    Returns:
        `auc` and `uauc`, which are .5, and the other metrics; None where undefined.
    """
    both_labels = 0 < labels.sum() < len(labels)
    of_users = {name: it.chance(uids, labels, k) for name, it in user_metrics().items()}
    return {"auc": 0.5 if both_labels else None, **of_users}


def mean_of(runs: Sequence[Measured]) -> Measured:
    """Returns `METRICS` of several measurements of the same rows, averaged draw by draw."""
    quality: dict[str, Any] = {}
    for metric in METRICS:
        values = [run.quality[metric] for run in runs]
        quality[metric] = None if None in values else sum(values) / len(values)
    drawn = {metric: np.mean([run.drawn[metric] for run in runs], axis=0) for metric in METRICS}
    return Measured(quality, drawn)


def difference(one: Measured, other: Measured, level: float) -> dict[str, Any]:
    """How far `one` is above `other`, both measured on the same draws: a paired interval.

    What makes a draw of users easy or hard for both cancels out.

    Returns:
        `METRICS`, each with value, low and high; None where undefined.
    """

    def paired(metric: str) -> dict[str, float] | None:
        ours, theirs = one.quality[metric], other.quality[metric]
        if ours is None or theirs is None:
            return None
        replicates = one.drawn[metric] - other.drawn[metric]
        return {"value": ours - theirs, **(interval(replicates, level) or {})}

    return {metric: paired(metric) for metric in METRICS}
