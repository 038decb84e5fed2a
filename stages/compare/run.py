"""Fits one method, once per seed, and writes what the first seed's fit scores."""

from functools import partial
from pathlib import Path
from typing import Any

from stages.collab.fitting import CollaborativeModel, Fit, score
from stages.collab.timing import timed
from stages.common.params import load_section, load_shared
from stages.common.ranking import sliced_metrics
from stages.common.repeats import over_seeds
from stages.common.seeds import derived_seed, generator
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.compare.interactions import Interactions, read_interactions
from stages.compare.measures import measure
from stages.compare.methods import fit_method
from stages.compare.params import Compare


def run_method(method: str) -> None:
    """Fits the method, writes scores, metrics and cost."""
    params = load_section(Compare, "compare")
    measures, settings = params.measures.model_dump(), getattr(params, method).model_dump()
    seed = load_shared("seed")
    data = read_interactions(Path("data/interactions"), history=settings.pop("history", 0))
    model, fitted, test_scores, cost = timed(
        partial(_fit, data, method, settings, seed), data.rows["test"]
    )
    scores = {"valid": score(model, data.rows["valid"]), "test": test_scores}
    # One stream for all methods: the same users are drawn, so that methods can be paired.
    quality = measure(data.splits, scores, rng=generator(seed, "compare"), **measures)
    quality["parameters"] = sum(p.numel() for p in model.parameters())
    quality["fit"] = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
    quality["seeds"] = over_seeds(
        quality, seed, params.seeds, partial(_test_metrics, data, method, settings)
    )
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    write_table(
        test.append_column("score", [test_scores]),
        Path(f"data/predictions/{method}.parquet"),
        PREDICTIONS,
    )
    write_json(quality, Path(f"metrics/compare/{method}.json"))
    write_json(cost, Path(f"metrics/cost/{method}.json"))


def _fit(
    data: Interactions, method: str, settings: dict[str, Any], seed: int
) -> tuple[CollaborativeModel, Fit]:
    return fit_method(
        method,
        data.rows["train"],
        data.rows["valid"],
        n_users=data.n_users,
        n_items=data.n_items,
        seed=derived_seed(seed, f"compare.{method}"),
        **settings,
    )


def _test_metrics(
    data: Interactions, method: str, settings: dict[str, Any], seed: int
) -> dict[str, Any]:
    """AUC and UAUC of all test rows, fitted under another root seed."""
    model, _ = _fit(data, method, settings, seed)
    test = data.splits["test"]
    uids, labels = test["uid"].to_numpy(), test["label"].to_numpy()
    return sliced_metrics(uids, labels, score(model, data.rows["test"]), {})
