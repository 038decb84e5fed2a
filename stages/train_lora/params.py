"""The section `train_lora` of `params.yaml`; each key is explained there."""

from typing import Literal

from pydantic import Field

from stages.common.params import Section
from stages.llm.model import Precision
from stages.llm.params import Lora, Tuning
from stages.llm.scoring import Score


class Rows(Section):
    """Training rows of each step."""

    text: int | None = Field(ge=2)
    ids_first: int | None = Field(ge=0)
    codes: int | None = Field(ge=2)


class TrainLora(Tuning):
    """How the adapter is trained."""

    tuning: Literal["two_step", "intuitive"]
    train_rows: Rows
    valid_rows: int | None = Field(ge=2)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    score: Score
    share_prefix: bool
    precision: Precision
    lora: Lora
