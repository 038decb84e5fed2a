"""The section `compare` of `params.yaml`: one part per method, and how all are measured."""

from typing import Annotated

from pydantic import Field, model_validator

from stages.collab.layers import Activation
from stages.common.measures import Measures
from stages.common.params import Section

Width = Annotated[int, Field(ge=1, le=4096)]


class Fitting(Section):
    """What the fitting loop needs, and the vectors that every method has."""

    dim: Width
    init_std: float = Field(gt=0)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)


class Mf(Fitting):
    """Matrix factorisation."""


class Lightgcn(Fitting):
    """LightGCN."""

    layers: int = Field(ge=0, le=16)


class Sasrec(Fitting):
    """SASRec."""

    history: int = Field(ge=1, le=1000)
    blocks: int = Field(ge=1, le=16)
    heads: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_vectors(self) -> "Sasrec":
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of heads {self.heads}")
        return self


class Din(Fitting):
    """Deep Interest Network."""

    history: int = Field(ge=1, le=1000)
    attention: list[Width] = Field(min_length=1)
    hidden: list[Width] = Field(min_length=1)
    activation: Activation
    dropout: float = Field(ge=0, lt=1)


class Compare(Section):
    """The methods without an LLM; each key is explained in `params.yaml`."""

    measures: Measures
    mf: Mf
    lightgcn: Lightgcn
    sasrec: Sasrec
    din: Din
