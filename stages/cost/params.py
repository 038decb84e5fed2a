"""The section `cost` of `params.yaml`; each key is explained there."""

from pydantic import Field

from stages.common.params import Section
from stages.llm.model import Precision


class Cost(Section):
    """How the cost is measured."""

    rows: int = Field(ge=1)
    repeats: int = Field(ge=1, le=100)


class Scoring(Section, extra="ignore"):
    """Of section `predict`: how rows are scored."""

    precision: Precision
    token_budget: int = Field(ge=1)
