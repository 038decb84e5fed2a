"""What goes into the prompts: titles and codes, read from the tables of earlier stages."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stages.common.tables import (
    ITEM_CODES,
    ITEMS,
    USER_CODES,
    read_table,
)
from stages.materialize_prompts.prompts import Built, Row, code_texts


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


def prompt_table(interactions: pa.Table, built: Built) -> pa.Table:
    """Returns the prompts beside their interactions' keys (schema PROMPTS)."""
    return pa.table(
        {
            **{name: interactions[name] for name in ("row", "uid", "iid", "label")},
            "prefix": [prompt.prefix for prompt in built.prompts],
            "suffix": [prompt.suffix for prompt in built.prompts],
            "n_tokens": built.n_tokens,
        }
    )


def summary(built: Built) -> dict[str, float]:
    """Returns counts for the metrics: prompts, tokens, and what was shortened."""
    lengths = built.n_tokens
    return {
        "prompts": len(lengths),
        "mean_tokens": round(sum(lengths) / max(1, len(lengths)), 2),
        "max_tokens": max(lengths, default=0),
        "shortened": built.shortened,
        "titles_dropped": built.titles_dropped,
    }
