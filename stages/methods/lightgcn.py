"""LightGCN: vectors smoothed over the graph of who liked what (He et al. 2020)."""

import torch
from pydantic import Field

from stages.collab.interactions import Interactions
from stages.collab.lightgcn import LightGCN
from stages.collab.method import CollaborativeMethod, by_loop
from stages.collab.sections import Fitting


class Settings(Fitting):
    """LightGCN: `compare.lightgcn`."""

    layers: int = Field(ge=0, le=16)


def build(data: Interactions, settings: Settings, rng: torch.Generator) -> LightGCN:
    """Returns the model with initial values, its edges the liked train rows."""
    train = data.rows["train"]
    return LightGCN(
        train.take(train.labels == 1),
        n_users=data.n_users,
        n_items=data.n_items,
        dim=settings.dim,
        layers=settings.layers,
        init_std=settings.init_std,
        rng=rng,
    )


METHOD = CollaborativeMethod(
    title="LightGCN",
    settings=Settings,
    fit=by_loop("lightgcn", build),
    published={"ml-1m": (0.5959, 0.6499), "amazon-book": (0.7103, 0.5639)},
)
