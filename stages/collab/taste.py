"""Codes of taste: what main effects leave over, as bits that follow what the user liked.

log-odds of a like = intercept + user's effect + item's effect + scale · h_u · h_i

The effects take what everybody agrees on, so every bit is free for what tells users apart. A user's
bits are the signs of the vectors of what they liked until then, summed, plus a vector of their own:
who has no train row but likes something has a code as well. Bits as in BinLLM section 2.1.2,
learned straight through the sign; {−1, +1} in the score.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding

from stages.collab.fitting import SCORING_BATCH, CollaborativeModel, Rows
from stages.collab.hashing import binarise, sign
from stages.collab.histories import PADDING, histories_of
from stages.collab.layers import Dropout
from stages.prompts.main_effects import MainEffects


class TasteVectors(nn.Module):
    """What bits of taste are the signs of.

    Attributes:
        liked: (n_items + 1, dim), an item's part in the vector of who liked it; row 0 is padding.
        items: (n_items + 1, dim), of the candidate.
        user_shift, item_shift: (dim,), added to all vectors of a side.
    """

    def __init__(self, liked: Tensor, items: Tensor) -> None:
        """Takes the vectors to start from."""
        super().__init__()
        self.liked, self.items = nn.Parameter(liked), nn.Parameter(items)
        self.user_shift = nn.Parameter(torch.zeros(liked.shape[1]))
        self.item_shift = nn.Parameter(torch.zeros(liked.shape[1]))

    def of_users(self, histories: Tensor, kept: Tensor | None = None) -> Tensor:
        """Returns (n, dim): the sum over liked items, divided by the root of their number.

        Args:
            histories: (n, length) liked items, padded with 0.
            kept: (n, length) bool, the items that count; all by default.
        """
        counts = histories != PADDING
        if kept is not None:
            counts = counts & kept
        weights = counts / counts.sum(1, keepdim=True).clamp(min=1).sqrt()
        return torch.einsum("nl,nld->nd", weights, self.liked[histories]) + self.user_shift

    def of_items(self) -> Tensor:
        """Returns (n_items + 1, dim)."""
        return self.items + self.item_shift

    @torch.inference_mode()
    def of_liked(self) -> NDArray[np.float32]:
        """Returns (n_items + 1, dim): of items that somebody likes; row 0 is `user_shift`."""
        vectors = self.liked.numpy().copy()
        vectors[PADDING] = self.user_shift.numpy()
        return vectors


class TasteModel(CollaborativeModel):
    """Main effects and codes of taste, fitted together on labels.

    Attributes:
        vectors: what the bits are signs of.
        own: (n_users + 1, dim) vectors of users, beside what they liked; None without them.
        scale: of the codes' inner product in the score.
    """

    def __init__(
        self,
        effects: MainEffects,
        vectors: TasteVectors,
        *,
        user_vectors: bool,
        scale: float,
        dropout: float,
        history_dropout: float,
        rng: torch.Generator,
    ) -> None:
        """Takes what it starts from.

        Args:
            effects: main effects, of which the fit goes on.
            vectors: vectors of taste, likewise.
            user_vectors: whether each user has a vector of their own.
            scale: of the inner product at first.
            dropout: share of the inner product's elements that are left out in training: each bit
                has to tell something by itself, and no pair of codes can learn its rows by heart.
            history_dropout: share of liked items that are left out in training.
            rng: source of users' vectors and of what is left out.
        """
        super().__init__()
        self.vectors = vectors
        own = torch.empty(len(effects.users), vectors.liked.shape[1])
        nn.init.normal_(own, std=0.01, generator=rng)
        self.own = nn.Parameter(own) if user_vectors else None
        self.scale = nn.Parameter(torch.tensor(scale))
        self.intercept = nn.Parameter(torch.tensor(effects.intercept, dtype=torch.float32))
        self.user_effects = nn.Parameter(torch.tensor(effects.users, dtype=torch.float32))
        self.item_effects = nn.Parameter(torch.tensor(effects.items, dtype=torch.float32))
        self._product_dropout = Dropout(dropout, rng)
        self._history_dropout, self._rng = history_dropout, rng

    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) logits, with signs as in use, part of products and likes left out."""
        histories = histories_of(rows)
        kept = torch.rand(histories.shape, generator=self._rng) >= self._history_dropout
        users = binarise(torch.tanh(self._of_users(rows, kept)), 1.0)
        items = self.vectors.items[rows.items] + self.vectors.item_shift
        products = self._product_dropout(users * binarise(torch.tanh(items), 1.0))
        return self.outside(rows) + self.scale * products.sum(-1)

    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) log-odds."""
        users = sign(self._of_users(rows))
        items = embedding(rows.items, sign(self.vectors.of_items()))
        return self.outside(rows) + self.scale * (users * items).sum(-1)

    def outside(self, rows: Rows) -> Tensor:
        """Returns (n,) log-odds by main effects: what stands outside the codes."""
        return self.intercept + self.user_effects[rows.users] + self.item_effects[rows.items]

    @torch.inference_mode()
    def user_bits(self, rows: Rows) -> NDArray[np.bool_]:
        """Returns (n, dim), the users' codes as of each row."""
        starts = range(0, len(rows), SCORING_BATCH)
        parts = [self._of_users(rows.take(slice(at, at + SCORING_BATCH))) > 0 for at in starts]
        return torch.cat(parts).numpy()

    @torch.inference_mode()
    def item_bits(self) -> NDArray[np.bool_]:
        """Returns (n_items + 1, dim) codes; row 0 is padding, all zero."""
        bits = self.vectors.of_items() > 0
        bits[PADDING] = False
        return bits.numpy()

    def _of_users(self, rows: Rows, kept: Tensor | None = None) -> Tensor:
        vectors = self.vectors.of_users(histories_of(rows), kept)
        return vectors if self.own is None else vectors + self.own[rows.users]
