"""What `metrics/table.json` holds: each method on the same rows, and held against BinLLM."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.common.predictions import ScoredRows
from stages.common.quality import difference
from stages.common.ranking import bootstrap, draw_users, interval
from stages.report.methods import OURS, Facts
from stages.report.published import PUBLISHED
from stages.report.seeds import across_seeds

FEWEST_USERS = 10


def build_table(
    rows: ScoredRows,
    facts: Mapping[str, Facts],
    *,
    dataset: str,
    ndcg_k: int,
    replicates: int,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Measures all methods on the same rows and the same draws of users.

    Args:
        rows: the rows, with every method's scores under its name in the table.
        facts: method -> what its own stages know of it.
        dataset: the data set's name; the paper's figures are added where it has any.
        ndcg_k: NDCG counts a user's first `ndcg_k` rows by score.
        replicates: how often users are drawn.
        level: share of replicates within an interval.
        rng: source of the draws.

    Returns:
        `protocol`; `methods`, each with auc, uauc, uauc_users, rows, seen, warm, cold (with
        users and intervals), ndcg, intervals, scored_rows, difference (BinLLM - it, paired),
        relative_improvement (of BinLLM over it), parameters, seconds, published; and `seeds` where
        methods were fitted more than once. An undefined value is None.
    """
    draws = draw_users(rows.uids, replicates, rng)
    measured = rows.measured(draws=draws, ndcg_k=ndcg_k, level=level)
    lines = {}
    for method, found in measured.items():
        for name, part in rows.slices.items():
            found.quality[name] |= slice_spread(rows, rows.scores[method], part, draws, level)
        lines[method] = {
            **found.quality,
            "scored_rows": rows.n_scored[method],
            **_against(measured[OURS].quality, found.quality, method),
            "parameters": facts[method].parameters,
            "seconds": {
                "fit": facts[method].fit_seconds,
                "per_1000_rows": facts[method].seconds_per_1000,
            },
            "published": _published(dataset, method),
        }
        if method != OURS:
            lines[method]["difference"] = difference(measured[OURS], found, level)
    seeds = {method: known.seeds for method, known in facts.items() if known.seeds}
    return {
        "protocol": {
            "dataset": dataset,
            **rows.protocol(ndcg_k=ndcg_k, replicates=replicates, level=level),
        },
        "methods": lines,
        "seeds": across_seeds(seeds) if seeds else None,
    }


def relative_improvement(ours: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """How much better `ours` is, relative to `other`, averaged over AUC and UAUC (paper, Table 2).

    Returns:
        The mean of (ours - other) / other, 0.1 meaning 10 % better; None where undefined.
    """
    gains = []
    for metric in ("auc", "uauc"):
        if ours[metric] is None or not other[metric]:
            return None
        gains.append((ours[metric] - other[metric]) / other[metric])
    return float(np.mean(gains))


def slice_spread(
    rows: ScoredRows, scores: NDArray, part: NDArray, draws: NDArray, level: float
) -> dict[str, Any]:
    """Users of a slice of the rows, and intervals of AUC and UAUC within it on the same draws.

    No intervals below `FEWEST_USERS` users: drawing a handful again and again says little.

    Args:
        rows: (n) rows.
        scores: (n,) one method's scores.
        part: (n,) bool, the rows of the slice.
        draws: (replicates, users) how often each of all users is drawn.
        level: share of replicates within an interval.
    """
    users = np.unique(rows.uids[part])
    if len(users) < FEWEST_USERS:
        return {"users": len(users)}
    of_part = draws[:, np.isin(np.unique(rows.uids), users)]
    drawn = bootstrap(rows.uids[part], rows.labels[part], scores[part], of_part)
    spans = {"auc": interval(drawn.auc, level), "uauc": interval(drawn.uauc, level)}
    return {"users": len(users), "intervals": spans}


def _against(ours: dict[str, Any], it: dict[str, Any], method: str) -> dict[str, Any]:
    return {} if method == OURS else {"relative_improvement": relative_improvement(ours, it)}


def _published(dataset: str, method: str) -> dict[str, float | None] | None:
    figures = {
        name: dict(zip(("auc", "uauc"), pair, strict=True))
        for name, pair in PUBLISHED.get(dataset, {}).items()
    }
    if method not in figures:
        return None
    it = figures[method]
    return {**it, **_against(figures[OURS], it, method)}
