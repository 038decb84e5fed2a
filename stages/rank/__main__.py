"""Ranks items for users with a trained adapter, after `dvc repro`.

python -m stages.rank codes --user 42 --top 10                    # all items new to the user
python -m stages.rank text --pairs wanted.csv --out scores.parquet  # any list of user and item

Users and items go by the ids of your data (`source_id` in data/interactions). No stage of the
pipeline: it answers questions. Killed and asked again, it goes on where it was.
"""

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.common.errors import InputError, run_stage
from stages.common.params import load_section
from stages.common.scratch import scratch_folder
from stages.common.tables import ITEMS, USERS, write_table
from stages.llm.model import load_adapter, load_llm
from stages.llm.partial import read_score
from stages.llm.prompt_content import MaterializePrompts, read_content
from stages.llm.tokenizer import token_limit
from stages.rank.candidates import (
    Ids,
    histories_now,
    new_pairs,
    read_interactions,
    read_pairs,
)
from stages.rank.outputs import RANKED, check_out, listing, ranked
from stages.rank.params import Predict, Preprocess
from stages.rank.scores import score_pairs

INTERACTIONS_FOLDER = Path("data/interactions")
CODES_FOLDER = Path("data/codes")
LLM_FOLDER = Path("models/llm")
SOURCES = [Path(f"stages/{name}") for name in ("common", "llm", "rank")]


def main() -> None:
    """Reads the question, scores its pairs, writes or prints them best first."""
    args = arguments()
    shown = load_section(MaterializePrompts, "materialize_prompts")
    predict = load_section(Predict, "predict")
    keep_history = load_section(Preprocess, "preprocess").keep_history
    adapter = Path("models/adapters") / args.kind
    how: dict[str, Any] = {
        "max_tokens": shown.max_tokens or token_limit(LLM_FOLDER),
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
    content = read_content(args.kind, shown, interactions=INTERACTIONS_FOLDER, codes=CODES_FOLDER)
    llm = load_adapter(load_llm(LLM_FOLDER, precision=predict.precision), adapter)
    scratch = scratch_folder(
        f"rank-{args.kind}",
        [LLM_FOLDER, adapter, *SOURCES],
        {
            **how,
            "precision": predict.precision,
            "pairs": pairs.tolist(),
            "histories": histories,
            "content": asdict(content),
        },
    )
    scores = score_pairs(llm, pairs, histories, content, scratch=scratch, **how)
    best = ranked(pairs, scores, users, items, content.titles)
    if args.out:
        write_table(best, args.out, RANKED)
    if args.user:
        print(f"user {args.user}, {args.kind}: {len(best):,} items new to them")
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
    parser.add_argument("kind", choices=["text", "codes"], help="which prompts and adapter")
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
