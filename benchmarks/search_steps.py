"""Search for the size of training's steps: `python -m benchmarks.search_steps`.

In a folder where the pipeline has run, trains each variant's adapter once more in each way below,
from where it starts in the pipeline, scores validation rows of whole users, and writes to
benchmarks/searches/steps.json how well it ranks, beside its teacher, and how long training took.
Test rows are not looked at.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.search_prompts import ranked_beside_teacher, search, trained_scores
from stages.io.paths import prompts_folder
from stages.llm.variants import training_settings

# By variant: rows of a step, peak learning rate, and layers adapted (None: all).
_SETTINGS: dict[str, list[tuple[int, float, int | None]]] = {
    "text": [(3, 7e-4, None), (8, 1e-3, None), (12, 1.4e-3, None), (12, 1.4e-3, 20)],
    "codes": [(3, 7e-4, None), (4, 7e-4, None), (4, 1e-3, None), (6, 1e-3, None)],
}
WAYS = {
    f"{variant}: steps of {rows} rows, {rate:g}" + (f", last {layers} layers" if layers else ""): (
        variant,
        {"batch_rows": rows, "learning_rate": rate},
        layers,
    )
    for variant, settings in _SETTINGS.items()
    for rows, rate, layers in settings
}
FOUND = Path("benchmarks/searches/steps.json")


def main() -> None:
    """Runs the search in the working folder."""
    search(
        WAYS,
        lambda way, seed, rows: trained_and_ranked(*WAYS[way], seed=seed, rows=rows),
        rows=1500,
        found_in=FOUND,
        description=__doc__,
    )


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
    return {"seconds": round(seconds), **ranked_beside_teacher(drawn, scores)}


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
