"""Search for settings of the methods without vectors: `python -m benchmarks.search_main_effects`.

Fits item mean, both biases, item and title kNN with each combination of settings on the
interactions of one or more data sets, `name=folder` each, and writes AUC and UAUC of validation and
test rows to benchmarks/searches/main_effects.json, in place of what it holds of these methods.
Chosen is by the validation AUC, on average over the data sets (of item kNN the fewest neighbours
within .0005 of the best); the test rows are measured beside it, and decide nothing.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.compare import quality
from stages import methods
from stages.collab.interactions import Interactions, read_interactions
from stages.io.paths import INTERACTIONS_FOLDER

GRIDS: dict[str, dict[str, list[Any]]] = {
    "item_mean": {"strength": [1.0, 2.0, 5.0, 10.0, 20.0]},
    "bias": {"c": [0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0]},
    "title_bias": {
        "c": [0.5, 1.0, 2.0],
        "title_weight": [0.3, 0.5, 1.0, 1.5, 2.0],
        "popularity": [False, True],
    },
    "item_knn": {
        "c": [2.0],  # the best of bias
        "neighbours": [20, 50, 200, 500],
        "shrinkage": [0.0, 10.0, 30.0, 100.0],
        "weight": [1.0, 2.0, 4.0, 8.0],
    },
    "title_knn": {
        "c": [1.0],  # the best of title_bias, as is the next
        "title_weight": [1.5],
        "popularity": [True],
        "weight": [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5],
        "history": [5, 10, 25],
        "encoder": ["all-minilm-l6-v2"],
    },
}
FOUND = Path("benchmarks/searches/main_effects.json")


def main() -> None:
    """Runs the search on the data sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "data",
        nargs="*",
        metavar="name=folder",
        help="a data set and its interactions; a folder alone is called by its own name "
        f"(default: {INTERACTIONS_FOLDER})",
    )
    parser.add_argument("--methods", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--to", type=Path, default=FOUND, help=f"(default: {FOUND})")
    args = parser.parse_args()
    data = dict(map(_named, args.data or [str(INTERACTIONS_FOLDER)]))
    found = json.loads(args.to.read_text(encoding="utf-8")) if args.to.exists() else {}
    for name in args.methods:
        found[name] = search(name, data)
    args.to.parent.mkdir(parents=True, exist_ok=True)
    args.to.write_text(_one_line_each(found), encoding="utf-8")


def search(name: str, data: dict[str, Path]) -> list[dict[str, Any]]:
    """Fits a method with each combination of its grid and prints what comes out.

    Returns:
        One entry per combination, the best first: `settings`, and per data set [AUC, UAUC] of
        `valid` and of `test`.
    """
    method = methods.load(name)
    found: list[dict[str, Any]] = [{"settings": it} for it in _combinations(GRIDS[name])]
    for title, folder in data.items():  # the outer loop: what is encoded of a data set is kept
        for line in found:
            own = method.settings(**line["settings"])
            rows = read(folder, method.history(own))
            fitted = method.fit(rows, own, 1)
            line[title] = {
                split: [round(value, 4) for value in quality(fitted.score, rows.rows[split])]
                for split in ("valid", "test")
            }
            print(name, title, json.dumps(line["settings"]), json.dumps(line[title]), flush=True)
    return sorted(found, key=lambda it: -statistics.fmean(it[title]["valid"][0] for title in data))


def _combinations(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


@cache
def read(folder: Path, history: int) -> Interactions:
    """Returns a data set's interactions with so many liked items each, read once."""
    return read_interactions(folder, history=history)


def _named(word: str) -> tuple[str, Path]:
    name, _, folder = word.rpartition("=")
    return name or Path(folder).name, Path(folder)


def _one_line_each(found: dict[str, list[dict[str, Any]]]) -> str:
    """Returns JSON with a line for each combination."""
    parts = []
    for name, lines in found.items():
        body = ",\n".join(f"    {json.dumps(line)}" for line in lines)
        parts.append(f"  {json.dumps(name)}: [\n{body}\n  ]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
