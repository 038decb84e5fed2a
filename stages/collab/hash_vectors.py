"""Whose vectors the codes are made of: those of MF, LightGCN or SASRec."""

import torch
from torch import Tensor
from torch.nn.functional import embedding

from stages.collab.factorisation import MatrixFactorisation
from stages.collab.fitting import SCORING_BATCH, Rows
from stages.collab.histories import histories_of, padded_histories
from stages.collab.lightgcn import LightGCN
from stages.collab.recipes import PretrainHash
from stages.collab.sasrec import SASRec
from stages.collab.vectors import VectorModel


class SequenceVectors(VectorModel):
    """SASRec's states as vectors of users (Kang & McAuley 2018, equation 7).

    A row is trained on with the state after its own history, so that it never tells its own label.
    Afterwards a user stands still: one vector, the state after the last liked train items.
    """

    def __init__(self, sasrec: SASRec, last_liked: Tensor) -> None:
        """Takes the model, and the (n_users + 1, length) items each user liked last."""
        super().__init__()
        self.sasrec = sasrec
        # A plain attribute: as a buffer it would be copied with each best state.
        self._last_liked = last_liked

    def row_vectors(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Returns (n, dim) states after the rows' histories, and vectors of their items."""
        items = embedding(rows.items, self.sasrec.items)
        return self.sasrec.states(histories_of(rows)), items

    def all_vectors(self) -> tuple[Tensor, Tensor]:
        """Returns (n_users + 1, dim) states after the last liked items, and all items' vectors."""
        states = [self.sasrec.states(part) for part in self._last_liked.split(SCORING_BATCH)]
        return torch.cat(states), self.sasrec.items


def last_liked(train: Rows, *, n_users: int, length: int) -> Tensor:
    """Returns what each user liked last in the train rows.

    Args:
        train: rows of which each user's stand in order of time.
        n_users: users have ids 1..n_users.
        length: items kept of each user.

    Returns:
        (n_users + 1, length) items in the layout of `HistoryRows.histories`; row 0 is padding, and
        a user who liked none has padding only.
    """
    liked = train.take(train.labels == 1)
    order = torch.argsort(liked.users, stable=True)
    counts = torch.bincount(liked.users, minlength=n_users + 1)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return padded_histories(liked.items[order].numpy(), offsets.numpy(), length=length)


def new_vectors(
    train: Rows, settings: PretrainHash, *, n_users: int, n_items: int, rng: torch.Generator
) -> VectorModel:
    """Returns a model with initial vectors.

    Args:
        train: rows to learn from: the positive ones are LightGCN's edges and what users liked.
        settings: whose vectors, their length, and what shapes the model.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        rng: source of initial values and of dropout.
    """
    if settings.vectors == "sasrec":
        sasrec = SASRec(
            n_items=n_items,
            length=settings.history,
            dim=settings.dim,
            blocks=settings.blocks,
            heads=1,
            dropout=settings.dropout,
            init_std=settings.init_std,
            rng=rng,
        )
        return SequenceVectors(sasrec, last_liked(train, n_users=n_users, length=settings.history))
    sides = {"n_users": n_users, "n_items": n_items}
    if settings.vectors == "lightgcn":
        return LightGCN(
            train.take(train.labels == 1),
            **sides,
            dim=settings.dim,
            layers=settings.graph_layers,
            init_std=settings.init_std,
            rng=rng,
        )
    return MatrixFactorisation(**sides, dim=settings.dim, init_std=settings.init_std, rng=rng)
