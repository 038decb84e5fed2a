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
from stages.io.params import load_section
from stages.io.paths import INTERACTIONS_FOLDER, LLM_FOLDER, adapter_folder
from stages.io.seeds import generator
from stages.io.tables import ITEMS
from stages.llm.adapters import load_adapter
from stages.llm.load import Llm, load_llm
from stages.llm.params import Score, Scoring
from stages.llm.partial_scores import read_score
from stages.llm.score import score_prompts
from stages.llm.variants import variant_entry
from stages.prompts.content import read_content
from stages.prompts.settings import PromptSettings, prompt_settings
from stages.prompts.text import Prompt
from stages.prompts.tokenizer import prompt_limit, tokenize
from stages.recommend.candidates import Ids, Pairs, histories_now, new_pairs, read_interactions
from stages.recommend.params import Preprocess
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
    predict = load_section(Scoring, "predict")
    settings = prompt_settings(variant_entry(args.variant).prompts)
    pairs = draw_pairs(args.users, args.items)
    adapter = adapter_folder(args.variant)
    llm = load_adapter(load_llm(LLM_FOLDER, precision=predict.precision), adapter)
    prompts = build(settings, pairs, llm)
    describe(llm, prompts, args.users)
    score, budget = read_score(adapter), predict.token_budget
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


def draw_pairs(n_users: int, n_items: int) -> Pairs:
    """Draws users, and of the items new to each so many, or all where `n_items` is 0."""
    rng = generator(1, "benchmarks.ranking")
    interactions = read_interactions(INTERACTIONS_FOLDER)
    items = Ids.of(INTERACTIONS_FOLDER / "items.parquet", ITEMS)
    drawn = []
    for uid in np.sort(rng.choice(interactions["uid"].unique(), n_users, replace=False)):
        new = new_pairs(interactions, int(uid), items)
        size = min(n_items, len(new)) if n_items else len(new)
        drawn.append(new[np.sort(rng.choice(len(new), size, replace=False))])
    return np.concatenate(drawn)


def build(settings: PromptSettings, pairs: Pairs, llm: Llm) -> list[Prompt]:
    """Builds the prompts that `stages.recommend` builds."""
    keep = load_section(Preprocess, "preprocess").keep_history
    content = read_content(settings, INTERACTIONS_FOLDER)
    histories = histories_now(read_interactions(INTERACTIONS_FOLDER), pairs[:, 0], keep)
    max_tokens = prompt_limit(LLM_FOLDER, settings.section.max_tokens)
    return prompts_of(pairs, histories, content, llm.tokenizer, max_tokens)


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
