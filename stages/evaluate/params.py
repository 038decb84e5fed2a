"""The section `evaluate` of `params.yaml`."""

from pydantic import Field

from stages.common.params import Section


class Evaluate(Section):
    """How predictions are measured."""

    ndcg_k: int = Field(ge=1, le=1000)
    replicates: int = Field(ge=10, le=100_000)
    level: float = Field(gt=0, lt=1)
