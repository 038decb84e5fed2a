"""Parts of `params.yaml` that several stages with an LLM have; each key is explained there."""

from typing import Literal

from pydantic import Field

from stages.io.params import Section

Precision = Literal["auto", "float32", "bfloat16"]
# The logit of " Yes" after the prompt, or that logit less the one of " No".
Score = Literal["yes_logit", "yes_minus_no"]
# What the loss holds a score against: 0 or 1, the teacher's probability, or the mean of both.
Labels = Literal["hard", "teacher", "mix"]


class Lora(Section):
    """An adapter."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    targets: list[str] | Literal["all-linear"]
    last_layers: int | None = Field(ge=1)


class Tuning(Section):
    """What `stages.llm.tune.tune` needs beside prompts, score and learning rate."""

    epochs: int = Field(ge=1)
    batch_rows: int = Field(ge=1)
    weight_decay: float = Field(ge=0, allow_inf_nan=False)
    warmup: float = Field(ge=0, lt=1)
    floor: float = Field(ge=0, le=1)
    evaluations: int = Field(ge=1)
    micro_tokens: int = Field(ge=1)


class TrainRows(Section):
    """Training rows of each step."""

    titles_first: int | None = Field(ge=0)
    text: int | None = Field(ge=2)
    ids_first: int | None = Field(ge=0)
    codes: int | None = Field(ge=2)


class TrainLora(Tuning):
    """How BinLLM's adapters are trained: `train_lora` in `params.yaml`."""

    tuning: Literal["two_step", "intuitive"]
    train_rows: TrainRows
    order: Literal["mixed", "phased"]
    labels: Labels
    valid_rows: int | None = Field(ge=2)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    score: Score
    share_prefix: bool
    precision: Precision
    lora: Lora


class Scoring(Section):
    """What is scored, and how: `predict` in `params.yaml`."""

    rows: int | None = Field(ge=1)
    precision: Precision
    token_budget: int = Field(ge=1)
