"""Ranking many items for a user, each with its whole prompt or sharing the user's part.

python -m benchmarks.ranking [codes] [--users 1] [--items 1000] [--repeats 5]

Both ways score the same prompts with the same model, alternating within one run: *plain* computes
each candidate's prompt by itself (in batches of like length), *ours* hands over what candidates
share, as `python -m stages.recommend` does. Users are drawn at random, and so are items among
those that are new to the user. Needs a finished `dvc repro`.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stages.io.errors import run_stage
from stages.io.seeds import generator
from stages.llm.load import Llm
from stages.llm.params import Score
from stages.llm.score import score_prompts
from stages.prompts.text import Prompt
from stages.prompts.tokenizer import tokenize
from stages.recommend.candidates import Pairs, new_pairs
from stages.recommend.catalogue import Catalogue
from stages.recommend.ranker import Ranker
from stages.recommend.scores import prompts_of


def main() -> None:
    """Prints one line per run, then medians, their ratio, and how far the rankings agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("variant", nargs="?", default="codes", help="default codes")
    parser.add_argument("--users", type=int, default=1, help="users drawn (default 1)")
    parser.add_argument(
        "--items", type=int, default=1000, help="items per user; 0 = all new ones (default 1000)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each way (default 5)")
    args = parser.parse_args()
    known = Catalogue.of_run(args.variant)
    pairs = draw_pairs(known, args.users, args.items)
    llm = Ranker.of_catalogue(known).llm
    prompts = prompts_of(pairs, known.liked, known.content, llm.tokenizer, known.max_tokens)
    describe(llm, prompts, args.users)
    score, budget = known.score, known.token_budget
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    scores: dict[str, NDArray[np.float32]] = {}
    for repeat in range(1, args.repeats + 1):
        for way, taken in seconds.items():
            scores[way], spent = run(llm, prompts, score, budget, shared=way == "ours")
            taken.append(spent)
            print_line(way, str(repeat), spent, len(prompts))
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    for way, median in medians.items():
        print_line(way, "median", median, len(prompts))
    print(f"plain / ours: {medians['plain'] / medians['ours']:.2f}")
    agreement = [
        spearman(scores["plain"][rows], scores["ours"][rows])
        for rows in (pairs[:, 0] == uid for uid in np.unique(pairs[:, 0]))
    ]
    difference = np.abs(scores["plain"] - scores["ours"]).max()
    print(f"Spearman within a user: at least {min(agreement):.5f}")
    print(f"scores differ by at most {difference:.4f}")


def draw_pairs(known: Catalogue, n_users: int, n_items: int) -> Pairs:
    """Draws users, and of the items new to each so many, or all where `n_items` is 0."""
    rng = generator(1, "benchmarks.ranking")
    drawn = []
    for uid in np.sort(rng.choice(list(known.met), n_users, replace=False)):
        new = new_pairs(known.met, [int(uid)], known.items)
        size = min(n_items, len(new)) if n_items else len(new)
        drawn.append(new[np.sort(rng.choice(len(new), size, replace=False))])
    return np.concatenate(drawn)


def run(
    llm: Llm, prompts: Sequence[Prompt], score: Score, token_budget: int, *, shared: bool
) -> tuple[NDArray[np.float32], float]:
    """Scores all prompts in one of the two ways; returns the scores and the seconds."""
    start = time.perf_counter()
    scores = score_prompts(
        llm,
        [prompt.prefix + prompt.suffix for prompt in prompts],
        prefixes=[prompt.prefix for prompt in prompts] if shared else None,
        score=score,
        token_budget=token_budget,
    )
    return scores, time.perf_counter() - start


def describe(llm: Llm, prompts: Sequence[Prompt], n_users: int) -> None:
    """Prints what is scored, and how much of it is left where nothing is computed twice."""
    whole = tokenize(llm.tokenizer, [prompt.prefix + prompt.suffix for prompt in prompts])
    prefixes = sorted({prompt.prefix for prompt in prompts})
    tokens = sum(map(len, whole))
    ahead = dict(zip(prefixes, map(len, tokenize(llm.tokenizer, prefixes)), strict=True))
    once = tokens - sum(ahead[prompt.prefix] for prompt in prompts) + sum(ahead.values())
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {llm.causal_lm.dtype}")
    print(f"{n_users} users, {len(prompts):,} prompts, {tokens / len(prompts):.0f} tokens each")
    print(f"{tokens:,} tokens, or {once:,} with each user's part once: 1 of {tokens / once:.2f}")
    print(f"{'':8}{'run':>7}{'seconds':>10}{'items/s':>10}")


def spearman(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Returns the correlation of ranks; equal scores share their mean rank."""
    return float(pd.Series(one).rank().corr(pd.Series(other).rank()))


def print_line(way: str, run_name: str, seconds: float, n: int) -> None:
    """Prints what one run took."""
    print(f"{way:8}{run_name:>7}{seconds:10.2f}{n / seconds:10.1f}", flush=True)


if __name__ == "__main__":
    run_stage(main)
