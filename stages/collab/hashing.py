"""Binary codes from a collaborative model's vectors: h = sign(tanh(W e + b)).

BinLLM section 2.1.2, Equation 2. The sign has no useful gradient, so it passes the gradient
of its input on (straight-through). Putting the sign everywhere from the first step learns poorly;
as in HashGNN (Tan et al. 2020) each element is replaced by its sign with probability beta, and
beta rises from 0 to 1 and stays there.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.collab.fitting import CollaborativeModel, Rows
from stages.collab.recipes import CodeSpace
from stages.collab.vectors import VectorModel, looked_up


class _ReplaceBySign(torch.autograd.Function):
    """Where `replace`, the sign of the input; its gradient is the input's own everywhere."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, replace: Tensor | None) -> Tensor:
        signs = sign(z)
        return signs if replace is None else torch.where(replace, signs, z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def sign(z: Tensor) -> Tensor:
    """Returns +1 where z > 0, else −1; a zero has no bit of its own."""
    return (z > 0).to(z.dtype).mul_(2).sub_(1)


def binarise(z: Tensor, beta: float, rng: torch.Generator | None = None) -> Tensor:
    """Replaces each element by its sign with probability `beta`, straight-through.

    Args:
        z: any shape, elements in (−1, 1).
        beta: probability of replacement in [0, 1]; 1 draws nothing from `rng`.
        rng: source of the choice of elements.

    Returns:
        Same shape; the gradient with respect to `z` is the identity's.
    """
    if beta >= 1:
        return _ReplaceBySign.apply(z, None)
    if beta <= 0:
        return z
    return _ReplaceBySign.apply(z, torch.rand(z.shape, generator=rng) < beta)


def beta_after(epochs: int, *, step: float, every: int) -> float:
    """Returns beta once `epochs` epochs are done: `step` higher every `every` epochs, at most 1.

    It stays at 1 after the ramp.
    """
    return min(1.0, step * (epochs // every))


class HashedModel(CollaborativeModel):
    """A vector model whose vectors pass through a hash layer; score = `h_u · h_i`.

    It is trained on the vectors of rows (`VectorModel.row_vectors`); codes, and so scores, are of
    the vectors used afterwards (`VectorModel.all_vectors`).

    With bits {0, 1} (`code_space="01"`) a logit is never negative, so that cross-entropy cannot
    say "no"; {−1, +1} (`"pm1"`) can. The bits that are exported are the same: 1 where the element
    is positive.
    """

    def __init__(
        self,
        vectors: VectorModel,
        *,
        dim: int,
        code_space: CodeSpace,
        shared_hash_layer: bool,
        beta_step: float,
        beta_every: int,
        rng: torch.Generator,
    ) -> None:
        """Sets up the hash layers, orthogonal at first, so that no bit repeats another.

        Args:
            vectors: gives the vectors to hash; fitted along with the layers.
            dim: length of the vectors, and width of the codes in bits.
            code_space: elements of the codes in the score: {−1, +1} or {0, 1}.
            shared_hash_layer: one layer for users and items (the paper) or one each (the authors'
                code).
            beta_step: how much beta rises at a time.
            beta_every: epochs between two rises.
            rng: source of the initial layers and of the elements to replace.
        """
        super().__init__()
        self.vectors = vectors
        self.user_layer = _orthogonal(dim, rng)
        self.item_layer = self.user_layer if shared_hash_layer else _orthogonal(dim, rng)
        self._code_space = code_space
        self._beta_step, self._beta_every = beta_step, beta_every
        self._rng = rng
        self.beta = 0.0

    def start_epoch(self, epoch: int) -> None:
        """Moves beta along its ramp."""
        self.beta = beta_after(epoch, step=self._beta_step, every=self._beta_every)

    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products of the codes as binary as beta makes them."""
        users, items = self._elements(*self.vectors.row_vectors(rows))
        return self._inner(
            binarise(users, self.beta, self._rng), binarise(items, self.beta, self._rng)
        )

    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products of the hard codes, whatever beta is."""
        users, items = self._elements(*self.vectors.all_vectors())
        return self._inner(*looked_up(rows, sign(users), sign(items)))

    @torch.inference_mode()
    def all_bits(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Returns the codes of all users and of all items.

        Returns:
            (n_users + 1, dim) and (n_items + 1, dim); row 0 is padding, all zero.
        """
        self.eval()
        users, items = (side > 0 for side in self._elements(*self.vectors.all_vectors()))
        users[0], items[0] = False, False
        return users.numpy(), items.numpy()

    def _elements(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(self.user_layer(users)), torch.tanh(self.item_layer(items))

    def _inner(self, users: Tensor, items: Tensor) -> Tensor:
        return inner_product(users, items, code_space=self._code_space)


def inner_product(users: Tensor, items: Tensor, *, code_space: CodeSpace) -> Tensor:
    """Returns (n,) scores of (n, dim) elements in [−1, 1], moved to [0, 1] for `"01"`."""
    if code_space == "01":
        users, items = (users + 1) / 2, (items + 1) / 2
    return (users * items).sum(-1)


def _orthogonal(dim: int, rng: torch.Generator) -> nn.Linear:
    # Linear would draw its own initial values from torch's global stream.
    layer = nn.utils.skip_init(nn.Linear, dim, dim)
    nn.init.orthogonal_(layer.weight, generator=rng)
    nn.init.zeros_(layer.bias)
    return layer
