"""Trains one method and scores test rows: `python -m stages.compare_llm <method>`.

Methods: icl, prompt4nr, personprompt, collm_mf, collm_din. Reads text prompts and the LLM, for
CoLLM also step 1's adapter and the vectors that `compare` has fitted; writes
data/predictions/<method>.parquet and metrics/compare/<method>.json. Killed and started again, it
goes on where it was.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.common.errors import run_stage
from stages.common.measures import measure
from stages.common.params import load_shared
from stages.common.scratch import scratch_folder
from stages.common.seeds import derived_seed, generator
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.compare_llm.methods import METHODS, Inputs, build
from stages.compare_llm.params import read_params
from stages.compare_llm.rows import JUDGED, draw, with_facts
from stages.compare_llm.run import score_rows, train
from stages.llm.model import trainable_parameters

SOURCES = [Path(f"stages/{name}") for name in ("collab", "common", "compare_llm", "llm")]


def main() -> None:
    """Runs the method that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=list(METHODS))
    run(parser.parse_args().method)


def run(method: str) -> None:
    """Reads params and inputs, trains, scores, writes scores and metrics."""
    params, root, inputs = read_params(method), load_shared("seed"), Inputs.of(method)
    seed = derived_seed(root, f"compare_llm.{method}")
    values = {**params.values(), "seed": root}
    scratch = scratch_folder(f"compare_llm-{method}", [*inputs.files(), *SOURCES], values)
    llm, template = build(
        method,
        inputs,
        precision=params.predict.precision,
        lora=params.lora.model_dump() if params.lora else None,
        seed=seed,
        **params.shape(),
    )
    rows = {split: draw(inputs.prompts, split, n, template, root) for split, n in params.rows()}
    facts: dict[str, pa.Table] = {
        split: with_facts(rows[split].keys, inputs.interactions / f"{split}.parquet")
        for split in JUDGED
    }
    fit: dict[str, float] = {}
    if "train" in rows:
        how = {**params.tuning(), "seed": seed, "scratch": scratch, "title": f"train {method}"}
        fit = train(llm, rows["train"], rows["valid"], **how)
    scores: dict[str, NDArray[np.float32]] = {
        split: score_rows(
            llm,
            rows[split],
            score=params.protocol.score,
            token_budget=params.predict.token_budget,
            scratch=scratch / split,
            title=f"score {method} {split}",
        )
        for split in JUDGED
    }
    # The stream of `compare`: on equal rows equal users are drawn, so that methods can be paired.
    measures = params.measures.model_dump()
    quality = measure(facts, scores, rng=generator(root, "compare"), **measures)
    quality["parameters"] = sum(p.numel() for p in trainable_parameters(llm.model).values())
    quality["fit"] = fit
    predicted = rows["test"].keys.append_column("score", pa.array(scores["test"]))
    write_table(predicted, Path(f"data/predictions/{method}.parquet"), PREDICTIONS)
    write_json(quality, Path(f"metrics/compare/{method}.json"))
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    run_stage(main)
