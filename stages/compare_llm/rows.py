"""The rows that the methods are trained and measured on: the same for all of them."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from stages.common.errors import InputError
from stages.common.seeds import generator
from stages.common.tables import INTERACTIONS, read_table
from stages.llm.prompts import PromptSet, Template, read_prompts, sample_groups

Split = Literal["train", "valid", "test"]
JUDGED: tuple[Split, ...] = ("valid", "test")


def draw(folder: Path, split: Split, rows: int | None, template: Template, seed: int) -> PromptSet:
    """Draws a split's rows by the root seed, as a method's prompts.

    Test rows are whole users, those that `predict` draws; the others are groups of equal prefix.

    Args:
        folder: of the text prompts.
        split: which.
        rows: how many at least; None takes all.
        template: what the method makes of a text prompt.
        seed: the root seed.
    """
    path = folder / f"{split}.parquet"
    rng = generator(seed, "predict" if split == "test" else f"compare_llm {split}")
    by: Literal["user", "prefix"] = "user" if split == "test" else "prefix"
    return read_prompts(path, sample_groups(path, rows, by, rng), template)


def with_facts(keys: pa.Table, path: Path) -> pa.Table:
    """Returns the rows with `seen` and `warm` of the interactions they stem from.

    Args:
        keys: row, uid, iid and label, in the order of the interactions.
        path: the interactions.

    Raises:
        InputError: the interactions are others.
    """
    known = read_table(path, INTERACTIONS, [*keys.column_names, "seen", "warm"])
    found = known.filter(pc.is_in(known["row"], keys["row"].combine_chunks()))
    if not found.select(keys.column_names).equals(keys):
        raise InputError(f"{path}: its rows are others than those of the prompts; run `dvc repro`")
    return found
