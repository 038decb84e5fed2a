"""The rows that the methods are trained and measured on: the same for all of them."""

from pathlib import Path
from typing import Literal

from stages.common.seeds import generator
from stages.llm.prompts import PromptSet, Template, read_prompts, sample_groups

Split = Literal["train", "valid", "test"]


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
