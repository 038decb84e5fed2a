"""Vectors of taste, taught by a neighbour model: what liked items say of every other item.

A neighbour model knows taste without overfitting, but as a number per pair of items. Here bits
learn to say the same: its sums over what users liked, for all items at once, are what the inner
product of codes has to come to. No label is looked at but through the similarities.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from stages.collab.hashing import binarise
from stages.collab.histories import PADDING
from stages.collab.recipes import Distillation
from stages.collab.taste import TasteVectors
from stages.io.errors import InputError
from stages.io.progress import Progress

# Rows of which an item's mean is taken, and the share of the steps in which bits turn hard.
_ROWS_FOR_MEANS = 4096
_RAMP = 0.5


def distil(
    similarities: csr_matrix,
    histories: Tensor,
    weights: Tensor,
    settings: Distillation,
    *,
    dim: int,
    rng: torch.Generator,
) -> TasteVectors:
    """Fits vectors of taste to a neighbour model.

    What is fitted is centred: less its mean over users, by item, and less its mean over items, by
    user. Main effects stand outside the codes and take no bit of them.

    Args:
        similarities: (n_items + 1, n_items + 1) of items to their neighbours.
        histories: (n, length) liked items, of which rows are drawn.
        weights: (n_items + 1,) how much each item counts; they sum to 1.
        settings: steps, rows per step and step size.
        dim: bits of a code.
        rng: source of initial values, of the rows drawn and of the elements replaced by signs.

    Raises:
        InputError: no row has a liked item before it.
    """
    histories = histories[(histories != PADDING).any(1)]
    if not len(histories):
        raise InputError(
            "pretrain_hash: no train row has a liked item before it, which codes of taste are made "
            "of; expected several rows per user, or set pretrain_hash.recipe to paper"
        )
    vectors = from_factors(similarities, dim, rng)
    teacher = _Teacher(similarities, histories, weights, rng)
    scale = torch.nn.Parameter(torch.tensor(dim**-0.5))
    adam = torch.optim.Adam([*vectors.parameters(), scale], lr=settings.lr, fused=True)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, settings.steps)
    progress = Progress("distillation", settings.steps, "steps")
    for step in range(settings.steps):
        drawn = histories[_draw(len(histories), settings.rows, rng)]
        beta = min(1.0, step / (settings.steps * _RAMP))
        users = binarise(torch.tanh(vectors.of_users(drawn)), beta, rng)
        items = binarise(torch.tanh(vectors.of_items()), beta, rng)
        missed = scale * users @ items.T - teacher(drawn)
        loss = (missed.square() @ weights).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        slower.step()
        progress.advance(1, f"unexplained {loss.item():.3f}")
    progress.close(f"unexplained share of the neighbours' variance {loss.item():.3f}")
    return vectors


def from_factors(similarities: csr_matrix, dim: int, rng: torch.Generator) -> TasteVectors:
    """Returns vectors whose inner products come near the similarities, all bits alike.

    The greatest singular vectors, turned at random so that no bit carries more than another, and
    scaled to standard deviation 1, where the sign is learned best.
    """
    from sklearn.utils.extmath import randomized_svd  # seconds, which the recipe paper does without

    seed = int(torch.randint(2**31, (1,), generator=rng))
    # Of fewer items than bits there are fewer factors; the rest starts at 0.
    most = min(dim, similarities.shape[0] - 1)
    left, values, right = randomized_svd(similarities, most, random_state=seed)
    turn, _ = torch.linalg.qr(torch.randn(dim, dim, generator=rng))
    sides = []
    for factors in (left, right.T):
        side = torch.zeros(len(factors), dim)
        side[:, :most] = torch.from_numpy((factors * np.sqrt(values)).astype(np.float32))
        side = side @ turn
        sides.append(side / side.std().clamp(min=1e-6))
    return TasteVectors(*sides)


class _Teacher:
    """The neighbour model's sums over what users liked, centred and of variance 1."""

    def __init__(
        self, similarities: csr_matrix, histories: Tensor, weights: Tensor, rng: torch.Generator
    ) -> None:
        self._similarities, self._weights = similarities.astype(np.float32), weights
        sample = histories[_draw(len(histories), _ROWS_FOR_MEANS, rng)]
        total = torch.zeros(len(weights))
        for part in _parts(sample):
            total += self._sums(part).sum(0)
        self._means, self._deviation = total / len(sample), 1.0
        spread = sum(float((self(part).square() @ weights).sum()) for part in _parts(sample))
        self._deviation = max((spread / len(sample)) ** 0.5, 1e-6)

    def __call__(self, histories: Tensor) -> Tensor:
        """Returns (n, n_items + 1)."""
        sums = self._sums(histories) - self._means
        return (sums - (sums @ self._weights)[:, None]) / self._deviation

    def _sums(self, histories: Tensor) -> Tensor:
        liked = histories != PADDING
        rows = np.repeat(np.arange(len(histories)), liked.sum(1).numpy())
        parts = (1 / liked.sum(1).sqrt()).numpy()[rows]
        shape = (len(histories), self._similarities.shape[0])
        pooled = csr_matrix((parts, (rows, histories[liked].numpy())), shape=shape)
        return torch.from_numpy((pooled @ self._similarities).toarray())


def _draw(n: int, rows: int, rng: torch.Generator) -> Tensor:
    return torch.randint(n, (rows,), generator=rng)


def _parts(histories: Tensor, rows: int = 512) -> Iterator[Tensor]:
    return iter(histories.split(rows))


def item_weights(items: Tensor, n_items: int) -> Tensor:
    """Returns (n_items + 1,) shares of the rows by item: frequent ones are met most often."""
    counts = torch.bincount(items, minlength=n_items + 1).float()
    return counts / counts.sum()
