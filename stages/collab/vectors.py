"""Models whose score is the inner product of a user's and an item's vector."""

from abc import abstractmethod

from torch import Tensor
from torch.nn.functional import embedding

from stages.collab.fitting import CollaborativeModel, Rows


class VectorModel(CollaborativeModel):
    """A model that has a vector for each user and each item; score = `e_u · e_i`."""

    @abstractmethod
    def all_vectors(self) -> tuple[Tensor, Tensor]:
        """Returns (n_users + 1, dim) and (n_items + 1, dim) vectors as used after training.

        Row 0 is padding.
        """

    def row_vectors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Returns (n, dim) vectors each of the rows' users and items, to train on."""
        return looked_up(rows, *self.all_vectors())

    def forward(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products."""
        users, items = self.row_vectors(rows)
        return (users * items).sum(-1)

    def score(self, rows: Rows) -> Tensor:
        """Returns (n,) inner products."""
        users, items = looked_up(rows, *self.all_vectors())
        return (users * items).sum(-1)


def looked_up(rows: Rows, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (n, dim) entries each for the rows' users and items, of tables with a line per id."""
    return embedding(rows.users, users), embedding(rows.items, items)
