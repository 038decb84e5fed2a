"""Search for the size of training's steps: `python -m benchmarks.search_steps`.

In a folder where the pipeline has run, trains each variant's adapter once more in each way below,
from where it starts in the pipeline, scores validation rows of whole users, and writes to
benchmarks/searches/steps.json how well it ranks, beside its teacher, and how long training took.
Test rows are not looked at.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from benchmarks.search_prompts import trained_scores
from stages.io.params import load_shared
from stages.io.paths import prompts_folder
from stages.llm.variants import training_settings
from stages.measures.slices import sliced_metrics

# By variant: rows of a step, peak learning rate, and layers adapted (None: all).
WAYS: dict[str, list[tuple[int, float, int | None]]] = {
    "text": [(3, 7e-4, None), (8, 1e-3, None), (12, 1.4e-3, None), (12, 1.4e-3, 20)],
    "codes": [(3, 7e-4, None), (4, 7e-4, None), (4, 1e-3, None), (6, 1e-3, None)],
}
FOUND = Path("benchmarks/searches/steps.json")


def main() -> None:
    """Runs the search in the working folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--variants", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--rows", type=int, default=1500, help="validation rows to score")
    parser.add_argument("--to", type=Path, default=FOUND, help=f"(default: {FOUND})")
    args = parser.parse_args()
    found = json.loads(args.to.read_text()) if args.to.exists() else {}
    of_data = found.setdefault(load_shared("dataset"), {})
    for variant in args.variants:
        for batch_rows, learning_rate, layers in WAYS[variant]:
            way = f"{variant}: steps of {batch_rows} rows, {learning_rate:g}"
            way += f", last {layers} layers" if layers else ""
            for seed in args.seeds:
                changes = {"batch_rows": batch_rows, "learning_rate": learning_rate}
                measured = trained_and_ranked(variant, changes, layers, seed=seed, rows=args.rows)
                of_data.setdefault(way, {})[str(seed)] = measured
                print(way, seed, json.dumps(measured), flush=True)
                args.to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def trained_and_ranked(
    variant: str, changes: dict[str, Any], layers: int | None, *, seed: int, rows: int
) -> dict[str, float]:
    """Trains a variant in one way; returns how it ranks validation rows."""
    training = training_settings(variant)
    lora = training.section.lora.model_copy(update={"last_layers": layers})
    section = training.section.model_copy(update={**changes, "lora": lora})
    training = replace(training, section=section, seed=training.seed + seed - 1)
    drawn, scores, seconds = trained_scores(
        training, prompts_folder(training.prompts), title=f"{variant} {changes}", rows=rows
    )
    uids, found = drawn.keys["uid"].to_numpy(), {"rows": len(scores), "seconds": round(seconds)}
    for name, ranked in (("", scores), ("teacher_", drawn.teacher)):
        metrics = sliced_metrics(uids, drawn.labels, ranked, {})
        found |= {f"{name}{metric}": round(metrics[metric], 4) for metric in ("auc", "uauc")}
    return {**found, "spearman": round(float(spearmanr(scores, drawn.teacher)[0]), 3)}


def markdown(found: dict[str, Any]) -> str:
    """Returns what was found as a table: one line for each way and seed."""
    lines = [
        "| data | way | rows | AUC (teacher) | UAUC (teacher) | Spearman to it | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data, ways in found.items():
        for way, by_seed in ways.items():
            for it in by_seed.values():
                cells = (
                    data,
                    way,
                    f"{it['rows']:,}",
                    *(f"{it[name]:.4f} ({it[f'teacher_{name}']:.4f})" for name in ("auc", "uauc")),
                    f"{it['spearman']:.3f}",
                    str(it["seconds"]),
                )
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
