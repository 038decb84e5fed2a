"""What stands in the prompts: `materialize_prompts`, and the sets of prompts under `prompts`.

A set of prompts is the section, less what the set changes. Two sets that a run has anyway are
`text`, titles alone, and `codes`, titles and codes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.io.errors import InputError
from stages.io.params import Section, known_entry, load_section, load_shared
from stages.io.paths import codes_folder

CODES = "codes/"


class MaterializePrompts(Section):
    """What stands in a prompt: section `materialize_prompts`; each key is explained there."""

    max_titles: int = Field(ge=0)
    max_tokens: int | None = Field(ge=16)
    fields: Literal["text+codes", "codes"]
    untrained_codes: Literal["learned", "word"]
    flip_bits: float = Field(ge=0, le=0.5)


class PromptsEntry(Section):
    """A set of prompts: an entry of `prompts` in `params.yaml`.

    Attributes:
        content: `interactions` for titles alone, or `codes/` and the name of a set of codes.
        changes: values in place of those of `materialize_prompts` and of `compress`.
    """

    content: str = Field(pattern=r"^(interactions|codes/[a-z0-9_]+)$")
    changes: dict[str, Any] = Field(default={})


@dataclass(frozen=True)
class PromptSettings:
    """All that shapes one set of prompts beside the data.

    Attributes:
        codes: the set of codes in the prompts; None where there are none.
        section: titles, length, fields and noise.
        compress: codes in dot-decimal form; None where there are none.
        seed: the root seed, of the noise in the codes of train prompts; None where there are none.
    """

    codes: str | None
    section: MaterializePrompts
    compress: bool | None = None
    seed: int | None = None

    @property
    def codes_folder(self) -> Path | None:
        """Where the tables of codes lie; None where there are none."""
        return codes_folder(self.codes) if self.codes else None

    def key(self) -> dict[str, Any]:
        """Returns what makes these prompts others: no key that shapes prompts with codes only."""
        section = self.section.model_dump()
        if self.codes is None:
            return {name: section[name] for name in ("max_titles", "max_tokens")}
        return {**section, "compress": self.compress, "seed": self.seed}


def prompt_settings(name: str) -> PromptSettings:
    """Returns what shapes a set of prompts.

    Raises:
        InputError: there is no such set, or a value is not allowed.
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
    if not chosen.content.startswith(CODES):
        return PromptSettings(None, section)
    codes = chosen.content.removeprefix(CODES)
    known_entry("codes", codes)
    if compress is None:
        compress = load_shared("compress")
    elif not isinstance(compress, bool):
        raise InputError(
            f"params.yaml: prompts.{name}.changes.compress = {compress!r}: expected true or false"
        )
    return PromptSettings(codes, section, compress, load_shared("seed"))
