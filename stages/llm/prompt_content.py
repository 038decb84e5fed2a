"""What goes into the prompts: titles and codes, read from the tables of earlier stages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field

from stages.common.errors import InputError
from stages.common.params import Section, load_shared
from stages.common.tables import ITEM_CODES, ITEMS, USER_CODES, read_table
from stages.llm.prompt_text import Row, code_texts

Kind = Literal["text", "codes"]


class MaterializePrompts(Section):
    """What stands in a prompt: section `materialize_prompts`; each key is explained there."""

    max_titles: int = Field(ge=0)
    max_tokens: int | None = Field(ge=16)
    fields: Literal["text+codes", "codes"]
    untrained_codes: Literal["learned", "word"]


@dataclass(frozen=True)
class Content:
    """Titles and codes by id.

    Attributes:
        titles: title by iid.
        with_titles: False leaves titles out (ID-only).
        max_titles: titles of liked items in a prompt, at most.
        user_codes: text of the code by uid; None in text-only prompts.
        item_codes: text of the code by iid; None in text-only prompts.
    """

    titles: dict[int, str]
    with_titles: bool
    max_titles: int
    user_codes: dict[int, str] | None = None
    item_codes: dict[int, str] | None = None

    def rows(self, interactions: pa.Table) -> list[Row]:
        """Returns what each interaction's prompt is made of."""
        columns = interactions.select(["row", "uid", "iid", "history"]).to_pydict()
        return [
            Row(
                row,
                self._history(history) if self.with_titles else None,
                self.titles[iid],
                self.user_codes[uid] if self.user_codes else None,
                self.item_codes[iid] if self.item_codes else None,
            )
            for row, uid, iid, history in zip(*columns.values(), strict=True)
        ]

    def _history(self, history: list[int]) -> list[str]:
        return [self.titles[iid] for iid in history[max(0, len(history) - self.max_titles) :]]


def read_content(
    kind: Kind, params: MaterializePrompts, *, interactions: Path, codes: Path
) -> Content:
    """Reads what prompts of one kind show; looks at no key that shapes the other kind only.

    Args:
        kind: with codes or without.
        params: what stands in a prompt.
        interactions: folder with the table of items.
        codes: folder with the tables of codes; not read for `text`.

    Raises:
        InputError: a table is missing, or the codes are those of other items.
    """
    titles = read_titles(interactions)
    if kind == "text":
        return Content(titles, True, params.max_titles)
    user_codes, item_codes = read_codes(
        codes, compress=load_shared("compress"), untrained=params.untrained_codes
    )
    if item_codes.keys() != titles.keys():
        raise InputError(f"{codes}: codes of other items than in {interactions}; run `dvc repro`")
    return Content(titles, params.fields != "codes", params.max_titles, user_codes, item_codes)


def read_titles(interactions: Path) -> dict[int, str]:
    """Returns each item's title by iid."""
    items = read_table(interactions / "items.parquet", ITEMS, ["iid", "title"]).to_pydict()
    return dict(zip(items["iid"], items["title"], strict=True))


def read_codes(
    folder: Path, *, compress: bool, untrained: str
) -> tuple[dict[int, str], dict[int, str]]:
    """Returns the codes' text by uid and by iid; see `code_texts`."""
    users = read_table(folder / "users.parquet", USER_CODES).to_pydict()
    items = read_table(folder / "items.parquet", ITEM_CODES).to_pydict()
    return (
        code_texts(users, "uid", compress=compress, untrained=untrained),
        code_texts(items, "iid", compress=compress, untrained=untrained),
    )
