"""The one way to train an LLM's adapter: resumable, with the same result as if never cut."""

import io
import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stages.io.errors import InputError
from stages.io.scratch import keep, kept
from stages.io.seeds import derived_seed, generator
from stages.llm.adapters import trainable_parameters
from stages.llm.live import Watch, nobody
from stages.llm.load import Llm
from stages.llm.packing import Group, collate, group_rows, pack_evenly, shuffled_batches
from stages.llm.params import Score, Tuning
from stages.llm.processes import ALONE, Processes
from stages.llm.score import batch_scores, score_prompts
from stages.llm.workers import Workers, workers
from stages.measures.metrics.auc import auc
from stages.prompts.rows import TRAINING_GROUP_ROWS
from stages.prompts.tokenizer import tokenize

CHECKPOINT_SECONDS = 30.0  # between two checkpoints: what a kill can lose, at most
LOSS_POINTS = 40  # of the drawn training loss
_CHECKPOINT = "checkpoint.pt"
_RECENT = 512  # rows behind the running AUC


@dataclass(frozen=True)
class LabelledPrompts:
    """Prompts with their labels.

    Attributes:
        prompts: (n,) whole prompts.
        prefixes: (n,) what rows share; None to leave every row alone.
        labels: (n,) 0 or 1, for AUC.
        targets: (n,) float32 from 0 to 1, for the loss.
    """

    prompts: Sequence[str]
    prefixes: Sequence[str] | None
    labels: NDArray
    targets: NDArray

    @classmethod
    def hard(
        cls, prompts: Sequence[str], prefixes: Sequence[str] | None, labels: NDArray
    ) -> "LabelledPrompts":
        """Returns prompts whose labels are the targets of the loss, too."""
        return cls(prompts, prefixes, labels, np.asarray(labels, dtype=np.float32))


@dataclass(frozen=True)
class Tuned:
    """What training gives.

    Attributes:
        weights: the best checkpoint's adapter, float32, by parameter name.
        curve: training loss and validation AUC by rows seen, one entry per evaluation.
        losses: training loss by rows seen, at most `LOSS_POINTS` means over even shares of steps.
        best: the entry of `curve` whose weights these are.
        seconds: of training, those of cut runs included up to their last checkpoint.
    """

    weights: dict[str, Tensor]
    curve: list[dict[str, float]]
    losses: list[dict[str, float]]
    best: dict[str, float]
    seconds: float


@dataclass
class _State:
    """How far training is: what a cut run needs beside the weights."""

    step: int = 0
    rows: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)  # rows seen, the step's loss
    recent: list[tuple[float, float]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, loss: float, scores: Sequence[float], labels: Sequence[float]) -> None:
        """Takes in one optimizer step."""
        self.step += 1
        self.rows += len(scores)
        self.losses.append((self.rows, loss))
        self.recent = [*self.recent, *zip(scores, labels, strict=True)][-_RECENT:]

    def running(self) -> dict[str, float]:
        """Returns the running loss and AUC; no AUC where recent rows have one class."""
        scores, labels = np.array(self.recent).T
        value = auc(labels, scores)
        found = {"loss": float(np.mean([loss for _, loss in self.losses[-16:]]))}
        return found if value is None else {**found, "AUC": value}

    def note(self) -> str:
        """Returns the same for the progress line."""
        return "  ".join(f"{name} {value:.3f}" for name, value in self.running().items())


