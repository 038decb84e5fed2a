"""The one way to train an LLM's adapter: resumable, with the same result as if never cut."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stages.common.errors import InputError
from stages.common.progress import Progress
from stages.common.ranking import auc
from stages.common.seeds import derived_seed, generator
from stages.common.tables import replacing
from stages.llm.batching import (
    Group,
    collate,
    group_rows,
    pack_by_length,
    shuffled_batches,
    tokenize,
)
from stages.llm.model import Llm, trainable_parameters
from stages.llm.scoring import Score, batch_scores, score_prompts

CHECKPOINT_SECONDS = 30.0  # between two checkpoints: what a kill can lose, at most
_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class LabelledPrompts:
    """Prompts with their labels: `prompts` and `prefixes` (n,), `labels` (n,) 0 or 1."""

    prompts: Sequence[str]
    prefixes: Sequence[str] | None
    labels: NDArray


@dataclass(frozen=True)
class Tuned:
    """What training gives.

    Attributes:
        weights: the best checkpoint's adapter, float32, by parameter name.
        curve: training loss and validation AUC by rows seen, one entry per evaluation.
        best: the entry of `curve` whose weights these are.
    """

    weights: dict[str, Tensor]
    curve: list[dict[str, float]]
    best: dict[str, float]


@dataclass
class _State:
    """All that a cut run needs to go on: kept in step with the optimizer's own state."""

    step: int = 0
    rows: int = 0
    losses: list[float] = field(default_factory=list)
    recent: list[tuple[float, int]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)


