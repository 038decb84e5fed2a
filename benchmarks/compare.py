"""Quality of the compared methods over several seeds: `python -m benchmarks.compare`.

Fits each method with the settings of `params.yaml` on the interactions that the pipeline has
prepared, once per seed, and prints mean and standard deviation of AUC and UAUC.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from stages import methods
from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions, read_interactions
from stages.collab.method import CollaborativeMethod
from stages.io.params import Section, load_key, load_section
from stages.io.paths import INTERACTIONS_FOLDER
from stages.measures.metrics.auc import auc
from stages.measures.metrics.uauc import uauc


def main() -> None:
    """Runs what the command line asks for; the methods that the pipeline runs by default."""
    known = [name for name in methods.names() if _has_no_llm(name)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "methods",
        nargs="*",
        metavar="method",
        help=f"of {', '.join(known)} (default: compare.methods in params.yaml)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1..n (default 5)")
    parser.add_argument("--interactions", type=Path, default=INTERACTIONS_FOLDER)
    args = parser.parse_args()
    if unknown := set(args.methods) - set(known):
        parser.error(f"unknown method {min(unknown)}; choose from {', '.join(known)}")
    names = args.methods or load_key("compare.methods", TypeAdapter(list[str]))
    if "ctrl" in names and args.interactions != INTERACTIONS_FOLDER:
        parser.error(f"ctrl reads its titles in {INTERACTIONS_FOLDER} alone")
    print(f"torch {torch.__version__}, one thread, {args.interactions}")
    print(f"{'':9}{'seed':>5}{'valid AUC':>11}{'UAUC':>8}{'test AUC':>10}{'UAUC':>8}{'seconds':>9}")
    for name in names:
        method = methods.load(name)
        settings = load_section(method.settings, f"compare.{name}")
        data = read_interactions(args.interactions, history=method.history(settings))
        figures = [run(name, method, data, settings, seed) for seed in range(1, args.seeds + 1)]
        for title, statistic in (("mean", statistics.mean), ("sd", statistics.stdev)):
            if len(figures) > 1 or title == "mean":
                print_line(
                    name, title, [statistic(column) for column in zip(*figures, strict=True)]
                )


def run(
    name: str, method: CollaborativeMethod, data: Interactions, settings: Section, seed: int
) -> list[float]:
    """Fits a method with one root seed as its stage does, prints and returns its figures.

    Returns:
        AUC and UAUC of the validation rows, of the test rows, and seconds.
    """
    start = time.perf_counter()
    fitted = method.fit(data, settings, seed)
    seconds = time.perf_counter() - start
    figures = [
        value for split in ("valid", "test") for value in quality(fitted.score, data.rows[split])
    ]
    print_line(name, str(seed), [*figures, seconds])
    return [*figures, seconds]


def quality(score: Callable[[Rows], NDArray[Any]], rows: Rows) -> tuple[float, float]:
    """Returns AUC and UAUC of a method's scores; 0 where undefined."""
    labels, scores = rows.labels.numpy(), score(rows)
    return auc(labels, scores) or 0.0, uauc(rows.users.numpy(), labels, scores)[0] or 0.0


def _has_no_llm(name: str) -> bool:
    return isinstance(methods.load(name), CollaborativeMethod)


def print_line(method: str, name: str, figures: list[float]) -> None:
    """Prints four metrics and seconds."""
    *metrics, seconds = figures
    widths = (11, 8, 10, 8)
    cells = [f"{value:{width}.4f}" for value, width in zip(metrics, widths, strict=True)]
    print(f"{method:9}{name:>5}{''.join(cells)}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()
