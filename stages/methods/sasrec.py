"""SASRec: self-attention over what a user liked last (Kang & McAuley 2018)."""

import torch
from pydantic import Field, model_validator

from stages.collab.histories import histories_of
from stages.collab.interactions import Interactions
from stages.collab.method import CollaborativeMethod, by_loop
from stages.collab.sasrec import SASRec
from stages.collab.sections import Fitting


class Settings(Fitting):
    """SASRec: `compare.sasrec`."""

    history: int = Field(ge=1, le=1000)
    blocks: int = Field(ge=1, le=16)
    heads: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_vectors(self) -> "Settings":
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of heads {self.heads}")
        return self


def build(data: Interactions, settings: Settings, rng: torch.Generator) -> SASRec:
    """Returns the model with initial values."""
    return SASRec(
        n_items=data.n_items,
        length=histories_of(data.rows["train"]).shape[1],
        dim=settings.dim,
        blocks=settings.blocks,
        heads=settings.heads,
        dropout=settings.dropout,
        init_std=settings.init_std,
        rng=rng,
    )


METHOD = CollaborativeMethod(
    title="SASRec",
    settings=Settings,
    fit=by_loop("sasrec", build),
    history=lambda settings: settings.history,
    published={"ml-1m": (0.7078, 0.6884), "amazon-book": (0.6887, 0.5714)},
    has_user_vectors=False,
)
