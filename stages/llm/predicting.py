"""From a written adapter to scores of test rows.

`predict` is this; an ablation of BinLLM takes the same way with one thing changed.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.common.seeds import generator
from stages.llm.model import Llm, Precision, load_adapter, load_llm
from stages.llm.params import Scoring
from stages.llm.partial import PartialScores, read_score
from stages.llm.processes import ALONE, Processes
from stages.llm.prompts import PromptSet, read_prompts, sample_groups
from stages.llm.scoring import Score, score_prompts
from stages.llm.splitting import split_frozen


def trained_llm(llm_folder: Path, adapter: Path, precision: Precision) -> tuple[Llm, Score]:
    """Loads the LLM with a written adapter, ready to score, and what its score is."""
    llm = load_adapter(load_llm(llm_folder, precision=precision), adapter)
    return split_frozen(llm), read_score(adapter)


def draw_test_rows(path: Path, scoring: Scoring, seed: int) -> PromptSet:
    """Draws whole users of the test rows by the root seed, the same from every kind of prompts."""
    return read_prompts(path, sample_groups(path, scoring.rows, "user", generator(seed, "predict")))


def score_rows(
    llm: Llm,
    rows: PromptSet,
    *,
    score: Score,
    token_budget: int,
    scratch: Path,
    title: str,
    among: Processes = ALONE,
) -> tuple[NDArray[np.float32], float]:
    """Returns the rows' scores and the seconds that they took.

    A run that was cut goes on from what lies in `scratch`.
    """
    partial = PartialScores(scratch, len(rows.prompts), among)
    progress = among.progress(title, len(rows.prompts), partial.done)
    scores = score_prompts(
        llm,
        rows.prompts,
        prefixes=rows.prefixes,
        score=score,
        token_budget=token_budget,
        progress=progress,
        scores=partial.scores,
        after_batch=partial.save,
        among=among,
    )
    seconds = partial.seconds
    progress.close()
    return scores, seconds
