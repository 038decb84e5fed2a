"""What is measured of a set of scores, and how two sets differ on the same draws of users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.io.params import Section
from stages.measures.bootstrap import Bootstrap, bootstrap, drawn_means, interval
from stages.measures.metrics import user_metrics
from stages.measures.slices import sliced_metrics


class Evaluate(Section):
    """How scores are measured: `evaluate` in `params.yaml`, where each key is explained."""

    ndcg_k: int = Field(ge=1, le=1000)
    replicates: int = Field(ge=10, le=100_000)
    level: float = Field(gt=0, lt=1)


@dataclass(frozen=True)
class Measured:
    """One set of scores, measured.

    Attributes:
        quality: auc, uauc, uauc_users, rows, the same under each slice, the other metrics, and
            intervals of all metrics; an undefined value is None.
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
    drawn = bootstrap(uids, labels, scores, draws)
    spans = {
        "auc": interval(drawn.auc, params.level),
        "uauc": interval(drawn.uauc, params.level),
    }
    further: dict[str, float | None] = {}
    for name, metric in user_metrics().items():
        if name != "uauc":
            values = metric.of_users(uids, labels, scores, params.ndcg_k)
            further[name] = float(values.mean()) if len(values) else None
            spans[name] = interval(drawn_means(uids, labels, values, draws), params.level)
    whole = sliced_metrics(uids, labels, scores, slices)
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
    """Returns AUC and UAUC of several measurements of the same rows, averaged draw by draw."""
    quality: dict[str, Any] = {}
    for metric in ("auc", "uauc"):
        values = [run.quality[metric] for run in runs]
        quality[metric] = None if None in values else sum(values) / len(values)
    auc = np.mean([run.drawn.auc for run in runs], axis=0)
    uauc = np.mean([run.drawn.uauc for run in runs], axis=0)
    return Measured(quality, Bootstrap(auc=auc, uauc=uauc))


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
