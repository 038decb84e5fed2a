"""What a compared method with an LLM is: text prompts, changed, and something that is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from stages.io.params import Section, load_section
from stages.io.paths import (
    INTERACTIONS_FOLDER,
    LLM_FOLDER,
    adapter_folder,
    fitted_tensors,
    prompts_folder,
)
from stages.io.tables import ITEMS, USERS, read_table
from stages.llm.params import Lora, Precision, Score, Scoring, Tuning

if TYPE_CHECKING:  # so that `plan`, which reads settings, loads no LLM
    from stages.llm.load import Llm
    from stages.prompts.rows import Template


class Shared(Section):
    """What all methods have in common: `compare_llm.protocol`."""

    score: Score
    valid_rows: int | None = Field(ge=2)
    seeds: int = Field(ge=1, le=1000)


class Training(Tuning):
    """What the trained methods have in common: `compare_llm.training`."""

    train_rows: int | None = Field(ge=2)


class TrainedSettings(Section):
    """The part of a method that is trained."""

    learning_rate: float = Field(gt=0)


@dataclass(frozen=True)
class Inputs:
    """What a method builds on.

    Attributes:
        precision: type of the LLM's weights.
        lora: settings of a new adapter, trained along with the rest; None for none.
        seed: of initial weights and of drawn examples.
        vectors: a collaborative method's vectors, and with them step 1's adapter is an input; None
            for methods without.
        llm: the LLM.
        prompts: text prompts.
        interactions: users and items.
        adapter: step 1's adapter.
    """

    precision: Precision
    lora: Lora | None
    seed: int
    vectors: Path | None = None
    llm: Path = LLM_FOLDER
    prompts: Path = field(default_factory=lambda: prompts_folder("text"))
    interactions: Path = INTERACTIONS_FOLDER
    adapter: Path = field(default_factory=lambda: adapter_folder("text"))

    def files(self) -> list[Path]:
        """Returns all that the method reads."""
        general = [self.llm, self.prompts, self.interactions]
        return general if self.vectors is None else [*general, self.adapter, self.vectors]

    def count(self) -> tuple[int, int]:
        """Returns the numbers of users and of items; ids begin at 1."""
        users = read_table(self.interactions / "users.parquet", USERS, ["uid"])
        return len(users), len(read_table(self.interactions / "items.parquet", ITEMS, ["iid"]))


@dataclass(frozen=True)
class LlmMethod:
    """A compared method with an LLM, as its own file describes it.

    Attributes:
        title: what the table calls it; with `on_vectors` the vectors' title follows.
        settings: its section, `compare_llm.<name>`; a `TrainedSettings` if it is trained.
        build: returns the LLM with what the method puts on it, and the template of its prompts.
        published: the paper's (AUC, UAUC) by row of the table and data set (Table 2).
        on_vectors: whether it builds on step 1's adapter and a collaborative method's vectors.
    """

    title: str
    settings: type[Section]
    build: Callable[[Inputs, Any], "tuple[Llm, Template]"]
    published: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    on_vectors: bool = False


@dataclass(frozen=True)
class MethodSettings:
    """All of `params.yaml` that shapes one method.

    Attributes:
        own: the method's own part.
        protocol: what all methods have in common.
        training: what the trained ones have in common; None for others.
        lora: a new adapter's settings, those of BinLLM's; None where there is none.
        scoring: which test rows are scored, and how.
    """

    own: Any
    protocol: Shared
    training: Training | None
    lora: Lora | None
    scoring: Scoring

    def key(self) -> dict[str, Any]:
        """Returns all values that shape the method's row, by part."""
        parts = {name: part.model_dump() for name, part in vars(self).items() if part is not None}
        if self.training is None:
            del parts["protocol"]["valid_rows"]  # they choose among states of a training
        return parts


def method_settings(name: str, method: LlmMethod) -> MethodSettings:
    """Reads what a method needs and nothing else: bad values of others do not stop it.

    Raises:
        InputError: a value is not allowed.
    """
    own = load_section(method.settings, f"compare_llm.{name}")
    trained = isinstance(own, TrainedSettings)
    with_adapter = getattr(own, "lora", False)
    return MethodSettings(
        own,
        load_section(Shared, "compare_llm.protocol"),
        load_section(Training, "compare_llm.training") if trained else None,
        load_section(Lora, "train_lora.lora") if with_adapter else None,
        load_section(Scoring, "predict"),
    )


def inputs_of(settings: MethodSettings, vectors: str | None, seed: int) -> Inputs:
    """Returns what a method builds on, in the working folder."""
    path = fitted_tensors(vectors) if vectors else None
    return Inputs(settings.scoring.precision, settings.lora, seed, path)
