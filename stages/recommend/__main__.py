"""Ranks items for users with a trained adapter, after `dvc repro`.

python -m stages.recommend codes --user 42 --top 10                    # all items new to the user
python -m stages.recommend text --pairs wanted.csv --out scores.parquet  # any list of user and item

Users and items go by the ids of your data (`source_id` in data/interactions). No stage of the
pipeline: it answers questions. Killed and asked again, it goes on where it was.
"""

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.io.errors import InputError, run_stage
from stages.io.params import load_section
from stages.io.paths import INTERACTIONS_FOLDER, LLM_FOLDER, adapter_folder
from stages.io.scratch import scratch_folder
from stages.io.sources import import_closure
from stages.io.tables import ITEMS, USERS, write_table
from stages.llm.adapters import load_adapter
from stages.llm.load import load_llm
from stages.llm.params import Scoring
from stages.llm.partial_scores import read_score
from stages.llm.variants import variant_entry
from stages.prompts.content import read_content
from stages.prompts.settings import prompt_settings
from stages.prompts.tokenizer import prompt_limit
from stages.recommend.candidates import (
    Ids,
    histories_now,
    new_pairs,
    read_interactions,
    read_pairs,
)
from stages.recommend.outputs import RANKED, check_out, listing, ranked
from stages.recommend.params import Preprocess
from stages.recommend.scores import score_pairs


def main() -> None:
    """Reads the question, scores its pairs, writes or prints them best first."""
    args = arguments()
    settings = prompt_settings(variant_entry(args.variant).prompts)
    predict = load_section(Scoring, "predict")
    keep_history = load_section(Preprocess, "preprocess").keep_history
    adapter = adapter_folder(args.variant)
    scoring: dict[str, Any] = {
        "max_tokens": prompt_limit(LLM_FOLDER, settings.section.max_tokens),
        "score": read_score(adapter),
        "token_budget": predict.token_budget,
    }
    users = Ids.of(INTERACTIONS_FOLDER / "users.parquet", USERS)
    items = Ids.of(INTERACTIONS_FOLDER / "items.parquet", ITEMS)
    interactions = read_interactions(INTERACTIONS_FOLDER)
    if args.pairs:
        pairs = read_pairs(args.pairs, users, items)
    else:
        pairs = new_pairs(interactions, users.number_of(args.user), items)
    histories = histories_now(interactions, pairs[:, 0], keep_history)
    content = read_content(settings, INTERACTIONS_FOLDER)
    llm = load_adapter(load_llm(LLM_FOLDER, precision=predict.precision), adapter)
    scratch = scratch_folder(
        f"recommend-{args.variant}",
        [LLM_FOLDER, adapter],
        {
            **scoring,
            "precision": predict.precision,
            "pairs": pairs.tolist(),
            "histories": histories,
            "content": asdict(content),
            "sources": import_closure(["stages.recommend.__main__"]),
        },
    )
    scores = score_pairs(llm, pairs, histories, content, scratch=scratch, **scoring)
    best = ranked(pairs, scores, users, items, content.titles)
    if args.out:
        write_table(best, args.out, RANKED)
    if args.user:
        print(f"user {args.user}, {args.variant}: {len(best):,} items new to them")
        print(listing(best.head(args.top)))
    shutil.rmtree(scratch, ignore_errors=True)


def arguments() -> argparse.Namespace:
    """Returns what the command line asks for.

    Raises:
        InputError: it asks for a list without a file, or for a file that could not be written.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", help="whose adapter and prompts: text, codes, …")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="rank every item that is new to this user")
    who.add_argument("--pairs", type=Path, help="CSV, TSV or Parquet with columns user and item")
    parser.add_argument("--top", type=int, default=10, help="items to print (default 10)")
    parser.add_argument("--out", type=Path, help="Parquet file for the whole ranking")
    args = parser.parse_args()
    if args.top < 1:
        raise InputError(f"--top {args.top}: expected 1 or more")
    if args.pairs and not args.out:
        raise InputError("--pairs: --out is missing, the file for the scores")
    if args.out:
        check_out(args.out)
    return args


if __name__ == "__main__":
    run_stage(main)
