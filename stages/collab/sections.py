"""Parts of `params.yaml` that several stages have: fitting and DIN."""

from typing import Annotated, Literal

from pydantic import Field

from stages.io.params import Section

Activation = Literal["dice", "prelu"]
Width = Annotated[int, Field(ge=1, le=4096)]


class Loop(Section):
    """What the fitting loop needs."""

    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)


class Fitting(Loop):
    """The fitting loop's needs, and the vectors that most methods have."""

    dim: Width
    init_std: float = Field(gt=0)


class Din(Fitting):
    """Deep Interest Network."""

    history: int = Field(ge=1, le=1000)
    attention: list[Width] = Field(min_length=1)
    hidden: list[Width] = Field(min_length=1)
    activation: Activation
    dropout: float = Field(ge=0, lt=1)
