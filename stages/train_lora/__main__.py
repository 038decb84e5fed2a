"""Trains one adapter: `python -m stages.train_lora text|codes`.

Step 1 (`text`) starts from nothing; step 2 (`codes`) goes on from step 1's adapter, or from nothing
with `tuning: intuitive` (BinLLM §3.2.2). Killed and started again, it goes on where it was.
"""

import argparse
import shutil
from pathlib import Path
from typing import Literal

from stages.common.params import load_section, load_shared
from stages.common.scratch import scratch_folder
from stages.common.seeds import derived_seed, generator
from stages.common.tables import write_json
from stages.llm.launch import run_stage_in_processes
from stages.llm.model import trainable_parameters
from stages.llm.processes import processes
from stages.llm.prompts import read_prompts, sample_groups
from stages.llm.tuning import LabelledPrompts, tune
from stages.train_lora.adapter import starting_point, write_adapter, write_curve
from stages.train_lora.params import TrainLora

LLM_FOLDER = Path("models/llm")
SOURCES = [Path(f"stages/{name}") for name in ("common", "llm", "train_lora")]


def main() -> None:
    """Reads prompts, trains, writes the adapter, its curve and its metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["text", "codes"])
    kind = parser.parse_args().kind
    params = load_section(TrainLora, "train_lora")
    seed = derived_seed(load_shared("seed"), f"train_lora {kind}")
    start = Path("models/adapters/text")
    start_from = start if kind == "codes" and params.tuning == "two_step" else None
    prompts = Path("data/prompts") / kind

    scratch = scratch_folder(
        f"train_lora-{kind}",
        [LLM_FOLDER, prompts, *SOURCES, *([start_from] if start_from else [])],
        {"params": params.model_dump(), "seed": seed},
    )
    among = processes()
    llm = starting_point(params, LLM_FOLDER, start_from, seed)
    phases = {"train": params.train_rows.text if kind == "text" else params.train_rows.codes}
    if kind == "codes" and params.train_rows.ids_first != 0:
        phases = {"train_ids": params.train_rows.ids_first, **phases}
    train = [
        labelled(prompts / f"{name}.parquet", rows, params.share_prefix, seed)
        for name, rows in phases.items()
    ]
    valid = labelled(prompts / "valid.parquet", params.valid_rows, True, seed)
    tuned = tune(
        llm,
        train,
        valid,
        score=params.score,
        epochs=params.epochs,
        batch_rows=params.batch_rows,
        micro_tokens=params.micro_tokens,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        warmup=params.warmup,
        evaluations=params.evaluations,
        seed=seed,
        scratch=scratch,
        title=f"train_lora {kind}",
        among=among,
    )
    if among.rank > 0:
        return
    write_adapter(llm, tuned, params.score, Path("models/adapters") / kind)
    write_curve(tuned, Path(f"metrics/plots/training_{kind}.csv"))
    trainable = sum(p.numel() for p in trainable_parameters(llm.model).values())
    write_json(
        {"valid_auc": tuned.best["auc"], "rows": tuned.best["rows"], "parameters": trainable},
        Path(f"metrics/train_lora/{kind}.json"),
    )
    write_json({"fit_seconds": tuned.seconds}, Path(f"metrics/cost/train_{kind}.json"))
    shutil.rmtree(scratch)


def labelled(path: Path, rows: int | None, share_prefix: bool, seed: int) -> LabelledPrompts:
    """Draws training or validation prompts, whole groups of equal prefix where they are shared."""
    by: Literal["prefix", "row"] = "prefix" if share_prefix else "row"
    drawn = read_prompts(path, sample_groups(path, rows, by, generator(seed, path.name)))
    return LabelledPrompts(drawn.prompts, drawn.prefixes if share_prefix else None, drawn.labels)


if __name__ == "__main__":
    run_stage_in_processes(main, "stages.train_lora")
