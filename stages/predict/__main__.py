"""Scores test rows with one adapter: `python -m stages.predict text|codes`.

Whole users are drawn where fewer rows are asked for than there are, the same ones for both kinds.
Killed and started again, it goes on where it was.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.common.params import load_section, load_shared
from stages.common.scratch import scratch_folder
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.llm.launch import run_stage_in_processes
from stages.llm.predicting import draw_test_rows, score_rows, trained_llm
from stages.llm.processes import processes
from stages.llm.prompts import PromptSet
from stages.predict.params import Predict

LLM_FOLDER = Path("models/llm")
SOURCES = [Path(f"stages/{name}") for name in ("common", "llm", "predict")]


def main() -> None:
    """Reads prompts and adapter, writes scores and what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["text", "codes"])
    kind = parser.parse_args().kind
    params = load_section(Predict, "predict")
    seed = load_shared("seed")
    prompts_file = Path(f"data/prompts/{kind}/test.parquet")
    adapter = Path("models/adapters") / kind
    scratch = scratch_folder(
        f"predict-{kind}",
        [LLM_FOLDER, prompts_file, adapter, *SOURCES],
        {"params": params.model_dump(), "seed": seed},
    )
    among = processes()
    llm, score = trained_llm(LLM_FOLDER, adapter, params.precision)
    test = draw_test_rows(prompts_file, params, seed)
    scores, seconds = score_rows(
        llm,
        test,
        score=score,
        token_budget=params.token_budget,
        scratch=scratch,
        title=f"predict {kind}",
        among=among,
    )
    if among.rank > 0:
        return
    write_json(cost(test, seconds), Path(f"metrics/cost/{kind}.json"))
    write_table(
        test.keys.append_column("score", pa.array(scores)),
        Path(f"data/predictions/{kind}.parquet"),
        PREDICTIONS,
    )
    shutil.rmtree(scratch, ignore_errors=True)


def cost(test: PromptSet, seconds: float) -> dict[str, float]:
    """What the scoring took; apart from quality, since seconds change from run to run."""
    rows = len(test.prompts)
    return {
        "rows": rows,
        "tokens_per_prompt": float(np.mean(test.n_tokens)),
        "seconds": seconds,
        "rows_per_second": rows / seconds,
    }


if __name__ == "__main__":
    run_stage_in_processes(main, "stages.predict")