def tune(
    llm: Llm,
    train: LabelledPrompts,
    valid: LabelledPrompts,
    *,
    score: Score,
    epochs: int,
    batch_rows: int,
    micro_tokens: int,
    learning_rate: float,
    weight_decay: float,
    warmup: float,
    evaluations: int,
    seed: int,
    scratch: Path,
    title: str,
) -> Tuned:
    """Trains the adapter on BCE-with-logits of the score (BinLLM Eq. 6).

    AdamW keeps float32 copies of the adapter's weights, so that small steps are not lost where the
    LLM computes in bfloat16. Learning rate: linear warm-up, then cosine to 0. The best of
    `evaluations` evenly spaced checkpoints by validation AUC is returned.

    Args:
        llm: the LLM with a trainable adapter.
        train: rows to train on.
        valid: rows to choose the checkpoint on.
        score: the number that is trained and later ranks.
        epochs: passes over `train`.
        batch_rows: rows of an optimizer step (whole groups of equal prefix: at least so many).
        micro_tokens: padded tokens computed at once; bounds the memory, changes no result but by
            rounding.
        learning_rate: peak of AdamW's.
        weight_decay: of AdamW.
        warmup: share of the steps that warm up.
        evaluations: how often validation AUC is measured; the last time at the end.
        seed: of order and dropout.
        scratch: folder of the checkpoint; go on from what lies there.
        title: what the progress line says.

    Raises:
        InputError: labels of one class only, where AUC has no meaning, or a loss that is no number.
    """
    for name, part in (("train", train), ("valid", valid)):
        if len(set(np.asarray(part.labels).tolist())) < 2:
            raise InputError(f"{title}: the {name} rows have one class only; take more rows")
    parameters = trainable_parameters(llm.model)
    masters = {name: p.detach().float().clone() for name, p in parameters.items()}
    optimizer = torch.optim.AdamW(
        masters.values(), lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.999)
    )
    groups = group_rows(
        tokenize(llm.tokenizer, train.prompts), train.prefixes, most_rows=batch_rows
    )
    steps = [batch for epoch in range(epochs) for batch in _epoch(groups, batch_rows, seed, epoch)]
    evaluate_after = {round(len(steps) * (i + 1) / evaluations) for i in range(evaluations)}
    labels = torch.tensor(np.asarray(train.labels), dtype=torch.float32, device=llm.device)

    state = _State()
    best_weights: dict[str, Tensor] = {}
    torch.manual_seed(derived_seed(seed, "dropout"))
    saved = _load(scratch)
    if saved is not None:
        state = _State(**json.loads(saved["state"]))
        for name, master in masters.items():
            master.copy_(saved["masters"][name])
        optimizer.load_state_dict(saved["optimizer"])
        best_weights = saved["best_weights"]
        torch.set_rng_state(saved["rng"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(saved["cuda_rng"])
    _copy(masters, parameters)

    progress = Progress(title, len(train.labels) * epochs, done=state.rows)
    last_checkpoint = time.monotonic()
    for number, batch in enumerate(steps):
        if number < state.step:
            continue
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _schedule(number, len(steps), warmup)
        llm.model.train()
        loss, scores, rows = _gradients(llm, batch, labels, score, micro_tokens)
        if not math.isfinite(loss):
            raise InputError(
                f"{title}: loss {loss} at step {number}; lower train_lora.learning_rate"
            )
        for name, parameter in parameters.items():
            masters[name].grad = parameter.grad.float() if parameter.grad is not None else None
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(masters.values(), 1.0)
        optimizer.step()
        _copy(masters, parameters)

        state.step, state.rows = number + 1, state.rows + len(rows)
        state.losses.append(loss)
        seen = zip(scores, np.asarray(train.labels)[rows].tolist(), strict=True)
        state.recent = [*state.recent, *((float(s), int(y)) for s, y in seen)][-512:]
        progress.advance(len(rows), _note(state))
        if state.step in evaluate_after:
            entry = _evaluate(llm, valid, score, state)
            if not best_weights or entry["auc"] > max(e["auc"] for e in state.curve):
                best_weights = {name: master.clone() for name, master in masters.items()}
            state.curve.append(entry)
            state.losses = []
        due = time.monotonic() - last_checkpoint >= CHECKPOINT_SECONDS
        if due or state.step in evaluate_after:
            _save(scratch, state, masters, optimizer, best_weights)
            last_checkpoint = time.monotonic()
    best = max(state.curve, key=lambda entry: entry["auc"])
    progress.close(f"best validation AUC {best['auc']:.4f} after {best['rows']:,.0f} rows")
    return Tuned(best_weights, state.curve, best)


def _epoch(groups: list[Group], batch_rows: int, seed: int, epoch: int) -> list[list[Group]]:
    return list(shuffled_batches(groups, batch_rows, generator(seed, f"epoch {epoch}")))


def _gradients(
    llm: Llm, batch: list[Group], labels: Tensor, score: Score, micro_tokens: int
) -> tuple[float, list[float], list[int]]:
    """Adds up the batch's gradients in pieces of bounded size; the loss is the mean over rows."""
    n_rows = sum(len(group.rows) for group in batch)
    total, scores, rows = 0.0, [], []
    for piece in pack_by_length(batch, micro_tokens):
        tensors = collate(piece).to(llm.device)
        logits = batch_scores(llm, tensors, score)
        target = labels[torch.as_tensor(tensors.rows, device=llm.device)]
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / n_rows
        loss.backward()
        total += loss.item()
        scores += logits.detach().tolist()
        rows += tensors.rows.tolist()
    return total, scores, rows


def _schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine to 0."""
    warm = max(1, round(steps * warmup))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _evaluate(llm: Llm, valid: LabelledPrompts, score: Score, state: _State) -> dict[str, float]:
    scores = score_prompts(llm, valid.prompts, prefixes=valid.prefixes, score=score)
    value = auc(np.asarray(valid.labels), scores)
    assert value is not None  # both classes were checked at the start
    return {"rows": state.rows, "loss": float(np.mean(state.losses)), "auc": value}


def _note(state: _State) -> str:
    scores, labels = np.array(state.recent).T
    running = auc(labels, scores)
    note = f"loss {np.mean(state.losses[-16:]):.3f}"
    return note + (f"  AUC {running:.3f}" if running is not None else "")


def _copy(masters: dict[str, Tensor], parameters: dict[str, torch.nn.Parameter]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(masters[name])


def _save(
    scratch: Path,
    state: _State,
    masters: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    best_weights: dict[str, Tensor],
) -> None:
    with replacing(scratch / _CHECKPOINT) as partial:
        torch.save(
            {
                "state": json.dumps(state.__dict__),
                "masters": masters,
                "optimizer": optimizer.state_dict(),
                "best_weights": best_weights,
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
            partial,
        )


def _load(scratch: Path) -> dict | None:
    path = scratch / _CHECKPOINT
    if not path.is_file():
        return None
    return torch.load(path, weights_only=True)
