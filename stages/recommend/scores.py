"""Scores of pairs of user and item, the prompt built as the adapter met it in training."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from stages.io.progress import Progress
from stages.llm.load import Llm
from stages.llm.params import Score
from stages.llm.partial_scores import PartialScores
from stages.llm.score import score_prompts
from stages.prompts.content import Content
from stages.prompts.text import Prompt, build_prompts
from stages.recommend.candidates import Pairs

# Whole users are built and scored together, at least so many pairs: bounds the memory of long lists
_BLOCK_PAIRS = 8192


def prompts_of(
    pairs: Pairs,
    histories: Mapping[int, list[int]],
    content: Content,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
) -> list[Prompt]:
    """Builds each pair's prompt from the user's history.

    Args:
        pairs: (n, 2) uid and iid.
        histories: liked iids by uid, oldest first.
        content: titles and codes.
        tokenizer: the LLM's.
        max_tokens: longest prompt; longer ones lose their oldest titles.
    """
    uids, iids = pairs.T.tolist()
    rows = pa.table(
        {
            "row": range(len(pairs)),
            "uid": uids,
            "iid": iids,
            "history": pa.array([histories[uid] for uid in uids], pa.list_(pa.int32())),
        }
    )
    as_of_now = replace(content, row_codes={})  # these rows are none of the interactions
    return build_prompts(
        as_of_now.rows(rows), tokenizer, max_tokens, wording=as_of_now.wording
    ).prompts


def score_pairs(
    llm: Llm,
    pairs: Pairs,
    histories: Mapping[int, list[int]],
    content: Content,
    *,
    max_tokens: int,
    score: Score,
    token_budget: int,
    scratch: Path | None = None,
) -> NDArray[np.float32]:
    """Scores pairs; what all items of a user share is computed once, not once per item.

    Args:
        llm: the LLM with its adapter.
        pairs: (n, 2) uid and iid, pairs of one user together.
        histories: liked iids by uid, oldest first.
        content: titles and codes.
        max_tokens: longest prompt.
        score: the number to rank by.
        token_budget: see `stages.llm.score.score_prompts`.
        scratch: where a cut run finds what it had; None keeps nothing and shows no progress.

    Returns:
        (n,) float32 scores.
    """
    partial = PartialScores(scratch, len(pairs)) if scratch else None
    scores = partial.scores if partial else np.full(len(pairs), np.nan, dtype=np.float32)
    progress = Progress("rank", len(pairs), "items", done=partial.done) if partial else None
    for block in user_blocks(pairs[:, 0], _BLOCK_PAIRS):
        if not np.isnan(scores[block]).any():
            continue
        prompts = prompts_of(pairs[block], histories, content, llm.tokenizer, max_tokens)
        score_prompts(
            llm,
            [prompt.prefix + prompt.suffix for prompt in prompts],
            prefixes=[prompt.prefix for prompt in prompts],
            score=score,
            token_budget=token_budget,
            progress=progress,
            scores=scores[block],  # a view: filled in place
            after_batch=(lambda _: partial.save(scores)) if partial else None,
        )
    if progress:
        progress.close()
    return scores


def user_blocks(uids: NDArray, least: int) -> Iterator[slice]:
    """Yields stretches of whole users, each but the last at least `least` rows long."""
    start = 0
    for end in [*(np.flatnonzero(np.diff(uids)) + 1).tolist(), len(uids)]:
        if end - start >= least or end == len(uids):
            yield slice(start, end)
            start = end
