"""What goes into the prompts: titles and codes, read from the tables of earlier stages."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.io.errors import InputError
from stages.io.tables import ITEM_CODES, ITEMS, USER_CODES, read_table
from stages.prompts.codes import BITS_PER_NUMBER, from_dotted, pack, to_dotted, unpack
from stages.prompts.settings import PromptSettings
from stages.prompts.text import UNKNOWN, Row, code_texts


class Flips:
    """Noise in codes: each bit flipped with the same probability.

    Codes were fitted on the very train rows that the LLM then trains on, so they tell these rows'
    labels better than those of new rows, and the LLM learns to trust them too much (BinLLM,
    footnote 1). Noise in training is meant to take that surplus away.
    """

    def __init__(self, share: float, rng: np.random.Generator) -> None:
        """Takes the probability of a flip, and the source of the flips."""
        self._share, self._rng = share, rng

    def __call__(self, code: str) -> str:
        """Returns a code, as bits or dot-decimal, with bits flipped; "unknown" stays as it is."""
        if code == UNKNOWN or not self._share:
            return code
        dotted = bool(code.strip("01")) or len(code) < BITS_PER_NUMBER
        packed = from_dotted(code) if dotted else pack(code)
        flipped = np.packbits(self._rng.random(len(packed) * 8) < self._share)
        noisy = (np.frombuffer(packed, np.uint8) ^ flipped).tobytes()
        return to_dotted(noisy) if dotted else unpack(noisy)


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

    def rows(self, interactions: pa.Table, flips: Flips | None = None) -> list[Row]:
        """Returns what each interaction's prompt is made of.

        Args:
            interactions: rows with row, uid, iid and history, those of one user together.
            flips: noise in the codes, the user's the same in all rows of one history, so that
                their prompts still share a prefix.
        """
        columns = interactions.select(["row", "uid", "iid", "history"]).to_pydict()
        rows = []
        moment, user_code = None, None
        for row, uid, iid, history in zip(*columns.values(), strict=True):
            if moment != (uid, history):
                moment, user_code = (uid, history), _code(self.user_codes, uid, flips)
            item_code = _code(self.item_codes, iid, flips)
            liked = self._history(history) if self.with_titles else None
            rows.append(Row(row, liked, self.titles[iid], user_code, item_code))
        return rows

    def _history(self, history: list[int]) -> list[str]:
        return [self.titles[iid] for iid in history[max(0, len(history) - self.max_titles) :]]


def _code(codes: dict[int, str] | None, key: int, flips: Flips | None) -> str | None:
    if codes is None:
        return None
    return flips(codes[key]) if flips else codes[key]


def read_content(settings: PromptSettings, interactions: Path) -> Content:
    """Reads what a set of prompts shows.

    Args:
        settings: of the set.
        interactions: folder with the table of items.

    Raises:
        InputError: a table is missing, or the codes are those of other items.
    """
    titles, section = read_titles(interactions), settings.section
    if settings.codes_folder is None:
        return Content(titles, True, section.max_titles)
    user_codes, item_codes = read_codes(
        settings.codes_folder,
        compress=bool(settings.compress),
        untrained=section.untrained_codes,
    )
    if item_codes.keys() != titles.keys():
        raise InputError(
            f"{settings.codes_folder}: codes of other items than in {interactions}; run `dvc repro`"
        )
    return Content(titles, section.fields != "codes", section.max_titles, user_codes, item_codes)


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
