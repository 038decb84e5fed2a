"""What a compared method leaves behind: its scores of the test rows, and how good they are."""

from pathlib import Path
from typing import Any

from stages.collab.fitting import CollaborativeModel, Fit, score
from stages.collab.interactions import Interactions
from stages.common.measures import measure
from stages.common.seeds import generator
from stages.common.tables import PREDICTIONS, write_json, write_table


def write_report(
    method: str,
    model: CollaborativeModel,
    fitted: Fit,
    data: Interactions,
    *,
    seed: int,
    measures: dict[str, Any],
) -> None:
    """Writes data/predictions/<method>.parquet and metrics/compare/<method>.json.

    Args:
        method: the method's name.
        model: scores the validation and test rows.
        fitted: how the model's fit went.
        data: the rows.
        seed: the root seed. One stream for all methods: the same users are drawn for each, so that
            methods can be paired.
        measures: `ndcg_k`, `replicates` and `level` of `stages.common.measures.measure`.
    """
    scores = {name: score(model, data.rows[name]) for name in ("valid", "test")}
    quality = measure(data.splits, scores, rng=generator(seed, "compare"), **measures)
    quality["parameters"] = sum(p.numel() for p in model.parameters())
    quality["fit"] = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    write_table(
        test.append_column("score", [scores["test"]]),
        Path(f"data/predictions/{method}.parquet"),
        PREDICTIONS,
    )
    write_json(quality, Path(f"metrics/compare/{method}.json"))
