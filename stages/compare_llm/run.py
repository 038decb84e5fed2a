"""Runs one method: trains it where it is trained, scores rows, writes what comes out."""

import shutil
from pathlib import Path

from stages.common.params import load_shared
from stages.common.scratch import scratch_folder
from stages.common.seeds import derived_seed
from stages.compare_llm.methods import Inputs, build
from stages.compare_llm.params import read_params
from stages.compare_llm.rows import draw
from stages.compare_llm.training import train
from stages.llm.judging import facts_of, judge
from stages.llm.prompts import PromptSet

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
    rows: dict[str, PromptSet] = {
        split: draw(inputs.prompts, split, n, template, root) for split, n in params.rows()
    }
    facts = facts_of(rows, inputs.interactions)
    how = {**params.tuning(), "seed": seed, "scratch": scratch, "title": f"train {method}"}
    fitted = train(llm, rows, **how)
    judge(
        method,
        llm,
        rows,
        facts,
        fitted,
        score=params.protocol.score,
        token_budget=params.predict.token_budget,
        measures=params.measures,
        seed=root,
        scratch=scratch,
    )
    shutil.rmtree(scratch, ignore_errors=True)
