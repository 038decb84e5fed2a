"""Matrix factorisation: score = inner product of a user's and an item's vector."""

import torch

from stages.collab.factorisation import MatrixFactorisation
from stages.collab.interactions import Interactions
from stages.collab.method import CollaborativeMethod, by_loop
from stages.collab.sections import Fitting


class Settings(Fitting):
    """Matrix factorisation: `compare.mf`."""


def build(data: Interactions, settings: Settings, rng: torch.Generator) -> MatrixFactorisation:
    """Returns the model with initial values."""
    return MatrixFactorisation(
        n_users=data.n_users,
        n_items=data.n_items,
        dim=settings.dim,
        init_std=settings.init_std,
        rng=rng,
    )


METHOD = CollaborativeMethod(
    title="MF",
    settings=Settings,
    fit=by_loop("mf", build),
    published={"ml-1m": (0.6482, 0.6361), "amazon-book": (0.7134, 0.5565)},
)
