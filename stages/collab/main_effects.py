"""What a user and an item explain each by themselves: logistic regression on who was asked what."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions
from stages.io.errors import InputError
from stages.io.params import Section

Floats = NDArray[np.float64]

# Of the mean gradient, where the optimizer stops: scores are settled to about five digits.
TOLERANCE = 1e-6


class Effects(Section):
    """The settings of whatever builds on main effects."""

    c: float = Field(gt=0)


@dataclass(frozen=True)
class MainEffects:
    """Log-odds of a like = intercept + the user's effect + the item's effect.

    Attributes:
        intercept: log-odds where user and item are unknown.
        users: (n_users + 1,) effects; 0 for who has no train row, and for padding.
        items: (n_items + 1,) effects, likewise.
        iterations: of the optimizer.
    """

    intercept: float
    users: Floats
    items: Floats
    iterations: int

    @property
    def parameters(self) -> int:
        """Numbers that were fitted, padding left out."""
        return 1 + len(self.users) - 1 + len(self.items) - 1

    def logits(self, rows: Rows) -> Floats:
        """Returns the (n,) log-odds of rows."""
        return self.intercept + self.users[rows.users.numpy()] + self.items[rows.items.numpy()]

    def vectors(self) -> dict[str, Tensor]:
        """Returns `users` (n_users + 1, 2) and `items` (n_items + 1, 2); products are log-odds."""
        users = np.stack([self.intercept + self.users, np.ones_like(self.users)], axis=1)
        items = np.stack([np.ones_like(self.items), self.items], axis=1)
        return {"users": torch.from_numpy(users), "items": torch.from_numpy(items)}


def fit_main_effects(data: Interactions, *, c: float) -> MainEffects:
    """Fits intercept and effects to the train rows: convex, so there is one answer and no seed.

    Args:
        data: the rows.
        c: inverse strength of the L2 penalty on effects; the intercept has none.

    Raises:
        InputError: the train rows have one label only.
    """
    train = data.rows["train"]
    positive = int(train.labels.sum())
    if not 0 < positive < len(train):
        raise InputError(
            f"train: {positive} of {len(train)} rows are positive; a fit needs both labels"
        )
    model = LogisticRegression(C=c, tol=TOLERANCE, max_iter=10_000)
    model.fit(one_hot(train, data.n_users, data.n_items), train.labels.numpy())
    users, items = np.split(model.coef_[0], [data.n_users + 1])
    return MainEffects(float(model.intercept_[0]), users, items, int(model.n_iter_[0]))


def one_hot(rows: Rows, n_users: int, n_items: int) -> csr_matrix:
    """Returns (n, n_users + 1 + n_items + 1): a 1 for a row's user, and behind them its item."""
    n, width = len(rows), n_users + 1
    columns = np.stack([rows.users.numpy(), width + rows.items.numpy()], axis=1).ravel()
    shape = (n, width + n_items + 1)
    return csr_matrix((np.ones(2 * n), columns, np.arange(0, 2 * n + 1, 2)), shape=shape)
