"""What goes into the prompts: titles, like-rates, codes, read from the tables of earlier stages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.tables import (
    INTERACTIONS,
    ITEM_CODES,
    ITEMS,
    ROW_CODES,
    SPLITS,
    TEACHER,
    USER_CODES,
    read_table,
)
from stages.prompts.codes import READ, WRITTEN, Form
from stages.prompts.main_effects import (
    AVERAGE,
    MainEffects,
    fit_main_effects,
    levels,
    title_words,
)
from stages.prompts.settings import MaterializePrompts, PromptSettings
from stages.prompts.text import UNKNOWN, WORDING, Row, code_texts


class Flips:
    """Noise in codes: each bit flipped with the same probability.

    Codes were fitted on the very train rows that the LLM then trains on, so they tell these rows'
    labels better than those of new rows, and the LLM learns to trust them too much (BinLLM,
    footnote 1). Noise in training is meant to take that surplus away.
    """

    def __init__(self, share: float, rng: np.random.Generator, form: Form = "digits") -> None:
        """Takes the probability of a flip, the source of the flips, and how codes are written."""
        self._share, self._rng, self._form = share, rng, form

    def __call__(self, code: str) -> str:
        """Returns a code with bits flipped; "unknown" stays as it is."""
        if code == UNKNOWN or not self._share:
            return code
        packed = READ[self._form](code)
        flipped = np.packbits(self._rng.random(len(packed) * 8) < self._share)
        return WRITTEN[self._form]((np.frombuffer(packed, np.uint8) ^ flipped).tobytes())


@dataclass(frozen=True)
class Content:
    """Titles, codes and like-rates by id.

    Attributes:
        titles: title by iid.
        with_titles: False leaves titles out (ID-only).
        max_titles: titles of liked items in a prompt, at most; None leaves them out.
        user_codes: text of the code by uid, as of now; None leaves codes out.
        row_codes: text of the user's code as of each row, by row; rows that are not in it, which
            nobody has answered yet, have the user's code as of now.
        item_codes: text of the code by iid; None leaves codes out.
        user_rates: level by uid, of users with a train row, others being average; None leaves
            rates out.
        item_rates: level by iid, likewise; None leaves rates out.
        with_history_codes: True shows the codes of liked items.
        wording: the parts of the prompts that this is for.
    """

    titles: dict[int, str]
    with_titles: bool
    max_titles: int | None
    user_codes: dict[int, str] | None = None
    item_codes: dict[int, str] | None = None
    row_codes: dict[int, str] = field(default_factory=dict)
    user_rates: dict[int, str] | None = None
    item_rates: dict[int, str] | None = None
    with_history_codes: bool = False
    wording: Sequence[str] = WORDING

    def without_titles(self) -> "Content":
        """Returns what remains where titles are left out."""
        return replace(self, with_titles=False)

    def without_history(self) -> "Content":
        """Returns what remains where the titles of liked items are left out."""
        return replace(self, max_titles=None)

    def rows(
        self,
        interactions: pa.Table,
        flips: Flips | None = None,
        rates: tuple[list[str], list[str]] | None = None,
    ) -> list[Row]:
        """Returns what each interaction's prompt is made of.

        Args:
            interactions: (n,) rows with row, uid, iid and history, those of one user together.
            flips: noise in the codes, the user's the same in all rows of one history, so that
                their prompts still share a prefix.
            rates: (n,) levels of users and (n,) of items in place of those by id, where these
                prompts show any: those of train rows are out of fold.
        """
        columns = interactions.select(["row", "uid", "iid", "history"]).to_pydict()
        user_rates, item_rates = self._rates(columns["uid"], columns["iid"], rates)
        rows = []
        moment, user_code, liked_codes = None, None, None
        each = zip(*columns.values(), user_rates, item_rates, strict=True)
        for row, uid, iid, history, user_rate, item_rate in each:
            if moment != (uid, history):
                moment, user_code = (uid, history), self._user_code(row, uid, flips)
                liked_codes = self._history_codes(history, flips)
            item_code = _code(self.item_codes, iid, flips)
            title = self.titles[iid] if self.with_titles else None
            liked = self._history(history)
            texts = liked, title, user_code, item_code, user_rate, item_rate, liked_codes
            rows.append(Row(row, *texts))
        return rows

    def _user_code(self, row: int, uid: int, flips: Flips | None) -> str | None:
        if row in self.row_codes:
            return _code(self.row_codes, row, flips)
        return _code(self.user_codes, uid, flips)

    def _history(self, history: list[int]) -> list[str] | None:
        if not self.with_titles or self.max_titles is None:
            return None
        return [self.titles[iid] for iid in self._recent(history)]

    def _history_codes(self, history: list[int], flips: Flips | None) -> list[str] | None:
        if not self.with_history_codes or self.item_codes is None:
            return None
        return [str(_code(self.item_codes, iid, flips)) for iid in self._recent(history)]

    def _recent(self, history: list[int]) -> list[int]:
        return history[max(0, len(history) - (self.max_titles or 0)) :]

    def _rates(
        self, uids: list[int], iids: list[int], given: tuple[list[str], list[str]] | None
    ) -> tuple[Sequence[str | None], Sequence[str | None]]:
        if self.user_rates is None or self.item_rates is None:
            return [None] * len(uids), [None] * len(iids)
        if given is not None:
            return given
        return (
            [self.user_rates.get(uid, str(AVERAGE)) for uid in uids],
            [self.item_rates.get(iid, str(AVERAGE)) for iid in iids],
        )


def _code(codes: dict[int, str] | None, key: int, flips: Flips | None) -> str | None:
    if codes is None:
        return None
    return flips(codes[key]) if flips else codes[key]


def read_content(
    settings: PromptSettings,
    interactions: Path,
    rows: NDArray | None = None,
    effects: MainEffects | None = None,
) -> Content:
    """Reads what a set of prompts shows.

    Args:
        settings: of the set.
        interactions: folder with the tables of items and of train rows.
        rows: numbers of the rows that it is for; None for all.
        effects: those of all train rows; None to fit them here, where rates are shown.

    Raises:
        InputError: a table is missing, or the codes are those of other items.
    """
    section, fields = settings.section, settings.shown
    content = Content(
        read_titles(interactions),
        "titles" in fields,
        section.max_titles,
        with_history_codes="history_codes" in fields,
        wording=settings.wording,
    )
    if "rates" in fields:
        train = read_table(interactions / "train.parquet", INTERACTIONS, ["uid", "iid", "label"])
        users, items = rates_by_id(train, content.titles, section, effects)
        content = replace(content, user_rates=users, item_rates=items)
    if settings.codes_folder is None or "codes" not in fields:
        return content
    form, untrained = settings.form, section.untrained_codes
    folder = settings.codes_folder
    user_codes, item_codes = read_codes(folder, form=form, untrained=untrained)
    unknown = {uid for uid, text in user_codes.items() if text == UNKNOWN}
    row_codes = read_row_codes(folder, interactions, form=form, unknown=unknown, rows=rows)
    if item_codes.keys() != content.titles.keys():
        raise InputError(
            f"{settings.codes_folder}: codes of other items than in {interactions}; run `dvc repro`"
        )
    return replace(content, user_codes=user_codes, item_codes=item_codes, row_codes=row_codes)


def rates_by_id(
    train: pa.Table,
    titles: dict[int, str],
    section: MaterializePrompts,
    effects: MainEffects | None = None,
) -> tuple[dict[int, str], dict[int, str]]:
    """Returns levels by uid, of users with a train row, and by iid, of all items.

    Args:
        train: rows with uid, iid and label, all of which count.
        titles: by iid, from 1.
        section: how effects are fitted.
        effects: what a fit to these rows has found already; None to fit.
    """
    users, items, labels = (train[name].to_numpy() for name in ("uid", "iid", "label"))
    if effects is None:
        effects = fit_main_effects(
            users,
            items,
            labels,
            n_users=int(users.max(initial=0)),
            n_items=len(titles),
            c=section.rate_c,
            words=title_words([*titles.values()], section.rate_title_weight),
        )
    known = np.unique(users)
    kindness = levels(effects.users[known], section.rate_levels)
    appeal = levels(effects.items[[*titles]], section.rate_levels)
    return dict(zip(known.tolist(), kindness, strict=True)), dict(zip(titles, appeal, strict=True))


def read_teacher(folder: Path, rows: NDArray) -> NDArray[np.float32]:
    """Reads how likely a like is by a set of codes.

    Args:
        folder: of the codes.
        rows: (n,) numbers of interactions.

    Returns:
        (n,) probabilities.

    Raises:
        InputError: the table is missing, lacks one of the rows, or holds no probability there.
    """
    path = folder / "teacher.parquet"
    table = read_table(path, TEACHER).to_pandas().drop_duplicates("row")
    found = table.set_index("row")["probability"].reindex(rows).to_numpy()
    missing = rows[~((found >= 0) & (found <= 1))]  # NaN where there is no such row
    if len(missing):
        raise InputError(
            f"{path}: row {missing[0]} has no probability from 0 to 1, expected one for each "
            "train and validation row; run `dvc repro`"
        )
    return found.astype(np.float32)


def read_titles(interactions: Path) -> dict[int, str]:
    """Returns each item's title by iid."""
    items = read_table(interactions / "items.parquet", ITEMS, ["iid", "title"]).to_pydict()
    return dict(zip(items["iid"], items["title"], strict=True))


