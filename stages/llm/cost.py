"""Tokens and seconds of the same rows, written in several ways: section `cost`."""

import time
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from stages.io.progress import Progress
from stages.llm.load import Llm
from stages.llm.packing import group_rows
from stages.llm.score import score_prompts
from stages.prompts.text import BuiltPrompts
from stages.prompts.tokenizer import tokenize


def measure(
    llm: Llm,
    written: Mapping[str, BuiltPrompts],
    users: Sequence[int],
    *,
    repeats: int,
    token_budget: int,
) -> dict[str, dict[str, float]]:
    """Scores the rows in every way in turn, so that a change of the machine's speed meets all.

    Args:
        llm: the LLM; what it says does not matter.
        written: prompts of the same rows by way of writing.
        users: (n,) uid of each row.
        repeats: scorings of each way; the median counts. One more, unmeasured, comes first.
        token_budget: see `score_prompts`.

    Returns:
        By way: `tokens_per_prompt`; `tokens_computed`, per row, with shared prefixes counted once;
        `seconds` and `rows_per_second`.
    """
    prompts, prefixes = {}, {}
    for way, built in written.items():
        prompts[way] = [prompt.prefix + prompt.suffix for prompt in built.prompts]
        prefixes[way] = [f"{u} {p.prefix}" for u, p in zip(users, built.prompts, strict=True)]
    seconds: dict[str, list[float]] = {way: [] for way in written}
    progress = Progress("cost", len(users) * len(written) * (repeats + 1))
    for _ in range(repeats + 1):
        for way in written:
            start = time.perf_counter()
            score_prompts(llm, prompts[way], prefixes=prefixes[way], token_budget=token_budget)
            seconds[way].append(time.perf_counter() - start)
            progress.advance(len(users))
    progress.close()
    result = {}
    for way, built in written.items():
        groups = group_rows(tokenize(llm.tokenizer, prompts[way]), prefixes[way])
        spent = median(seconds[way][1:])
        result[way] = {
            "tokens_per_prompt": float(np.mean(built.n_tokens)),
            "tokens_computed": sum(group.length for group in groups) / len(users),
            "seconds": spent,
            "rows_per_second": len(users) / spent,
        }
    return result
