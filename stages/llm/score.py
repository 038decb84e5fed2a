"""The one way to get a score for a prompt.

Score (BinLLM section 2.1): the logit of the single token " Yes" after the prompt, or that logit
less the one of " No". Only the scored positions meet the head, and only its two rows.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.io.progress import Progress
from stages.llm.load import Llm, answer_logits, last_hidden
from stages.llm.packing import Batch, Group, collate, group_rows, pack
from stages.llm.params import Score
from stages.llm.processes import ALONE, Processes
from stages.llm.workers import workers
from stages.prompts.tokenizer import tokenize


def batch_scores(llm: Llm, batch: Batch, score: Score) -> Tensor:
    """Scores a batch, with gradient if it is on.

    Returns:
        (rows,) float32 scores, in the order of `batch.rows`.
    """
    yes, no = answer_logits(llm, last_hidden(llm, batch)).unbind(1)
    return yes if score == "yes_logit" else yes - no


def score_prompts(
    llm: Llm,
    prompts: Sequence[str],
    *,
    prefixes: Sequence[str] | None = None,
    score: Score = "yes_logit",
    token_budget: int = 4096,
    progress: Progress | None = None,
    scores: NDArray[np.float32] | None = None,
    after_batch: Callable[[NDArray[np.float32]], None] | None = None,
    peers: Processes = ALONE,
) -> NDArray[np.float32]:
    """Scores prompts; each score is what the prompt alone would get.

    Args:
        llm: the model.
        prompts: whole prompts.
        prefixes: each prompt's prefix, to compute shared ones once; None to compute each row alone.
        score: what is the score.
        token_budget: tokens of a batch; bounds the memory.
        progress: advanced by rows.
        scores: (n,) what an earlier, cut run got so far; rows that are NaN are scored.
        after_batch: called with all scores so far after each batch.
        peers: the processes that share the work; all call this with equal arguments.

    Returns:
        (n,) float32 scores, in the order of `prompts`.
    """
    result = np.full(len(prompts), np.nan, dtype=np.float32) if scores is None else scores
    groups = group_rows(tokenize(llm.tokenizer, prompts), prefixes)
    llm.model.eval()

    def compute(part: list[Group]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        with torch.inference_mode():
            batch = collate(part).to(llm.device, llm.causal_lm.dtype)
            return batch.rows, batch_scores(llm, batch, score).cpu().numpy()

    with workers(llm.model, llm.device) as pool:
        packs = pack(groups, token_budget, math.lcm(pool.pieces, peers.size))
        # A pack that a cut run had scored in part is scored as a whole again: how rows lie together
        # decides how they round.
        packs = [part for part in packs if np.isnan(result[_rows(part)]).any()]
        todo = sorted(row for part in packs for row in _rows(part))
        result[todo] = np.nan
        packs, spare = peers.share(packs)
        # Long groups have many rows for their tokens: mixed, rows tell the time left.
        np.random.default_rng(0).shuffle(packs)
        counted = 0
        for rows, values in pool.map(compute, packs):
            result[rows] = values
            if progress:  # the others get on as fast: packs are equally long
                progress.advance(len(rows) * peers.size)
                counted += len(rows) * peers.size
            if after_batch:
                after_batch(result)
        for part in spare:
            compute(part)
    if peers.size > 1:
        # What an earlier run scored is known to all; the rest each process has a part of.
        mine = torch.as_tensor(result[todo], device=llm.device).nan_to_num(0.0)
        result[todo] = peers.sum(mine).cpu().numpy()
        if progress:
            progress.advance(len(todo) - counted)
    return result


def _rows(part: Sequence[Group]) -> list[int]:
    return [row for group in part for row in group.rows]
