"""The section `train_lora` of `params.yaml`; each key is explained there."""

from typing import Literal

from pydantic import Field

from stages.common.params import Section
from stages.llm.model import Precision
from stages.llm.scoring import Score


class Rows(Section):
    """Training rows of each step."""

    text: int | None = Field(ge=2)
    ids_first: int | None = Field(ge=0)
    codes: int | None = Field(ge=2)


class Lora(Section):
    """The adapter."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    targets: list[str] | Literal["all-linear"]
    last_layers: int | None = Field(ge=1)


class TrainLora(Section):
    """How the adapter is trained."""

    tuning: Literal["two_step", "intuitive"]
    train_rows: Rows
    valid_rows: int | None = Field(ge=2)
    epochs: int = Field(ge=1)
    batch_rows: int = Field(ge=1)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    weight_decay: float = Field(ge=0, allow_inf_nan=False)
    warmup: float = Field(ge=0, lt=1)
    evaluations: int = Field(ge=1)
    score: Score
    share_prefix: bool
    precision: Precision
    micro_tokens: int = Field(ge=1)
    lora: Lora