class AdapterOptimizer:
    """AdamW on a float32 copy of the adapter's weights, all of them in one vector.

    Where the LLM computes in bfloat16, small steps would be lost in its own weights. One vector,
    since hundreds of small tensors take longer (`python -m benchmarks.optimizer`).

    Attributes:
        masters: the weights by name, float32 views of the vector.
    """

    def __init__(self, llm: Llm, learning_rate: float, weight_decay: float) -> None:
        """Starts from the adapter's present weights; `learning_rate` is the peak."""
        self._parameters = trainable_parameters(llm.model)
        self._peak = learning_rate
        parts = [p.detach().float().reshape(-1) for p in self._parameters.values()]
        self._vector = torch.cat(parts)
        self.masters = dict(
            zip(self._parameters, views(self._vector, self._parameters.values()), strict=True)
        )
        self._adamw = torch.optim.AdamW(
            [self._vector], lr=learning_rate, weight_decay=weight_decay, fused=True
        )

    def step(self, gradient: Tensor, share_of_peak: float) -> None:
        """Applies a float32 gradient, all parameters' one after the other, clipped to norm 1."""
        for group in self._adamw.param_groups:
            group["lr"] = self._peak * share_of_peak
        self._vector.grad = gradient
        torch.nn.utils.clip_grad_norm_([self._vector], 1.0)
        self._adamw.step()
        self._publish()

    def copy(self) -> dict[str, Tensor]:
        """Returns the float32 weights of this moment."""
        return {name: master.clone() for name, master in self.masters.items()}

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the next step depends on."""
        return {"weights": self._vector, "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._vector.copy_(state["weights"])
        self._adamw.load_state_dict(state["adamw"])
        self._publish()

    def _publish(self) -> None:
        with torch.no_grad():
            torch._foreach_copy_(list(self._parameters.values()), list(self.masters.values()))


def views(vector: Tensor, shapes: Iterable[Tensor]) -> list[Tensor]:
    """Returns the parts of a vector, one after the other, in the shapes of some tensors."""
    shapes = list(shapes)
    parts = vector.split([tensor.numel() for tensor in shapes])
    return [part.view_as(tensor) for part, tensor in zip(parts, shapes, strict=True)]


def tune(
    llm: Llm,
    train: Sequence[LabelledPrompts],
    valid: LabelledPrompts,
    *,
    settings: Tuning,
    score: Score,
    learning_rate: float,
    seed: int,
    scratch: Path,
    title: str,
    peers: Processes = ALONE,
    watch: Watch = nobody,
) -> Tuned:
    """Trains the adapter on BCE-with-logits of the score (BinLLM, Equation 6).

    The loss holds scores against the rows' targets, which may be soft; AUC goes by their labels.
    Learning rate: linear warm-up, then cosine to a floor. Of `settings.evaluations` evenly spaced
    checkpoints the best by validation AUC is returned.

    Args:
        llm: the LLM with a trainable adapter.
        train: rows to train on, in phases, one after the other under one schedule.
        valid: rows to choose the checkpoint on.
        settings: passes over each phase, rows of a step (whole groups of equal prefix: at least so
            many), AdamW's weight decay and warm-up, how often validation AUC is measured (the last
            time at the end), and tokens computed at once, which bounds the memory and changes no
            result but by rounding. How many threads there are changes nothing at all, but with
            dropout, where all of them compute each piece together.
        score: the number that is trained and later ranks.
        learning_rate: peak of AdamW's.
        seed: of order and dropout.
        scratch: folder of the checkpoint; go on from what lies there.
        title: what the progress line says.
        peers: the processes that share the work; all call this with equal arguments.
        watch: is told the running loss and AUC after each step, and each validation AUC.

    Raises:
        InputError: labels of one class only, where AUC has no meaning, or a loss that is no number.
    """
    for part in (*train, valid):
        if len(set(np.asarray(part.labels).tolist())) < 2:
            which = "valid" if part is valid else "train"
            raise InputError(f"{title}: the {which} rows have one class only; take more rows")
    labels = np.concatenate([phase.labels for phase in train]).astype(np.float32)
    targets = np.concatenate([phase.targets for phase in train]).astype(np.float32)
    steps = _all_steps(llm, train, settings.epochs, settings.batch_rows, seed)
    count, micro_tokens = settings.evaluations, settings.micro_tokens
    evaluate_after = {round(len(steps) * (i + 1) / count) for i in range(count)}
    optimizer = AdapterOptimizer(llm, learning_rate, settings.weight_decay)
    torch.manual_seed(derived_seed(seed, "dropout"))
    state, best = _resume(scratch, optimizer)

    progress = peers.progress(title, len(labels) * settings.epochs, state.rows)
    last_checkpoint = time.monotonic()
    start = last_checkpoint - state.seconds
    for number in range(state.step, len(steps)):
        llm.model.train()
        with workers(llm.model, llm.device) as pool:
            loss, scores, gradient = _gradient(
                llm,
                steps[number],
                targets,
                score=score,
                micro_tokens=micro_tokens,
                pool=pool,
                peers=peers,
            )
            if not math.isfinite(loss):
                raise InputError(f"{title}: loss {loss} at step {number}; lower the learning rate")
            optimizer.step(gradient, _schedule(number, len(steps), settings.warmup, settings.floor))
        rows = [row for group in steps[number] for row in group.rows]
        state.count(loss, scores, labels[rows].tolist())
        progress.advance(len(rows), state.note())
        watch(state.rows, state.running())
        evaluated = state.step in evaluate_after
        if evaluated:
            entry = _evaluate(llm, valid, score, micro_tokens, peers, state)
            if not best or entry["auc"] > max(e["auc"] for e in state.curve):
                best = optimizer.copy()
            state.curve.append(entry)
            watch(state.rows, {"validation AUC": entry["auc"]})
        state.seconds = time.monotonic() - start
        due = evaluated or time.monotonic() - last_checkpoint >= CHECKPOINT_SECONDS
        if due and peers.rank == 0:
            _checkpoint(scratch, state, optimizer, best)
            last_checkpoint = time.monotonic()
    chosen = max(state.curve, key=lambda entry: entry["auc"])
    progress.close(f"best validation AUC {chosen['auc']:.4f} after {chosen['rows']:,.0f} rows")
    return Tuned(best, state.curve, _thinned(state.losses), chosen, state.seconds)


def _thinned(losses: Sequence[tuple[int, float]]) -> list[dict[str, float]]:
    parts = np.array_split(np.array(losses), min(LOSS_POINTS, len(losses)))
    return [{"rows": int(part[-1, 0]), "loss": float(part[:, 1].mean())} for part in parts]


def _all_steps(
    llm: Llm, train: Sequence[LabelledPrompts], epochs: int, batch_rows: int, seed: int
) -> list[list[Group]]:
    """Returns the batches of all phases and epochs; rows are numbered through the phases."""
    steps: list[list[Group]] = []
    first = 0
    for number, phase in enumerate(train):
        token_ids = tokenize(llm.tokenizer, phase.prompts)
        groups = [
            replace(group, rows=[first + row for row in group.rows])
            for group in group_rows(token_ids, phase.prefixes, most_rows=TRAINING_GROUP_ROWS)
        ]
        for epoch in range(epochs):
            rng = generator(seed, f"phase {number} epoch {epoch}")
            steps += shuffled_batches(groups, batch_rows, rng)
        first += len(phase.prompts)
    return steps


def _gradient(
    llm: Llm,
    batch: list[Group],
    targets: NDArray,
    *,
    score: Score,
    micro_tokens: int,
    pool: Workers,
    peers: Processes,
) -> tuple[float, list[float], Tensor]:
    """Returns the batch's loss (mean over rows), its rows' scores and the gradient, float32.

    The gradient is one vector, all trainable parameters' one after the other.

    Computed in pieces of bounded size, by workers and processes side by side.
    """
    place = {row: i for i, row in enumerate(row for group in batch for row in group.rows)}
    parameters = list(trainable_parameters(llm.model).values())
    size = sum(parameter.numel() for parameter in parameters)

    def compute(piece: list[Group]) -> tuple[float, NDArray, Tensor, Tensor]:
        tensors = collate(piece).to(llm.device, llm.causal_lm.dtype)
        logits = batch_scores(llm, tensors, score)
        target = torch.as_tensor(targets[tensors.rows], device=llm.device)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(place)
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        vector = torch.empty(size, device=llm.device)
        torch._foreach_copy_(views(vector, parameters), gradients)
        return loss.item(), tensors.rows, logits.detach(), vector

    # Loss, scores, gradient: one vector, so that processes meet once.
    total = torch.zeros(1 + len(place) + size, device=llm.device)
    loss, scores, gradient = total.split([1, len(place), size])
    mine, spare = peers.share(pack_evenly(batch, micro_tokens, math.lcm(pool.pieces, peers.size)))
    for piece_loss, rows, logits, piece_gradient in pool.map(compute, mine):
        loss += piece_loss
        scores[[place[row] for row in rows.tolist()]] = logits
        gradient += piece_gradient
    for piece in spare:
        compute(piece)
    peers.sum(total)
    return loss.item(), scores.tolist(), gradient


def _schedule(step: int, steps: int, warmup: float, floor: float) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine to `floor`."""
    warm = max(1, round(steps * warmup))
    if step < warm:
        return (step + 1) / warm
    cosine = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    return floor + (1 - floor) * cosine


