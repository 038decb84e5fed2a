"""Writes interactions as tables of prompts, with counts of what was written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.io.progress import Progress
from stages.io.seeds import generator
from stages.io.tables import INTERACTIONS, PROMPTS, SPLITS, read_table, replacing, write_table
from stages.prompts.content import Content, Flips, read_content
from stages.prompts.settings import PromptSettings
from stages.prompts.text import BuiltPrompts, build_prompts
from stages.prompts.tokenizer import load_tokenizer, token_limit


def write_prompts(
    settings: PromptSettings, folder: Path, *, interactions: Path, llm: Path, title: str
) -> dict[str, Any]:
    """Writes every row of the three splits as a prompt, the folder whole or not at all.

    Where there are codes, train rows stand there once more without titles, as `train_ids`: tuning
    may begin with these shorter prompts.

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
    content = read_content(settings, interactions)
    tokenizer, limit = load_tokenizer(llm), settings.section.max_tokens or token_limit(llm)
    flips = None
    tables: dict[str, tuple[str, Content]] = {split: (split, content) for split in SPLITS}
    if settings.seed is not None:
        flips = Flips(settings.section.flip_bits, generator(settings.seed, "flip_bits"))
        tables["train_ids"] = ("train", replace(content, with_titles=False))
    statistics = {}
    with replacing(folder) as partial:
        for name, (split, fields) in tables.items():
            rows = read_table(interactions / f"{split}.parquet", INTERACTIONS)
            progress = Progress(f"{title} {name}", len(rows))
            texts = fields.rows(rows, flips if split == "train" else None)
            built = build_prompts(texts, tokenizer, limit, progress)
            progress.close(f"{built.shortened} shortened")
            write_table(prompt_table(rows, built), partial / f"{name}.parquet", PROMPTS)
            statistics[name] = summary(built)
    return statistics


def prompt_table(interactions: pa.Table, built: BuiltPrompts) -> pa.Table:
    """Returns the prompts beside their interactions' keys (schema PROMPTS)."""
    return pa.table(
        {
            **{name: interactions[name] for name in ("row", "uid", "iid", "label")},
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
