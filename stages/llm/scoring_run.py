"""From a written adapter to scores of rows, kept as they come."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.io.seeds import generator
from stages.llm.adapters import load_adapter
from stages.llm.load import Llm, load_llm
from stages.llm.params import Precision, Score, Scoring
from stages.llm.partial_scores import PartialScores, read_score
from stages.llm.processes import ALONE, Processes
from stages.llm.score import score_prompts
from stages.llm.splitting import split_frozen
from stages.prompts.rows import PromptRows, read_prompts, sample_groups


def trained_llm(llm_folder: Path, adapter: Path, precision: Precision) -> tuple[Llm, Score]:
    """Loads the LLM with a written adapter, ready to score, and what its score is."""
    llm = load_adapter(load_llm(llm_folder, precision=precision), adapter)
    return split_frozen(llm), read_score(adapter)


def draw_test_rows(path: Path, scoring: Scoring, seed: int) -> PromptRows:
    """Draws whole users of the test rows by the root seed, the same from every kind of prompts."""
    return read_prompts(path, sample_groups(path, scoring.rows, "user", generator(seed, "predict")))


def score_rows(
    llm: Llm,
    rows: PromptRows,
    *,
    score: Score,
    token_budget: int,
    scratch: Path,
    title: str,
    peers: Processes = ALONE,
) -> tuple[NDArray[np.float32], float]:
    """Returns the rows' scores and the seconds that they took.

    A run that was cut goes on from what lies in `scratch`.
    """
    partial = PartialScores(scratch, len(rows.prompts), peers)
    progress = peers.progress(title, len(rows.prompts), partial.done)
    scores = score_prompts(
        llm,
        rows.prompts,
        prefixes=rows.prefixes,
        score=score,
        token_budget=token_budget,
        progress=progress,
        scores=partial.scores,
        after_batch=partial.save,
        peers=peers,
    )
    seconds = partial.seconds
    progress.close()
    return scores, seconds
