"""SASRec: self-attention over what a user liked last (Kang & McAuley 2018)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, scaled_dot_product_attention

from stages.collab.fitting import CollaborativeModel, Rows
from stages.collab.histories import PADDING, histories_of
from stages.collab.layers import Dropout, linear, vector_table


class SASRec(CollaborativeModel):
    """Score = the state after the latest liked item · the candidate's vector (equation 7).

    One table of vectors serves histories and candidates, as in the paper. A history is read from
    the left, each slot seeing itself and earlier ones; padding is never seen. A row without
    history has a state that is learned and the same for all such rows.

    Attributes:
        items: (n_items + 1, dim) vectors; row 0 is padding and never read.
        positions: (length, dim) vectors of the slots, the latest last.
    """

    def __init__(
        self,
        *,
        n_items: int,
        length: int,
        dim: int,
        blocks: int,
        heads: int,
        dropout: float,
        init_std: float,
        rng: torch.Generator,
    ) -> None:
        """Draws the initial weights.

        Args:
            n_items: items have ids 1..n_items.
            length: slots of a history.
            dim: length of the vectors; a multiple of `heads`.
            blocks: self-attention blocks.
            heads: attention heads of each block.
            dropout: rate on the embedded history and on each sub-layer's output.
            init_std: standard deviation of the initial vectors.
            rng: source of initial weights and of dropout.
        """
        super().__init__()
        self.items = vector_table(n_items + 1, dim, std=init_std, rng=rng)
        self.positions = vector_table(length, dim, std=init_std, rng=rng)
        self.dropout = Dropout(dropout, rng)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout, rng) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim)
        # Keys of slots a query may see: itself and earlier ones.
        self._causal = torch.ones(length, length, dtype=torch.bool).tril()

    def states(self, histories: Tensor) -> Tensor:
        """Returns the (n, dim) states after the last slot of (n, length) histories."""
        real = histories != PADDING
        x = embedding(histories, self.items) * self.items.shape[1] ** 0.5 + self.positions
        x = self.dropout(x) * real[..., None]
        # A padded slot would have nothing to attend to: it sees itself, and no one sees it.
        itself = torch.eye(len(self._causal), dtype=torch.bool)
        allowed = ((self._causal & real[:, None, :]) | itself)[:, None]
        last = len(self.blocks) - 1
        for place, block in enumerate(self.blocks):
            # Of the last block only the last slot's state is used.
            n_queries = 1 if place == last else x.shape[1]
            x = block(x, allowed, n_queries) * real[:, -n_queries:, None]
        return self.norm(x[:, -1])

    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products of states and candidates."""
        return (self.states(histories_of(rows)) * embedding(rows.items, self.items)).sum(-1)

    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products of states and candidates."""
        return self.forward(rows)


class _Block(nn.Module):
    """Self-attention, then a layer of two point-wise products (sections 3.2.1 and 3.2.2).

    Each is g(x) = x + dropout(g(norm(x))) (section 3.2.3).
    """

    def __init__(self, dim: int, heads: int, dropout: float, rng: torch.Generator) -> None:
        super().__init__()
        self._heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key, self.value, self.output, self.inner, self.outer = (
            linear(dim, dim, rng) for _ in range(6)
        )
        self.dropout = Dropout(dropout, rng)

    def forward(self, x: Tensor, allowed: Tensor, n_queries: int) -> Tensor:
        """Returns the (n, n_queries, dim) states of the last slots of (n, length, dim) ones."""
        read = self.attention_norm(x)
        asking = read[:, -n_queries:]
        mixed = scaled_dot_product_attention(
            self._split(self.query(asking)),
            self._split(self.key(read)),
            self._split(self.value(read)),
            attn_mask=allowed[:, :, -n_queries:],
        )
        x = x[:, -n_queries:] + self.dropout(self.output(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.outer(torch.relu(self.inner(self.feed_norm(x)))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self._heads, -1)).transpose(1, 2)
