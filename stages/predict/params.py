"""The section `predict` of `params.yaml`; each key is explained there."""

from pydantic import Field

from stages.common.params import Section
from stages.llm.model import Precision


class Predict(Section):
    """What is scored, and how."""

    rows: int | None = Field(ge=1)
    precision: Precision
    token_budget: int = Field(ge=1)