def read_row_codes(
    folder: Path,
    interactions: Path,
    *,
    form: Form,
    unknown: Collection[int],
    rows: NDArray | None = None,
) -> dict[int, str]:
    """Returns the text of users' codes as of each row, by row.

    Args:
        folder: of the codes.
        interactions: folder of the rows.
        form: how codes are written.
        unknown: users in whose place the word "unknown" stands.
        rows: numbers of the rows that are wanted; None for all.
    """
    table = read_table(folder / "rows.parquet", ROW_CODES)
    if rows is not None:
        table = table.filter(pc.is_in(table["row"], pa.array(rows)))
    columns = table.to_pydict()
    texts = {row: WRITTEN[form](code) for row, code in zip(*columns.values(), strict=True)}
    if unknown:
        for split in SPLITS:
            known = read_table(interactions / f"{split}.parquet", INTERACTIONS, ["row", "uid"])
            pairs = zip(*known.to_pydict().values(), strict=True)
            texts |= {row: UNKNOWN for row, uid in pairs if uid in unknown}
    return texts


def read_codes(
    folder: Path, *, form: Form, untrained: str
) -> tuple[dict[int, str], dict[int, str]]:
    """Returns the codes' text by uid and by iid; see `code_texts`."""
    users = read_table(folder / "users.parquet", USER_CODES).to_pydict()
    items = read_table(folder / "items.parquet", ITEM_CODES).to_pydict()
    return (
        code_texts(users, "uid", form=form, untrained=untrained),
        code_texts(items, "iid", form=form, untrained=untrained),
    )
