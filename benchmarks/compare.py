"""Quality of the compared methods over several seeds: `python -m benchmarks.compare`.

Fits each method with the settings of `params.yaml` on the interactions that the pipeline has
prepared, once per seed, and prints mean and standard deviation of AUC and UAUC.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from stages.collab.fitting import CollaborativeModel, Rows, score
from stages.collab.interactions import read_interactions
from stages.common.params import load_section
from stages.common.ranking import auc, uauc
from stages.common.seeds import derived_seed
from stages.compare.methods import METHODS, fit_method
from stages.compare.params import Compare


def main() -> None:
    """Runs what the command line asks for; every method by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "methods", nargs="*", metavar="method", help=f"of {', '.join(METHODS)} (default all)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1..n (default 5)")
    parser.add_argument("--interactions", type=Path, default=Path("data/interactions"))
    args = parser.parse_args()
    if unknown := set(args.methods) - set(METHODS):
        parser.error(f"unknown method {min(unknown)}; choose from {', '.join(METHODS)}")
    params = load_section(Compare, "compare")
    print(f"torch {torch.__version__}, one thread, {args.interactions}")
    print(f"{'':9}{'seed':>5}{'valid AUC':>11}{'UAUC':>8}{'test AUC':>10}{'UAUC':>8}{'seconds':>9}")
    for method in args.methods or METHODS:
        settings = getattr(params, method).model_dump()
        figures = [
            run(method, seed, args.interactions, settings) for seed in range(1, args.seeds + 1)
        ]
        for name, statistic in (("mean", statistics.mean), ("sd", statistics.stdev)):
            if len(figures) > 1 or name == "mean":
                print_line(
                    method, name, [statistic(column) for column in zip(*figures, strict=True)]
                )


def run(method: str, seed: int, folder: Path, settings: dict[str, Any]) -> list[float]:
    """Fits a method with one seed as its stage does, prints and returns its figures.

    Returns:
        AUC and UAUC of the validation rows, of the test rows, and seconds.
    """
    shape = dict(settings)
    data = read_interactions(folder, history=shape.pop("history", 0))
    start = time.perf_counter()
    model, _ = fit_method(
        method,
        data.rows["train"],
        data.rows["valid"],
        n_users=data.n_users,
        n_items=data.n_items,
        seed=derived_seed(seed, f"compare.{method}"),
        **shape,
    )
    seconds = time.perf_counter() - start
    figures = [value for name in ("valid", "test") for value in quality(model, data.rows[name])]
    print_line(method, str(seed), [*figures, seconds])
    return [*figures, seconds]


def quality(model: CollaborativeModel, rows: Rows) -> tuple[float, float]:
    """Returns AUC and UAUC of a model's scores; 0 where undefined."""
    labels, scores = rows.labels.numpy(), score(model, rows)
    return auc(labels, scores) or 0.0, uauc(rows.users.numpy(), labels, scores)[0] or 0.0


def print_line(method: str, name: str, figures: list[float]) -> None:
    """Prints four metrics and seconds."""
    *metrics, seconds = figures
    widths = (11, 8, 10, 8)
    cells = [f"{value:{width}.4f}" for value, width in zip(metrics, widths, strict=True)]
    print(f"{method:9}{name:>5}{''.join(cells)}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()
