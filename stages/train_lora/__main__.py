"""Trains one adapter: `python -m stages.train_lora text|codes`.

Step 1 (`text`) starts from nothing; step 2 (`codes`) goes on from step 1's adapter, or from nothing
with `tuning: intuitive` (BinLLM §3.2.2). Killed and started again, it goes on where it was.
"""

import argparse
import shutil
from pathlib import Path

from stages.common.params import load_section, load_shared
from stages.common.scratch import scratch_folder
from stages.common.seeds import derived_seed
from stages.common.tables import write_json
from stages.llm.launch import run_stage_in_processes
from stages.llm.model import trainable_parameters
from stages.llm.processes import processes
from stages.llm.training import phases_of, starting_point, train_step, write_adapter
from stages.train_lora.curve import write_curve
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
    tuned = train_step(
        llm,
        params,
        prompts,
        phases_of(kind, params),
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


if __name__ == "__main__":
    run_stage_in_processes(main, "stages.train_lora")
