"""The section `compare` of `params.yaml`: one part per method, and how all are measured."""

from pydantic import Field, model_validator

from stages.collab.sections import Din, Fitting
from stages.common.chosen import Method
from stages.common.params import Section
from stages.common.quality import Measures


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


class Compare(Section):
    """The methods without an LLM; each key is explained in `params.yaml`."""

    methods: list[Method]
    seeds: int = Field(ge=1, le=1000)
    measures: Measures
    mf: Mf
    lightgcn: Lightgcn
    sasrec: Sasrec
    din: Din
