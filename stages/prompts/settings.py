"""What stands in the prompts: `materialize_prompts`, and the sets of prompts under `prompts`.

A set of prompts is the section, less what the set changes. Two sets that a run has anyway are
`text`, titles alone, and `codes`, which adds like-rates and codes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field

from stages.io.errors import InputError
from stages.io.params import Section, known_entry, load_section, load_shared
from stages.io.paths import codes_folder
from stages.prompts.codes import Form
from stages.prompts.text import ITEM_PLACES, USER_PLACES, WORDING, place_of

CODES = "codes/"
# What a prompt may show, in the order in which it stands there.
Shown = Literal["titles", "rates", "codes", "history_codes"]
# Where each of them stands in the wording.
PLACES: dict[Shown, tuple[str, ...]] = {
    "titles": ("history", "title"),
    "rates": ("user_rate", "item_rate"),
    "codes": ("user_code", "item_code"),
    "history_codes": ("history",),
}
# Tables that hold the train rows once more, in few tokens each: tuning may begin with them.
ShortTable = Literal["train_titles", "train_ids"]


def _each_once(fields: list[Shown]) -> list[Shown]:
    twice = [field for field in fields if fields.count(field) > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice")
    if "history_codes" in fields and "codes" not in fields:
        raise ValueError("'history_codes' stand beside 'codes', which are missing")
    return fields


def _with_places(parts: list[str] | None) -> list[str] | None:
    """Refuses a wording that names a field twice or not at all, or does not end in a question."""
    if parts is None:
        return None
    if not parts:
        raise ValueError("expected parts, or null")
    places = [place_of(part) for part in parts]
    named = [place for place in places if place is not None]
    for place in (*USER_PLACES, *ITEM_PLACES):
        if named.count(place) != 1:
            raise ValueError(f"{{{place}}} stands there {named.count(place)} times, expected once")
    if places[-1] is not None or not parts[-1].startswith("\n"):
        raise ValueError("the last part is the question: expected a line of its own, without field")
    return parts


class MaterializePrompts(Section):
    """What stands in a prompt: section `materialize_prompts`; each key is explained there."""

    max_titles: int = Field(ge=0)
    max_tokens: int | None = Field(ge=16)
    fields: Annotated[list[Shown], Field(min_length=1), AfterValidator(_each_once)]
    rate_c: float = Field(ge=1e-6)
    rate_title_weight: float = Field(ge=0)
    rate_levels: Literal[9, 27]
    rate_folds: int = Field(ge=2, le=100)
    untrained_codes: Literal["learned", "word"]
    bits: Literal["words", "digits"]
    wording: Annotated[list[str] | None, AfterValidator(_with_places)]
    flip_bits: float = Field(ge=0, le=0.5)


class PromptsEntry(Section):
    """A set of prompts: an entry of `prompts` in `params.yaml`.

    Attributes:
        content: `interactions`, which has no codes, or `codes/` and the name of a set of codes.
        changes: values in place of those of `materialize_prompts` and of `compress`.
    """

    content: str = Field(pattern=r"^(interactions|codes/[a-z0-9_]+)$")
    changes: dict[str, Any] = Field(default={})


@dataclass(frozen=True)
class PromptSettings:
    """All that shapes one set of prompts beside the data.

    Attributes:
        codes: the set of codes in the prompts, which teaches their rows; None where the prompts
            have none, and items' like-rates teach.
        section: titles, length, fields, rates and noise.
        seed: the root seed, of the folds of train rows and of the noise in their codes.
        compress: codes in dot-decimal form; None where there are none.
    """

    codes: str | None
    section: MaterializePrompts
    seed: int
    compress: bool | None = None

    @property
    def codes_folder(self) -> Path | None:
        """Where the tables of codes lie; None where there are none."""
        return codes_folder(self.codes) if self.codes else None

    @property
    def form(self) -> Form:
        """How codes are written."""
        return "dotted" if self.compress else self.section.bits

    @property
    def shown(self) -> tuple[Shown, ...]:
        """The fields that these prompts hold, in their order there."""
        asked = self.section.fields
        of_codes = ("codes", "history_codes")
        able = [f for f in get_args(Shown) if f not in of_codes or self.codes is not None]
        return tuple(field for field in able if field in asked)

    @property
    def wording(self) -> tuple[str, ...]:
        """The parts of a prompt, those that have nothing to show left out."""
        shown = {place for field in self.shown for place in PLACES[field]} | {None}
        return tuple(part for part in self.section.wording or WORDING if place_of(part) in shown)

    @property
    def shows_rates(self) -> bool:
        """Whether like-rates stand in the prompts."""
        return "rates" in self.shown

    @property
    def counts_rates(self) -> bool:
        """Whether like-rates stand in the prompts or teach their rows."""
        return self.shows_rates or self.codes is None

    def key(self) -> dict[str, Any]:
        """Returns what makes these prompts others: no key that shapes other prompts only."""
        section = self.section.model_dump()
        used = ["max_tokens"]
        used += ["max_titles"] if "titles" in self.shown else []
        used += ["rate_c", "rate_title_weight", "rate_folds"] if self.counts_rates else []
        key = {"fields": list(self.shown), **{name: section[name] for name in used}}
        if self.shows_rates:
            key["rate_levels"] = section["rate_levels"]
        if self.section.wording is not None:
            key["wording"] = list(self.wording)
        if "codes" in self.shown:
            key |= {name: section[name] for name in ("untrained_codes", "flip_bits")}
            key["form"] = self.form
        return key | ({"seed": self.seed} if self.counts_rates or key.get("flip_bits") else {})


def short_table(shown: Collection[Shown]) -> ShortTable | None:
    """Returns which table of short train rows prompts with these fields have.

    Those with codes have their rows without titles, `train_ids`; others without history,
    `train_titles`, if they show titles at all.
    """
    if "codes" in shown:
        return "train_ids"
    return "train_titles" if "titles" in shown else None


def prompt_settings(name: str) -> PromptSettings:
    """Returns what shapes a set of prompts.

    Raises:
        InputError: there is no such set, a value is not allowed or would have no effect, or nothing
            is left to show.
    """
    known_entry("prompts", name)
    chosen = load_section(PromptsEntry, f"prompts.{name}")
    changes = dict(chosen.changes)
    compress = changes.pop("compress", None)
    section = load_section(
        MaterializePrompts,
        "materialize_prompts",
        changes=changes,
        changed_in=f"prompts.{name}.changes",
    )
    if not isinstance(compress, bool | None):
        raise InputError(
            f"params.yaml: prompts.{name}.changes.compress = {compress!r}: expected true or false"
        )
    seed = load_shared("seed")
    if not chosen.content.startswith(CODES):
        if compress is not None:
            raise InputError(
                f"params.yaml: prompts.{name}.changes.compress: prompts of interactions hold no "
                "codes; expected no such key"
            )
        settings = PromptSettings(None, section, seed)
        if not settings.shown:
            raise InputError(
                f"params.yaml: prompts.{name}: of fields {section.fields} prompts of interactions "
                "have none; expected titles or rates among them"
            )
        return settings
    codes = chosen.content.removeprefix(CODES)
    known_entry("codes", codes)
    if compress is None:
        compress = load_shared("compress")
    return PromptSettings(codes, section, seed, compress)
