"""What a method reads of `params.yaml`; each key is explained there.

A method reads its own part of the section `compare_llm` and what methods share, not the parts of
others: their bad values do not stop it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from stages.common.params import Section, load_section, part_of
from stages.common.quality import Measures
from stages.compare_llm.rows import Split
from stages.llm.params import Lora, Scoring, Tuning
from stages.llm.scoring import Score


class Protocol(Section):
    """What all methods have in common."""

    score: Score
    valid_rows: int | None = Field(ge=2)


class Training(Tuning):
    """What the trained methods have in common."""

    train_rows: int | None = Field(ge=2)


class Trained(Section):
    """The part of a method that is trained."""

    learning_rate: float = Field(gt=0)


class Icl(Section):
    """In-context learning."""

    examples: int = Field(ge=0, le=64)


class Prompt4nr(Trained):
    """Prompt4NR."""

    tokens: int = Field(ge=1, le=256)
    lora: bool


class Personprompt(Trained):
    """PersonPrompt."""

    lora: bool


class Collm(Trained):
    """CoLLM."""

    hidden_times: int = Field(ge=1, le=256)


class CompareLlm(Section):
    """The methods with an LLM."""

    protocol: Protocol
    training: Training
    icl: Icl
    prompt4nr: Prompt4nr
    personprompt: Personprompt
    collm_mf: Collm
    collm_din: Collm


@dataclass(frozen=True)
class Params:
    """All that a method reads.

    Attributes:
        own: the method's own part.
        protocol: what all methods have in common.
        training: what the trained ones have in common; None for others.
        lora: a new adapter's settings, those of BinLLM's; None where there is none.
        predict: which test rows are scored, and how.
        measures: how scores are measured.
    """

    own: Section
    protocol: Protocol
    training: Training | None
    lora: Lora | None
    predict: Scoring
    measures: Measures

    def values(self) -> dict[str, Any]:
        """Returns all values, by part."""
        parts = vars(self).items()
        return {name: part.model_dump() for name, part in parts if part is not None}

    def shape(self) -> dict[str, Any]:
        """Returns the settings of the method's parts."""
        return self.own.model_dump(exclude={"learning_rate", "lora"})

    def rows(self) -> Iterator[tuple[Split, int | None]]:
        """Yields each split that is needed, and how many of its rows."""
        if self.training is not None:
            yield "train", self.training.train_rows
        yield "valid", self.protocol.valid_rows
        yield "test", self.predict.rows

    def tuning(self) -> dict[str, Any]:
        """Returns the settings of `stages.llm.tuning.tune`; none for a method not trained."""
        if self.training is None or not isinstance(self.own, Trained):
            return {}
        return {
            **self.training.model_dump(exclude={"train_rows"}),
            "learning_rate": self.own.learning_rate,
            "score": self.protocol.score,
        }


def read_params(method: str) -> Params:
    """Reads what `method` needs and nothing else.

    Raises:
        InputError: a value is not allowed.
    """
    own = load_section(part_of(CompareLlm, method), f"compare_llm.{method}")
    trained = isinstance(own, Trained)
    with_adapter = isinstance(own, Prompt4nr | Personprompt) and own.lora
    return Params(
        own,
        load_section(Protocol, "compare_llm.protocol"),
        load_section(Training, "compare_llm.training") if trained else None,
        load_section(Lora, "train_lora.lora") if with_adapter else None,
        load_section(Scoring, "predict"),
        load_section(Measures, "compare.measures"),
    )
