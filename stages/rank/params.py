"""What the command reads of other stages' sections, so that it shows and scores as they do."""

from pydantic import Field

from stages.common.params import Section
from stages.llm.model import Precision


class Preprocess(Section, extra="ignore"):
    """Of section `preprocess`: how long histories are."""

    keep_history: int | None = Field(ge=1)


class Predict(Section, extra="ignore"):
    """Of section `predict`: how prompts are scored."""

    precision: Precision
    token_budget: int = Field(ge=1)
