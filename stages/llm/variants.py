"""Variants of BinLLM: rows of the table that are an adapter of their own, under `variants`.

A variant is the section `train_lora`, less what it changes, on one set of prompts. Two that a run
has anyway are `text`, step 1 on titles, and `codes`, step 2, which goes on from it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.io.errors import InputError
from stages.io.params import Section, known_entry, load_section, load_shared
from stages.io.paths import adapter_folder
from stages.io.seeds import derived_seed
from stages.llm.params import TrainLora
from stages.prompts.settings import Shown, prompt_settings, short_table

_ADAPTERS = "adapters/"


class VariantEntry(Section):
    """A variant: an entry of `variants` in `params.yaml`.

    Attributes:
        prompts: its set of prompts.
        start: `llm` to put a new adapter on the LLM, or `adapters/` and the name of the variant
            whose adapter to go on from, unless `train_lora.tuning` is intuitive.
        changes: values in place of those of `train_lora`.
        seed: root seed of its training; None for the run's. Prompts and test rows stay the run's.
    """

    prompts: str
    start: str = Field(pattern=r"^(llm|adapters/[a-z0-9_]+)$")
    changes: dict[str, Any] = Field(default={})
    seed: int | None = Field(default=None, ge=0)

    @property
    def goes_on_from(self) -> str | None:
        """The variant whose adapter it starts from; None for a new one."""
        after = self.start.removeprefix(_ADAPTERS)
        return None if after == self.start else after


@dataclass(frozen=True)
class TrainingSettings:
    """All that shapes a variant's adapter beside prompts and LLM.

    Attributes:
        prompts: its set of prompts.
        shown: the fields that these prompts hold.
        start: adapter to go on from; None for a new one.
        section: how it is trained.
        seed: of rows drawn, their order, dropout and a new adapter's initial values; the same for
            all variants with codes, so that they meet the same rows in the same order.
    """

    prompts: str
    shown: tuple[Shown, ...]
    start: Path | None
    section: TrainLora
    seed: int

    @property
    def has_codes(self) -> bool:
        """Whether the prompts hold codes."""
        return "codes" in self.shown

    def phases(self) -> dict[str, int | None]:
        """Returns the tables of prompts to train on, in turn, and how many rows of each."""
        rows, short = self.section.train_rows, short_table(self.shown)
        first, whole = (
            (rows.ids_first, rows.codes) if self.has_codes else (rows.titles_first, rows.text)
        )
        return {"train": whole} if short is None or first == 0 else {short: first, "train": whole}

    def key(self) -> dict[str, Any]:
        """Returns what makes this adapter another: no key that shapes other variants only."""
        unused = {"tuning", "train_rows"} | ({"lora"} if self.start else set())
        unused |= {"order"} if len(self.phases()) == 1 else set()
        return {
            **self.section.model_dump(exclude=unused),
            "rows": self.phases(),
            "prompts": self.prompts,
            "start": self.start.as_posix() if self.start else None,
            "seed": self.seed,
        }


def variant_entry(name: str) -> VariantEntry:
    """Returns a variant's entry.

    Raises:
        InputError: there is no such variant, or a value is not allowed.
    """
    known_entry("variants", name)
    return load_section(VariantEntry, f"variants.{name}")


def training_settings(name: str) -> TrainingSettings:
    """Returns what shapes a variant's adapter.

    Raises:
        InputError: there is no such variant, a value is not allowed, or one would have no effect.
    """
    entry = variant_entry(name)
    section = load_section(
        TrainLora, "train_lora", changes=entry.changes, changed_in=f"variants.{name}.changes"
    )
    shown = prompt_settings(entry.prompts).shown
    start, before = None, entry.goes_on_from
    if before is not None:
        known_entry("variants", before)
        start = adapter_folder(before) if section.tuning == "two_step" else None
    if start is not None and "lora" in entry.changes:
        raise InputError(
            f"params.yaml: variants.{name}.changes.lora: it goes on from the adapter of "
            f"{entry.start}, whose shape is given; expected lora there, or start: llm"
        )
    stream = "train_lora codes" if "codes" in shown else "train_lora text"
    root = load_shared("seed") if entry.seed is None else entry.seed
    return TrainingSettings(entry.prompts, shown, start, section, derived_seed(root, stream))
