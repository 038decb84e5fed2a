"""Deep Interest Network: what of a history matters depends on the candidate (Zhou et al. 2018)."""

import torch
from torch import Tensor
from torch.nn.functional import embedding

from stages.collab.fitting import CollaborativeModel, Rows
from stages.collab.histories import PADDING, histories_of
from stages.collab.layers import Activation, perceptron, vector_table


class DeepInterestNetwork(CollaborativeModel):
    """A perceptron over user, interest and candidate; the interest is attended by the candidate.

    Attributes:
        users: (n_users + 1, dim) vectors; row 0 is padding.
        items: (n_items + 1, dim) vectors of histories and candidates; row 0 is padding.
    """

    def __init__(
        self,
        *,
        n_users: int,
        n_items: int,
        dim: int,
        attention: list[int],
        hidden: list[int],
        activation: Activation,
        dropout: float,
        init_std: float,
        rng: torch.Generator,
    ) -> None:
        """Draws the initial weights.

        Args:
            n_users: users have ids 1..n_users.
            n_items: items have ids 1..n_items.
            dim: length of the vectors.
            attention: widths of the hidden layers that weigh a liked item.
            hidden: widths of the hidden layers that score.
            activation: of all hidden layers.
            dropout: rate after each hidden layer that scores.
            init_std: standard deviation of the initial vectors.
            rng: source of initial weights and of dropout.
        """
        super().__init__()
        self.users = vector_table(n_users + 1, dim, std=init_std, rng=rng)
        self.items = vector_table(n_items + 1, dim, std=init_std, rng=rng)
        self.attention = perceptron(
            [4 * dim, *attention, 1], activation=activation, dropout=0.0, rng=rng
        )
        self.scorer = perceptron(
            [3 * dim, *hidden, 1], activation=activation, dropout=dropout, rng=rng
        )

    def interests(self, histories: Tensor, candidates: Tensor) -> Tensor:
        """Returns v = sum over j of a(e_j, c) e_j (equation 3), weights not normalised.

        Only real slots are computed at all: padding takes no part in Dice's mean and variance.

        Args:
            histories: (n, length) liked items.
            candidates: (n, dim) vectors of the candidates.

        Returns:
            (n, dim); zeros for a row without history.
        """
        row, slot = torch.nonzero(histories != PADDING, as_tuple=True)
        liked = embedding(histories[row, slot], self.items)
        candidate = candidates[row]
        pair = torch.cat([liked, candidate, liked - candidate, liked * candidate], dim=-1)
        weighted = self.attention(pair) * liked
        return torch.zeros_like(candidates).index_add(0, row, weighted)

    def representations(self, rows: Rows) -> Tensor:
        """Returns (n, 3 dim): user, interest and candidate joined, what the perceptron scores."""
        candidates = embedding(rows.items, self.items)
        interests = self.interests(histories_of(rows), candidates)
        return torch.cat([embedding(rows.users, self.users), interests, candidates], dim=-1)

    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) logits."""
        return self.scorer(self.representations(rows)).squeeze(-1)

    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) logits."""
        return self.forward(rows)
