"""The one way to get a score for a prompt.

Score (BinLLM §3.2.2): the logit of the single token " Yes" after the prompt, or that logit less the
one of " No". Only the scored positions meet the head, and only its two rows.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.common.progress import Progress
from stages.llm.batching import Batch, collate, group_rows, pack_by_length
from stages.llm.model import Llm, answer_logits
from stages.llm.soft_tokens import model_inputs, tokenize

Score = Literal["yes_logit", "yes_minus_no"]


def batch_scores(llm: Llm, batch: Batch, score: Score) -> Tensor:
    """Scores a batch, with gradient if it is on.

    Returns:
        (rows,) float32 scores, in the order of `batch.rows`.
    """
    hidden = llm.causal_lm.get_decoder()(
        **model_inputs(llm, batch.input_ids),
        attention_mask=batch.mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state[batch.sequence, batch.last]
    yes, no = answer_logits(llm, hidden).unbind(1)
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
) -> NDArray[np.float32]:
    """Scores prompts; each score is what the prompt alone would get.

    Args:
        llm: the model.
        prompts: whole prompts.
        prefixes: each prompt's prefix, to compute shared ones once; None to compute each row alone.
        score: what is the score.
        token_budget: padded tokens of a batch; bounds the memory.
        progress: advanced by rows.
        scores: (n,) what an earlier, cut run got so far; rows that are NaN are scored.
        after_batch: called with all scores so far after each batch.

    Returns:
        (n,) float32 scores, in the order of `prompts`.
    """
    result = np.full(len(prompts), np.nan, dtype=np.float32) if scores is None else scores
    groups = group_rows(tokenize(llm.tokenizer, prompts), prefixes)
    groups = [group for group in groups if np.isnan(result[group.rows]).any()]
    llm.model.eval()
    with torch.inference_mode():
        for pack in pack_by_length(groups, token_budget):
            batch = collate(pack).to(llm.device)
            result[batch.rows] = batch_scores(llm, batch, score).cpu().numpy()
            if progress:
                progress.advance(len(batch.rows))
            if after_batch:
                after_batch(result)
    return result
