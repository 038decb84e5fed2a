"""Fits a compared method, once per seed, and writes what the first seed's fit scores and costs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from stages.collab.fitting import CollaborativeModel, Fit, score
from stages.collab.interactions import Interactions
from stages.collab.timing import timed
from stages.common.quality import measure_splits
from stages.common.ranking import sliced_metrics
from stages.common.repeats import over_seeds
from stages.common.seeds import generator
from stages.common.tables import PREDICTIONS, write_json, write_table

M = TypeVar("M", bound=CollaborativeModel)


def fit_and_report(
    method: str,
    fit: Callable[[int], tuple[M, Fit]],
    data: Interactions,
    *,
    seed: int,
    seeds: int,
    measures: dict[str, Any],
) -> M:
    """Writes data/predictions/<method>.parquet, and metrics/compare and metrics/cost/<method>.json.

    Args:
        method: the method's name.
        fit: fits the method under a root seed; returns the model and how its fit went.
        data: the rows.
        seed: the root seed.
        seeds: how many root seeds to fit under, `seed` included.
        measures: `ndcg_k`, `replicates` and `level` of `stages.common.quality.measure_splits`.

    Returns:
        The model fitted under `seed`.
    """
    model, fitted, test_scores, cost = timed(partial(fit, seed), data.rows["test"])
    scores = {"valid": score(model, data.rows["valid"]), "test": test_scores}
    # One stream for all methods: the same users are drawn, so that methods can be paired.
    quality = measure_splits(data.splits, scores, rng=generator(seed, "compare"), **measures)
    quality["parameters"] = sum(p.numel() for p in model.parameters())
    quality["fit"] = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
    quality["seeds"] = over_seeds(
        quality, seed, seeds, lambda root: _test_metrics(fit(root)[0], data)
    )
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    write_table(
        test.append_column("score", [test_scores]),
        Path(f"data/predictions/{method}.parquet"),
        PREDICTIONS,
    )
    write_json(quality, Path(f"metrics/compare/{method}.json"))
    write_json(cost, Path(f"metrics/cost/{method}.json"))
    return model


def _test_metrics(model: CollaborativeModel, data: Interactions) -> dict[str, Any]:
    """AUC and UAUC of all test rows."""
    test = data.splits["test"]
    uids, labels = test["uid"].to_numpy(), test["label"].to_numpy()
    return sliced_metrics(uids, labels, score(model, data.rows["test"]), {})
