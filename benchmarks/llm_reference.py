"""The reference's way of scoring and training, written plainly, for the benchmarks to hold against.

Rows in random order, batches of 64, padded to the longest with an attention mask, one whole prompt
per row, the full-vocabulary head at every position, the adapter as PEFT attaches it, weights in
float32, with or without autocast to bfloat16. Training likewise, in batches of 8 rows: the head's
logits and their gradient alone take 8 x 200 x 49,152 x 4 B = 0.3 GB each for SmolLM2-135M, and a
batch of 64 would not fit 24 GB.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stages.llm.adapters import trainable_parameters
from stages.llm.attention import PACKED_ATTENTION
from stages.llm.load import Llm
from stages.llm.params import Score
from stages.prompts.tokenizer import tokenize

SCORING_BATCH = 64
TRAINING_BATCH = 8


def score(
    llm: Llm, prompts: Sequence[str], *, kind: Score, autocast: bool, seed: int
) -> NDArray[np.float32]:
    """Scores prompts.

    Args:
        llm: float32 model with adapter.
        prompts: whole prompts.
        kind: what is the score.
        autocast: whether products are computed in bfloat16.
        seed: of the order.

    Returns:
        (n,) scores, in the order of `prompts`.
    """
    scores = np.empty(len(prompts), dtype=np.float32)
    token_ids = tokenize(llm.tokenizer, prompts)
    llm.model.eval()
    with _as_published(llm), torch.no_grad():
        for rows in random_batches(len(prompts), SCORING_BATCH, seed):
            scores[rows] = _logits(llm, [token_ids[r] for r in rows], kind, autocast).numpy()
    return scores


def train(
    llm: Llm,
    prompts: Sequence[str],
    labels: NDArray,
    *,
    kind: Score,
    autocast: bool,
    batch_rows: int,
    learning_rate: float,
    seed: int,
) -> float:
    """Trains the adapter for one epoch on BCE-with-logits of the score; AdamW.

    Args:
        llm: float32 model with a trainable adapter.
        prompts: whole prompts.
        labels: (n,) 0 or 1.
        kind: what is the score.
        autocast: whether products are computed in bfloat16.
        batch_rows: rows of an optimizer step, computed `TRAINING_BATCH` at a time.
        learning_rate: AdamW's, constant.
        seed: of the order.

    Returns:
        The mean loss over the rows.
    """
    token_ids = tokenize(llm.tokenizer, prompts)
    parameters = list(trainable_parameters(llm.model).values())
    adamw = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    total = 0.0
    llm.model.train()
    with _as_published(llm):
        for step in random_batches(len(prompts), batch_rows, seed):
            for start in range(0, len(step), TRAINING_BATCH):
                rows = step[start : start + TRAINING_BATCH]
                logits = _logits(llm, [token_ids[r] for r in rows], kind, autocast)
                target = torch.as_tensor(labels[rows], dtype=torch.float32)
                loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
                (loss / len(step)).backward()
                total += loss.item()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            adamw.step()
            adamw.zero_grad()
    return total / len(prompts)


def random_batches(n: int, size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yields the rows 0..n-1 in random order, `size` at a time."""
    order = np.random.default_rng(seed).permutation(n)
    for start in range(0, n, size):
        yield order[start : start + size]


def padded_tokens(lengths: NDArray, size: int, seed: int) -> int:
    """Returns how many tokens are computed, padding included."""
    batches = random_batches(len(lengths), size, seed)
    return sum(int(lengths[rows].max()) * len(rows) for rows in batches)


@contextmanager
def _as_published(llm: Llm) -> Iterator[None]:
    """Attention and LoRA layers as transformers and PEFT compute them, in the place of ours."""
    ours = {m: vars(m).pop("forward") for m in llm.model.modules() if "forward" in vars(m)}
    llm.causal_lm.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        llm.causal_lm.set_attn_implementation(PACKED_ATTENTION)
        for layer, forward in ours.items():
            layer.forward = forward


def _logits(llm: Llm, token_ids: list[list[int]], kind: Score, autocast: bool) -> Tensor:
    """One batch: left-padded, masked, all logits computed, those of the last position taken."""
    padded = llm.tokenizer.pad(
        {"input_ids": token_ids}, padding=True, padding_side="left", return_tensors="pt"
    )
    mask = padded["attention_mask"]
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with _autocast(autocast):
        logits = llm.model(
            input_ids=padded["input_ids"], attention_mask=mask, position_ids=positions
        ).logits
    yes, no = logits[:, -1, llm.answer_ids].float().unbind(1)
    return yes if kind == "yes_logit" else yes - no


def _autocast(enabled: bool) -> AbstractContextManager:
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)
