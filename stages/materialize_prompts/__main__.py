"""Writes the prompts of one kind: `python -m stages.materialize_prompts text|codes`."""

import argparse
from dataclasses import replace
from pathlib import Path

from stages.common.errors import run_stage
from stages.common.params import load_section
from stages.common.progress import Progress
from stages.common.tables import (
    INTERACTIONS,
    PROMPTS,
    SPLITS,
    read_table,
    replacing,
    write_json,
    write_table,
)
from stages.llm.prompt_content import read_content
from stages.llm.prompt_text import build_prompts
from stages.llm.tokenizer import load_tokenizer, token_limit
from stages.materialize_prompts.outputs import prompt_table, summary
from stages.materialize_prompts.params import MaterializePrompts

INTERACTIONS_FOLDER = Path("data/interactions")
LLM_FOLDER = Path("models/llm")


def main() -> None:
    """Reads interactions (and codes), writes the prompts of the three splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["text", "codes"])
    kind = parser.parse_args().kind
    params = load_section(MaterializePrompts, "materialize_prompts")
    content = read_content(kind, params, interactions=INTERACTIONS_FOLDER, codes=Path("data/codes"))
    tokenizer = load_tokenizer(LLM_FOLDER)
    max_tokens = params.max_tokens or token_limit(LLM_FOLDER)

    tables = {split: (split, content) for split in SPLITS}
    if kind == "codes":
        # The train rows once more without titles: step 2 may begin with these shorter prompts.
        tables["train_ids"] = ("train", replace(content, with_titles=False))
    statistics = {}
    with replacing(Path("data/prompts") / kind) as folder:
        for name, (split, shown) in tables.items():
            interactions = read_table(INTERACTIONS_FOLDER / f"{split}.parquet", INTERACTIONS)
            progress = Progress(f"prompts {kind} {name}", len(interactions))
            built = build_prompts(shown.rows(interactions), tokenizer, max_tokens, progress)
            progress.close(f"{built.shortened} shortened")
            write_table(prompt_table(interactions, built), folder / f"{name}.parquet", PROMPTS)
            statistics[name] = summary(built)
    write_json(statistics, Path("metrics/prompts") / f"{kind}.json")


if __name__ == "__main__":
    run_stage(main)
