"""Fits one method and scores the test rows: `python -m stages.compare mf|lightgcn|sasrec|din`.

Reads data/interactions/; writes data/predictions/<method>.parquet, metrics/compare/<method>.json
and the vectors of users and items, models/compare/<method>.safetensors.
"""

import argparse
from pathlib import Path

from stages.collab.fitting import score
from stages.collab.vector_file import write_vectors
from stages.common.errors import run_stage
from stages.common.measures import Measures, measure
from stages.common.params import load_section, load_shared, part_of
from stages.common.seeds import derived_seed, generator
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.compare.interactions import read_interactions
from stages.compare.methods import METHODS, fit_method, vectors_of
from stages.compare.params import Compare


def main() -> None:
    """Fits the method that the command line names, writes scores and metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("method", choices=list(METHODS))
    method = parser.parse_args().method
    measures = load_section(Measures, "compare.measures").model_dump()
    settings = load_section(part_of(Compare, method), f"compare.{method}").model_dump()
    seed = load_shared("seed")
    data = read_interactions(Path("data/interactions"), history=settings.pop("history", 0))
    model, fitted = fit_method(
        method,
        data.rows["train"],
        data.rows["valid"],
        n_users=data.n_users,
        n_items=data.n_items,
        seed=derived_seed(seed, f"compare.{method}"),
        **settings,
    )
    scores = {name: score(model, data.rows[name]) for name in ("valid", "test")}
    # One stream for all methods: the same users are drawn, so that methods can be paired.
    quality = measure(data.splits, scores, rng=generator(seed, "compare"), **measures)
    quality["parameters"] = sum(p.numel() for p in model.parameters())
    quality["fit"] = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    write_table(
        test.append_column("score", [scores["test"]]),
        Path(f"data/predictions/{method}.parquet"),
        PREDICTIONS,
    )
    write_vectors(vectors_of(model), Path(f"models/compare/{method}.safetensors"))
    write_json(quality, Path(f"metrics/compare/{method}.json"))


if __name__ == "__main__":
    run_stage(main)
