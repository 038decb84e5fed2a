"""Scores test rows with one variant's adapter: `python -m stages.predict text|codes|…`.

Whole users are drawn where fewer rows are asked for than there are, the same ones for all variants.
Killed and started again, it goes on where it was.
"""

import numpy as np
import pyarrow as pa

from stages.io.params import load_section, load_shared
from stages.io.paths import LLM_FOLDER, adapter_folder, predictions, prompts_folder, scoring_cost
from stages.io.scratch import finished, scratch_folder
from stages.io.sources import import_closure
from stages.io.tables import PREDICTIONS, write_json, write_table
from stages.llm.launch import start_in_processes
from stages.llm.params import Scoring
from stages.llm.processes import processes
from stages.llm.scoring_run import draw_test_rows, score_rows, trained_llm
from stages.llm.variants import variant_entry


def main(variant: str) -> None:
    """Reads prompts and adapter, writes scores and what they cost."""
    params, seed = load_section(Scoring, "predict"), load_shared("seed")
    prompts = prompts_folder(variant_entry(variant).prompts) / "test.parquet"
    adapter = adapter_folder(variant)
    values = {"params": params.model_dump(), "seed": seed}
    scratch = scratch_folder(
        f"predict-{variant}",
        [LLM_FOLDER, prompts, adapter],
        {**values, "sources": import_closure(["stages.predict"])},
    )
    peers = processes()
    llm, score = trained_llm(LLM_FOLDER, adapter, params.precision)
    test = draw_test_rows(prompts, params, seed)
    scores, seconds = score_rows(
        llm,
        test,
        score=score,
        token_budget=params.token_budget,
        scratch=scratch,
        title=f"predict {variant}",
        peers=peers,
    )
    if peers.rank > 0:
        return
    cost = {"rows": len(scores), "seconds": seconds}
    write_json({**cost, "tokens_per_prompt": float(np.mean(test.n_tokens))}, scoring_cost(variant))
    scored = test.keys.append_column("score", pa.array(scores))
    write_table(scored, predictions(variant), PREDICTIONS)
    finished(scratch)


if __name__ == "__main__":
    start_in_processes(main, "stages.predict", "variant")
