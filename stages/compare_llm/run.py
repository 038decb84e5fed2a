"""Runs one method: trains it where it is trained, scores rows, writes what comes out."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.common.params import load_shared
from stages.common.quality import measure_splits
from stages.common.scratch import scratch_folder
from stages.common.seeds import derived_seed, generator
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.compare_llm.methods import Inputs, build
from stages.compare_llm.params import read_params
from stages.compare_llm.rows import JUDGED, draw, with_facts
from stages.compare_llm.training import Fitted, score_rows, train
from stages.llm.model import trainable_parameters

SOURCES = [Path(f"stages/{name}") for name in ("collab", "common", "compare_llm", "llm")]


def run_method(method: str) -> None:
    """Reads params and inputs, trains, scores, writes scores, metrics and cost."""
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
    fitted = Fitted({}, 0.0)
    if "train" in rows:
        how = {**params.tuning(), "seed": seed, "scratch": scratch, "title": f"train {method}"}
        fitted = train(llm, rows["train"], rows["valid"], **how)
    scored = {
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
    scores: dict[str, NDArray[np.float32]] = {split: found for split, (found, _) in scored.items()}
    # The stream of `compare`: on equal rows equal users are drawn, so that methods can be paired.
    measures = params.measures.model_dump()
    quality = measure_splits(facts, scores, rng=generator(root, "compare"), **measures)
    quality["parameters"] = sum(p.numel() for p in trainable_parameters(llm.model).values())
    quality["fit"] = fitted.best
    predicted = rows["test"].keys.append_column("score", pa.array(scores["test"]))
    _, seconds = scored["test"]
    cost = {
        "rows": len(predicted),
        "fit_seconds": fitted.seconds,
        "seconds": seconds,
        "rows_per_second": len(predicted) / seconds,
    }
    write_table(predicted, Path(f"data/predictions/{method}.parquet"), PREDICTIONS)
    write_json(quality, Path(f"metrics/compare/{method}.json"))
    write_json(cost, Path(f"metrics/cost/{method}.json"))
    shutil.rmtree(scratch, ignore_errors=True)
