"""Writes interactions as tables of prompts, with counts of what was written."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from stages.io.outputs import replacing
from stages.io.progress import Progress
from stages.io.seeds import generator
from stages.io.tables import INTERACTIONS, PROMPTS, SPLITS, read_table, write_table
from stages.prompts.content import Content, Flips, read_content, read_teacher, read_titles
from stages.prompts.main_effects import FoldedEffects, fit_out_of_fold, levels, title_words
from stages.prompts.settings import PromptSettings, short_table
from stages.prompts.text import BuiltPrompts, Row, build_prompts
from stages.prompts.tokenizer import load_tokenizer, prompt_limit

UNTAUGHT = 0.5  # stands for the teacher of test rows, of which none must know anything


def write_prompts(
    settings: PromptSettings, folder: Path, *, interactions: Path, llm: Path, title: str
) -> dict[str, Any]:
    """Writes every row of the three splits as a prompt, the folder whole or not at all.

    Train rows stand there once more in few tokens, with which tuning may begin: see `short_table`.

    Args:
        settings: what stands in a prompt.
        folder: where the tables go.
        interactions: folder of the interactions.
        llm: the LLM, for its tokenizer and its limit.
        title: what the progress line says.

    Returns:
        Counts by table.

    Raises:
        InputError: a table is missing, or a prompt is too long even without history.
    """
    tokenizer, limit = load_tokenizer(llm), prompt_limit(llm, settings.section.max_tokens)
    rows = {split: read_table(interactions / f"{split}.parquet", INTERACTIONS) for split in SPLITS}
    titles = read_titles(interactions)
    rates = train_rates(settings, rows, titles) if settings.counts_rates else None
    content = read_content(settings, interactions, effects=rates.of_all if rates else None)
    teachers = teachers_of(settings, rows, rates)
    tables: dict[str, tuple[str, Content]] = {split: (split, content) for split in SPLITS}
    short = short_table(settings.shown)
    if short == "train_ids":
        tables[short] = ("train", content.without_titles())
    elif short == "train_titles":
        tables[short] = ("train", content.without_history())
    flips = Flips(settings.section.flip_bits, generator(settings.seed, "flip_bits"), settings.form)
    statistics = {}
    with replacing(folder) as partial:
        for name, (split, shown) in tables.items():
            progress = Progress(f"{title} {name}", len(rows[split]))
            texts = texts_of(shown, rows[split], split, flips, rates, settings.section.rate_levels)
            built = build_prompts(texts, tokenizer, limit, progress, shown.wording)
            progress.close(f"{built.shortened} shortened")
            table = prompt_table(rows[split], built, teachers[split])
            write_table(table, partial / f"{name}.parquet", PROMPTS)
            statistics[name] = summary(built)
    return statistics


def train_rates(
    settings: PromptSettings, rows: dict[str, pa.Table], titles: dict[int, str]
) -> FoldedEffects:
    """Fits main effects to the train rows, for prompts and as a teacher."""
    section = settings.section
    return fit_out_of_fold(
        rows["train"],
        n_users=max(int(part["uid"].to_numpy().max(initial=0)) for part in rows.values()),
        n_items=len(titles),
        c=section.rate_c,
        words=title_words([*titles.values()], section.rate_title_weight),
        folds=section.rate_folds,
        rng=generator(settings.seed, "rate_folds"),
    )


def texts_of(
    content: Content,
    rows: pa.Table,
    split: str,
    flips: Flips,
    rates: FoldedEffects | None,
    rate_levels: int,
) -> list[Row]:
    """Returns what the prompts of a split are made of.

    Train rows alone have noise in their codes, and levels that leave their fold out.
    """
    if split != "train":
        return content.rows(rows)
    if rates is None:
        return content.rows(rows, flips)
    of_train = levels(rates.users, rate_levels), levels(rates.items, rate_levels)
    return content.rows(rows, flips, of_train)


def teachers_of(
    settings: PromptSettings, rows: dict[str, pa.Table], rates: FoldedEffects | None
) -> dict[str, NDArray[np.float32]]:
    """Returns how likely a like is by the rows' teacher, by split.

    Codes teach the prompts of their set; elsewhere the item's effect does, and the user's where
    rates are shown, which for train rows leave their fold out. Nothing teaches test rows.
    """
    found = {"test": np.full(len(rows["test"]), UNTAUGHT, np.float32)}
    for split in ("train", "valid"):
        if settings.codes_folder is not None:
            found[split] = read_teacher(settings.codes_folder, rows[split]["row"].to_numpy())
        elif rates is not None:
            likely = expit(_effects(rates, rows[split], split, of_user=settings.shows_rates))
            found[split] = likely.astype(np.float32)
    return found


def _effects(
    rates: FoldedEffects, rows: pa.Table, split: str, *, of_user: bool
) -> NDArray[np.float64]:
    """Returns (n,) log-odds of a like by item, and by user if `of_user`, else by who is average."""
    if split == "train":
        return rates.intercepts + rates.items + of_user * rates.users
    whole = rates.of_all
    users, items = (rows[key].to_numpy() for key in ("uid", "iid"))
    return whole.intercept + whole.items[items] + of_user * whole.users[users]


def prompt_table(
    interactions: pa.Table, built: BuiltPrompts, teacher: NDArray[np.float32]
) -> pa.Table:
    """Returns the prompts beside their interactions' keys (schema PROMPTS)."""
    return pa.table(
        {
            **{name: interactions[name] for name in ("row", "uid", "iid", "label")},
            "teacher": teacher,
            "prefix": [prompt.prefix for prompt in built.prompts],
            "suffix": [prompt.suffix for prompt in built.prompts],
            "n_tokens": built.n_tokens,
        }
    )


def summary(built: BuiltPrompts) -> dict[str, float]:
    """Returns counts for the metrics: prompts, tokens, and what was shortened."""
    lengths = built.n_tokens
    return {
        "prompts": len(lengths),
        "mean_tokens": round(sum(lengths) / max(1, len(lengths)), 2),
        "max_tokens": max(lengths, default=0),
        "shortened": built.shortened,
        "titles_dropped": built.titles_dropped,
    }
