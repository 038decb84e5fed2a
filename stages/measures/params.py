"""What measuring reads of `params.yaml`: the section `evaluate`."""

from pydantic import Field

from stages.io.params import Section


class Evaluate(Section):
    """How scores are measured; each key is explained in `params.yaml`."""

    ndcg_k: int = Field(ge=1, le=1000)
    replicates: int = Field(ge=10, le=100_000)
    level: float = Field(gt=0, lt=1)
