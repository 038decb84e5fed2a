"""Matrix factorisation: one vector per user and per item, score = their inner product."""

import torch
from torch import Tensor, nn

from stages.collab.vectors import VectorModel


class MatrixFactorisation(VectorModel):
    """`e_u · e_i` (BinLLM section 2.1.2; the default of section 3.1).

    Attributes:
        users: (n_users + 1, dim) vectors; row 0 is padding.
        items: (n_items + 1, dim) vectors; row 0 is padding.
    """

    def __init__(
        self, *, n_users: int, n_items: int, dim: int, init_std: float, rng: torch.Generator
    ) -> None:
        """Draws every vector from a normal distribution around 0.

        Args:
            n_users: users have ids 1..n_users.
            n_items: items have ids 1..n_items.
            dim: length of the vectors.
            init_std: standard deviation of the initial elements.
            rng: source of the initial elements.
        """
        super().__init__()
        self.users = nn.Parameter(torch.empty(n_users + 1, dim))
        self.items = nn.Parameter(torch.empty(n_items + 1, dim))
        nn.init.normal_(self.users, std=init_std, generator=rng)
        nn.init.normal_(self.items, std=init_std, generator=rng)

    def all_vectors(self) -> tuple[Tensor, Tensor]:
        """Returns (n_users + 1, dim) and (n_items + 1, dim) vectors: the parameters."""
        return self.users, self.items
