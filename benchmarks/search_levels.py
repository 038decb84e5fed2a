"""How fine levels in prompts have to be: `python -m benchmarks.search_levels`.

In a folder where the pipeline has run, ranks all validation rows by what stands in their prompts,
without an LLM: main effects, as they are and as levels, alone and beside what the codes add. A
reader of prompts can hardly rank better than this. Writes to benchmarks/searches/levels.json; test
rows are not looked at.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search_prompts import inner_products
from stages.collab.interactions import read_interactions
from stages.collab.main_effects import main_effects
from stages.io.params import load_shared
from stages.io.paths import INTERACTIONS_FOLDER
from stages.measures.metrics.auc import auc
from stages.measures.metrics.gauc import METRIC as GAUC
from stages.measures.metrics.uauc import uauc
from stages.prompts.main_effects import AVERAGE, STEP, levels
from stages.prompts.settings import prompt_settings

FOUND = Path("benchmarks/searches/levels.json")
# By way of writing main effects and what stands beside them: the metrics.
Found = dict[str, dict[str, dict[str, float | None]]]
_SIGNS = {"-": -1, "": 0, "+": 1}
_WAYS = {"9 levels": 9, "27 levels": 27, "as they are": None}


def main() -> None:
    """Measures the ways in the working folder, and puts them into a JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--to", type=Path, default=FOUND, help=f"(default: {FOUND})")
    args = parser.parse_args()
    found = json.loads(args.to.read_text()) if args.to.exists() else {}
    found[load_shared("dataset")] = measured()
    args.to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(markdown(found))


def measured() -> Found:
    """Returns what each way ranks the validation rows of the working folder like."""
    section = prompt_settings("codes").section
    data = read_interactions(INTERACTIONS_FOLDER, history=0)
    effects = main_effects(data, c=section.rate_c, title_weight=section.rate_title_weight)
    rows, table = data.rows["valid"], data.splits["valid"]
    users, items = rows.users.numpy(), rows.items.numpy()
    codes = inner_products(table)
    found: Found = {}
    for way, number in _WAYS.items():
        shown = read(effects.users, number)[users] + read(effects.items, number)[items]
        for beside, scores in (("nothing", shown), ("codes", shown + codes)):
            found.setdefault(way, {})[beside] = ranked(users, rows.labels.numpy(), scores)
    return found


def ranked(users: NDArray, labels: NDArray, scores: NDArray) -> dict[str, float | None]:
    """Returns AUC, UAUC and GAUC."""
    gauc = GAUC.mean(users, labels, scores, 0)
    return {"auc": auc(labels, scores), "uauc": uauc(users, labels, scores)[0], "gauc": gauc}


def read(effects: NDArray, number: int | None) -> NDArray:
    """Returns effects as a reader of their levels knows them; None for as they are."""
    if number is None:
        return effects
    written = levels(effects, number)
    return STEP * np.array([int(it[0]) - AVERAGE + _SIGNS[it[1:]] / 3 for it in written])


def markdown(found: dict[str, Any]) -> str:
    """Returns what was found as a table."""
    lines = [
        "| data | kindness and appeal | beside them | AUC | UAUC | GAUC |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for data, ways in found.items():
        for way, besides in ways.items():
            for beside, metrics in besides.items():
                cells = (data, way, beside, *(f"{it:.4f}" for it in metrics.values()))
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
