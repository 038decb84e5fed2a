"""Models whose score is the inner product of a user's and an item's vector."""

from abc import abstractmethod

from torch import Tensor

from stages.collab.fitting import CollaborativeModel, Rows


class VectorModel(CollaborativeModel):
    """A model that has a vector for each user and each item; score = `e_u · e_i`.

    Attributes:
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
    """

    n_users: int
    n_items: int

    @abstractmethod
    def user_vectors(self, users: Tensor) -> Tensor:
        """Returns (n, dim) vectors of (n,) users."""

    @abstractmethod
    def item_vectors(self, items: Tensor) -> Tensor:
        """Returns (n, dim) vectors of (n,) items."""

    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products."""
        return (self.user_vectors(rows.users) * self.item_vectors(rows.items)).sum(-1)

    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products."""
        return self.forward(rows)
