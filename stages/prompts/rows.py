"""Prompt tables as the LLM's code reads them, whole or as a seeded sample."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.tables import PROMPTS, read_table
from stages.prompts.tokenizer import RESERVED

# Rows of one group in training, at most: a step shall see several users.
TRAINING_GROUP_ROWS = 4


@dataclass(frozen=True)
class PromptRows:
    """Prompts with what is needed to train on and to score them.

    Attributes:
        keys: row, uid, iid and label of each prompt.
        prompts: (n,) whole prompts.
        prefixes: (n,) what prompts of one user and history share, the user included.
        n_tokens: (n,) length of each whole prompt.
        teacher: (n,) how likely a like is by what teaches the row.
    """

    keys: pa.Table
    prompts: list[str]
    prefixes: list[str]
    n_tokens: NDArray[np.int32]
    teacher: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int8]:
        """(n,) 0 or 1."""
        return self.keys["label"].to_numpy()


# From a row's uid, iid, prefix and suffix to the prefix and suffix that the LLM reads.
Template = Callable[[int, int, str, str], tuple[str, str]]


def read_prompts(
    path: Path, chosen: NDArray[np.bool_] | None = None, template: Template | None = None
) -> PromptRows:
    """Reads a prompt table.

    Args:
        path: the table.
        chosen: (n,) true for the rows to read; all by default.
        template: what is made of prefix and suffix; nothing by default. `n_tokens` stays that of
            the table.

    Raises:
        InputError: the table is missing, of another schema, or empty.
    """
    table = read_table(path, PROMPTS)
    if chosen is not None:
        table = table.filter(pa.array(chosen))
    if not len(table):
        raise InputError(f"{path}: no rows; expected at least one prompt")
    for place, name in enumerate(table.column_names):
        if name in ("prefix", "suffix"):
            # Only a template marks soft tokens; what a title holds is text.
            text = pc.replace_substring_regex(table[name], f"[{RESERVED}]", "")
            table = table.set_column(place, name, text)
    columns = table.select(["uid", "iid", "prefix", "suffix"]).to_pydict()
    parts = list(zip(columns["prefix"], columns["suffix"], strict=True))
    if template is not None:
        parts = [template(*row) for row in zip(*columns.values(), strict=True)]
    prefixes = [f"{uid} {p}" for uid, (p, _) in zip(columns["uid"], parts, strict=True)]
    prompts = [p + s for p, s in parts]
    return PromptRows(
        table.select(["row", "uid", "iid", "label"]),
        prompts,
        prefixes,
        table["n_tokens"].to_numpy(),
        table["teacher"].to_numpy(),
    )


def sample_groups(
    path: Path, rows: int | None, by: Literal["user", "prefix", "row"], rng: np.random.Generator
) -> NDArray:
    """Draws groups of rows at random until there are at least `rows`.

    Args:
        path: a prompt table.
        rows: how many rows at least; None or more than there are takes all.
        by: `user`, for metrics that need whole users, or `prefix`, whose rows share most of their
            tokens, so that more rows are had for the same work, or single rows by `row`.
        rng: source of the draw; an equal one draws the same users from the text as from the codes.

    Returns:
        (n,) true for the rows drawn.
    """
    table = read_table(path, PROMPTS, ["row", "uid", "prefix"]).to_pandas()
    if rows is None or rows >= len(table):
        return np.ones(len(table), dtype=bool)
    keys = {"user": ["uid"], "prefix": ["uid", "prefix"], "row": ["row"]}[by]
    if by == "prefix":
        # ID-only prompts share one prefix for all rows of a user: few users would be all one gets.
        # Rows without a prefix share nothing.
        size = np.where(table["prefix"] == "", 1, TRAINING_GROUP_ROWS)
        table["part"] = table.groupby(keys, sort=False).cumcount() // size
        keys.append("part")
    group = table.groupby(keys, sort=False).ngroup().to_numpy()
    order = rng.permutation(group.max() + 1)
    end = np.cumsum(np.bincount(group)[order])
    drawn = order[: int(np.searchsorted(end, rows)) + 1]
    return np.isin(group, drawn)