def _evaluate(
    llm: Llm,
    valid: LabelledPrompts,
    score: Score,
    token_budget: int,
    peers: Processes,
    state: _State,
) -> dict[str, float]:
    scores = score_prompts(
        llm,
        valid.prompts,
        prefixes=valid.prefixes,
        score=score,
        token_budget=token_budget,
        peers=peers,
    )
    value = auc(np.asarray(valid.labels), scores)
    assert value is not None  # both classes were checked at the start
    before = state.curve[-1]["rows"] if state.curve else 0
    losses = [loss for rows, loss in state.losses if rows > before]
    return {"rows": state.rows, "loss": float(np.mean(losses)), "auc": value}


def _checkpoint(
    scratch: Path, state: _State, optimizer: AdapterOptimizer, best: dict[str, Tensor]
) -> None:
    content = io.BytesIO()
    torch.save(
        {
            "state": json.dumps(asdict(state)),
            "optimizer": optimizer.state_dict(),
            "best": best,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
        content,
    )
    keep(content.getbuffer(), scratch / _CHECKPOINT)


def _resume(scratch: Path, optimizer: AdapterOptimizer) -> tuple[_State, dict[str, Tensor]]:
    """Takes up the checkpoint if there is one; returns the state and the best weights so far."""
    content = kept(scratch / _CHECKPOINT)
    if content is None:
        return _State(), {}
    saved = torch.load(io.BytesIO(content), weights_only=True)
    optimizer.load_state_dict(saved["optimizer"])
    torch.set_rng_state(saved["rng"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(saved["cuda_rng"])
    return _State(**json.loads(saved["state"])), saved["best"]
