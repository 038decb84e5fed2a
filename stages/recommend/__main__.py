"""Ranks items for users with a trained adapter, after `dvc repro`.

python -m stages.recommend codes --user 42 --top 10                      # all items new to the user
python -m stages.recommend codes --users all --out best.jsonl            # or a file of users
python -m stages.recommend codes --history 190,511 --top 10              # someone who liked these
python -m stages.recommend text --pairs wanted.csv --out scores.parquet  # any list of user and item

Users and items go by the ids of your data (`source_id` in data/interactions). No stage of the
pipeline: it answers questions. Killed and asked again, it goes on where it was. In a program:
`stages.recommend.ranker.Ranker`.
"""

import argparse
import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stages.io.errors import InputError, run_stage
from stages.io.params import load_section
from stages.io.paths import LLM_FOLDER, adapter_folder
from stages.io.scratch import scratch_folder
from stages.io.sources import import_closure
from stages.llm.params import Scoring
from stages.recommend.candidates import Pairs, new_pairs, read_pairs, read_users
from stages.recommend.catalogue import STRANGER, Catalogue
from stages.recommend.outputs import check_out, listing, write_ranked
from stages.recommend.ranker import Ranker


def main() -> None:
    """Reads the question, scores its pairs, writes or prints them best first."""
    args = arguments()
    catalogue = Catalogue.of_run(args.variant)
    if args.history is not None:
        catalogue = catalogue.with_stranger([item.strip() for item in args.history.split(",")])
    pairs = asked_pairs(args, catalogue)
    scratch = scratch_of(catalogue, pairs)
    best = Ranker.of_catalogue(catalogue).rank(pairs, scratch)
    if args.out:
        write_ranked(best, args.out)
    if args.user is not None or args.history is not None:
        who = "someone new" if args.user is None else f"user {args.user}"
        print(f"{who}, {args.variant}: {len(best):,} items new to them")
        print(listing(best.head(args.top)))
    shutil.rmtree(scratch, ignore_errors=True)


def asked_pairs(args: argparse.Namespace, catalogue: Catalogue) -> Pairs:
    """Returns (n, 2) uid and iid that the question is about.

    Raises:
        InputError: it names someone or something unknown.
    """
    users, items = catalogue.users, catalogue.items
    if args.pairs:
        return read_pairs(args.pairs, users, items)
    if args.history is not None:
        uids = [STRANGER]
    elif args.user is not None:
        uids = [users.number_of(args.user)]
    elif args.users == Path("all"):
        uids = users.number.tolist()
    else:
        uids = read_users(args.users, users).tolist()
    return new_pairs(catalogue.met, uids, items)


def scratch_of(catalogue: Catalogue, pairs: Pairs) -> Path:
    """Returns where this very question keeps what it has so far."""
    asked = np.unique(pairs[:, 0]).tolist()
    known = {"liked": {uid: catalogue.liked[uid] for uid in asked}}
    known |= {name: getattr(catalogue, name) for name in ("max_tokens", "score", "token_budget")}
    return scratch_folder(
        f"recommend-{catalogue.variant}",
        [LLM_FOLDER, adapter_folder(catalogue.variant)],
        {
            **known,
            "precision": load_section(Scoring, "predict").precision,
            "pairs": hashlib.sha256(pairs.tobytes()).hexdigest(),
            "content": asdict(catalogue.content),
            "sources": import_closure(["stages.recommend.__main__"]),
        },
    )


def arguments() -> argparse.Namespace:
    """Returns what the command line asks for.

    Raises:
        InputError: it asks for a list without a file, or for a file that could not be written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m stages.recommend",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("variant", help="whose adapter and prompts: text, codes, …")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", help="rank every item that is new to this user")
    who.add_argument(
        "--users", type=Path, help="'all', or CSV, TSV or Parquet with a column user: likewise"
    )
    who.add_argument("--history", help="items liked by someone new, oldest first: 190,511")
    who.add_argument("--pairs", type=Path, help="CSV, TSV or Parquet with columns user and item")
    parser.add_argument("--top", type=int, default=10, help="items to print (default 10)")
    parser.add_argument(
        "--out", type=Path, help="file for the whole ranking: .parquet, .csv or .jsonl"
    )
    args = parser.parse_args()
    if args.top < 1:
        raise InputError(f"--top {args.top}: expected 1 or more")
    for option in ("pairs", "users"):
        if getattr(args, option) and not args.out:
            raise InputError(f"--{option}: --out is missing, the file for the scores")
    if args.out:
        check_out(args.out)
    return args


if __name__ == "__main__":
    run_stage(main)
