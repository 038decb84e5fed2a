"""The one loop that fits every collaborative model: pointwise, on labelled rows.

Adam on binary cross-entropy, stopped early by validation AUC. A model says how it scores rows for
training (`forward`) and for use (`score`); the loop knows nothing else about it, so that a
factorisation, a graph, a sequence or an attention model all go through here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from stages.collab.sections import Loop
from stages.io.errors import InputError
from stages.io.progress import Progress
from stages.measures.metrics.auc import auc

SCORING_BATCH = 65_536


@dataclass(frozen=True)
class Rows:
    """Labelled interactions, one entry per row.

    Attributes:
        users: (n,) int64 user ids, 1..n_users.
        items: (n,) int64 item ids, 1..n_items.
        labels: (n,) float32, 0 or 1.
    """

    users: Tensor
    items: Tensor
    labels: Tensor

    @classmethod
    def of(cls, users: NDArray, items: NDArray, labels: NDArray) -> "Rows":
        """Returns rows from arrays of any integer type."""
        return cls(
            torch.from_numpy(users.astype(np.int64)),
            torch.from_numpy(items.astype(np.int64)),
            torch.from_numpy(labels.astype(np.float32)),
        )

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.labels)

    def take(self, rows: Tensor | slice) -> "Rows":
        """Returns the rows at these positions."""
        return Rows(self.users[rows], self.items[rows], self.labels[rows])


class CollaborativeModel(nn.Module, ABC):
    """A model that scores (user, item) rows."""

    @abstractmethod
    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) logits to train on."""

    @abstractmethod
    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) scores as they are used after training."""

    def start_epoch(self, epoch: int) -> None:
        """Is told, before each epoch, how many epochs are done: 0, 1, …"""


@dataclass(frozen=True)
class Fit:
    """How a fit went.

    Attributes:
        epochs: epochs run.
        best_epoch: the epoch, counted from 1, whose state was kept; 0 is the initial one.
        valid_auc: validation AUC of the kept state.
    """

    epochs: int
    best_epoch: int
    valid_auc: float


def fit(
    model: CollaborativeModel,
    train: Rows,
    valid: Rows,
    settings: Loop,
    *,
    rng: torch.Generator,
    title: str = "fit",
) -> Fit:
    """Fits `model` in place and leaves it in its best state by validation AUC.

    Judged is `model.score`, what is used afterwards, and not the logits trained on: for hashed
    models these differ as long as part of the elements are not yet binary.

    Args:
        model: the model; its parameters are already initialised.
        train: rows to learn from.
        valid: rows to stop by; both labels must occur.
        settings: Adam's step size `lr`; `weight_decay`, an L2 penalty added to the gradient of
            every parameter; rows per step; most passes over `train`; and the patience, epochs
            without a better validation AUC after which to stop.
        rng: source of each epoch's order of rows.
        title: what the progress line calls this.

    Raises:
        InputError: there is nothing to learn from or to stop by, or the loss is not finite.
    """
    _check(train, valid, title)
    lr, epochs = settings.lr, settings.epochs
    adam = torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=settings.weight_decay, fused=True
    )
    labels = valid.labels.numpy()
    progress = Progress(title, epochs, "epochs")
    # What a model knows before the first epoch counts too: it may have been taught elsewhere.
    best, best_epoch, best_state = auc(labels, score(model, valid)) or 0.0, 0, _copy(model)
    epoch = 0
    for epoch in range(1, epochs + 1):
        model.start_epoch(epoch - 1)
        loss = train_epoch(model, train, adam, batch_size=settings.batch_size, rng=rng)
        if not np.isfinite(loss):
            raise InputError(f"{title}: loss is {loss} in epoch {epoch}; try a smaller lr ({lr})")
        value = auc(labels, score(model, valid)) or 0.0
        if value > best:
            best, best_epoch, best_state = value, epoch, _copy(model)
        progress.advance(1, f"loss {loss:.4f}  valid AUC {value:.4f}  best {best:.4f}")
        if epoch - best_epoch >= settings.patience:
            break
    progress.close(f"best valid AUC {best:.4f} in epoch {best_epoch}")
    model.load_state_dict(best_state)
    return Fit(epochs=epoch, best_epoch=best_epoch, valid_auc=best)


def train_epoch(
    model: CollaborativeModel,
    train: Rows,
    optimizer: torch.optim.Optimizer,
    *,
    batch_size: int,
    rng: torch.Generator,
) -> float:
    """Makes one pass over the rows in random order.

    The rows are permuted once and then sliced: gathering row by row, as a data loader does, takes
    longer than the model's own arithmetic.

    Returns:
        The mean loss per row.
    """
    model.train()
    shuffled = train.take(torch.randperm(len(train), generator=rng))
    total = 0.0
    for start in range(0, len(shuffled), batch_size):
        batch = shuffled.take(slice(start, start + batch_size))
        optimizer.zero_grad(set_to_none=True)
        loss = binary_cross_entropy_with_logits(model(batch), batch.labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(train)


@torch.inference_mode()
def score(model: CollaborativeModel, rows: Rows) -> NDArray:
    """Returns the (n,) float32 scores of rows."""
    model.eval()
    parts = [
        model.score(rows.take(slice(start, start + SCORING_BATCH)))
        for start in range(0, len(rows), SCORING_BATCH)
    ]
    return torch.cat(parts).numpy() if parts else np.empty(0, dtype=np.float32)


def _check(train: Rows, valid: Rows, title: str) -> None:
    if not len(train):
        raise InputError(f"{title}: no train rows, expected at least one")
    positive = int(valid.labels.sum())
    if not 0 < positive < len(valid):
        raise InputError(
            f"{title}: {positive} of {len(valid)} validation rows are positive; "
            "early stopping by AUC needs both labels"
        )


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
