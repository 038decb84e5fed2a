"""Writes interactions as tables of prompts, with counts of what was written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.common.progress import Progress
from stages.common.seeds import generator
from stages.common.tables import INTERACTIONS, PROMPTS, SPLITS, read_table, replacing, write_table
from stages.llm.prompt_content import Content, Flips, Kind, MaterializePrompts, read_content
from stages.llm.prompt_text import Built, build_prompts
from stages.llm.tokenizer import load_tokenizer, token_limit


def write_prompts(
    kind: Kind,
    params: MaterializePrompts,
    folder: Path,
    *,
    interactions: Path,
    codes: Path,
    llm: Path,
    compress: bool | None = None,
    seed: int | None = None,
    title: str,
) -> dict[str, Any]:
    """Writes every row of the three splits as a prompt, the folder whole or not at all.

    Where there are codes, train rows stand there once more without titles, as `train_ids`: tuning
    may begin with these shorter prompts.

    Args:
        kind: with codes or without.
        params: what stands in a prompt.
        folder: where the tables go.
        interactions: folder of the interactions.
        codes: folder of the codes; not read for `text`.
        llm: the LLM, for its tokenizer and its limit.
        compress: see `stages.llm.prompt_content.read_content`.
        seed: the root seed, of the noise in the codes of train prompts; None for no noise.
        title: what the progress line says.

    Returns:
        Counts by table.

    Raises:
        InputError: a table is missing, or a prompt is too long even without history.
    """
    content = read_content(kind, params, interactions=interactions, codes=codes, compress=compress)
    tokenizer, limit = load_tokenizer(llm), params.max_tokens or token_limit(llm)
    flips = None if seed is None else Flips(params.flip_bits, generator(seed, "flip_bits"))
    tables: dict[str, tuple[str, Content]] = {split: (split, content) for split in SPLITS}
    if kind == "codes":
        tables["train_ids"] = ("train", replace(content, with_titles=False))
    statistics = {}
    with replacing(folder) as partial:
        for name, (split, shown) in tables.items():
            rows = read_table(interactions / f"{split}.parquet", INTERACTIONS)
            progress = Progress(f"{title} {name}", len(rows))
            texts = shown.rows(rows, flips if split == "train" else None)
            built = build_prompts(texts, tokenizer, limit, progress)
            progress.close(f"{built.shortened} shortened")
            write_table(prompt_table(rows, built), partial / f"{name}.parquet", PROMPTS)
            statistics[name] = summary(built)
    return statistics


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
