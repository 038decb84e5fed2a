"""DIN: what of a history matters depends on the candidate (Zhou et al. 2018)."""

import torch

from stages.collab.din import DeepInterestNetwork
from stages.collab.interactions import Interactions
from stages.collab.method import CollaborativeMethod, by_loop
from stages.collab.sections import Din as Settings


def build(data: Interactions, settings: Settings, rng: torch.Generator) -> DeepInterestNetwork:
    """Returns the model with initial values."""
    return DeepInterestNetwork(
        n_users=data.n_users,
        n_items=data.n_items,
        dim=settings.dim,
        attention=settings.attention,
        hidden=settings.hidden,
        activation=settings.activation,
        dropout=settings.dropout,
        init_std=settings.init_std,
        rng=rng,
    )


METHOD = CollaborativeMethod(
    title="DIN",
    settings=Settings,
    fit=by_loop("din", build),
    history=lambda settings: settings.history,
    published={"ml-1m": (0.7166, 0.6459), "amazon-book": (0.8163, 0.6145)},
)
