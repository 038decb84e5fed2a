"""What each step of scoring is worth: `python -m benchmarks.scoring`.

The reference's way (`benchmarks/llm_reference.py`) in float32 and under bf16 autocast, then ours,
one thing more at a time, on the same rows with the same adapter, taking turns in one run; the roof
of the machine's matrix products (`benchmarks/roofline.py`, with the formulas) takes its turn too.
The rows are cut into as many parts as there are turns; in a turn each way scores the same part.
Medians over the turns, of ratios as well; the last columns are those of all rows.

    rows/s     and how many times the reference's, in float32 and under bf16 autocast
    tokens/s   tokens of the whole prompts, however few of them were computed, per second
    padding    share of the computed tokens that is padding
    of roof    operations needed / seconds / roof of the type that the products are computed in
    peak       most memory that the process held during a run, weights and libraries included
    Spearman   rank correlation with the first line's scores

Needs what `dvc repro` leaves in data/ and models/ (of `--project`). ML-1M's rows (`--data ml-1m`,
where `../shared/data/ml-1m-split` lies) are scored with the same adapter: its AUC says nothing
there, agreement and speed do.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks import llm_reference
from benchmarks.alternating import Answer, serve
from benchmarks.prompt_rows import PromptRows, draw_rows
from benchmarks.roofline import Sizes, scoring_work
from benchmarks.steps import (
    AUTOCAST,
    REFERENCE,
    Variant,
    adapter_shape,
    arguments,
    measure,
    packed_groups,
    part_facts,
    whole_prompts,
)
from stages.io.errors import run_stage
from stages.io.params import load_section, load_shared
from stages.llm.adapters import load_adapter
from stages.llm.load import Llm, load_llm
from stages.llm.packing import collate, group_rows
from stages.llm.params import Score, Scoring
from stages.llm.partial_scores import read_score
from stages.llm.score import batch_scores, score_prompts
from stages.measures.metrics.auc import auc
from stages.prompts.tokenizer import tokenize

WARM_UP_ROWS = 16
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """What every variant gets: rows, the score, and the limit of a batch in padded tokens."""

    rows: PromptRows
    kind: Score
    token_budget: int
    seed: int


def by_reference(llm: Llm, task: Task, *, autocast: bool) -> Scores:
    """The reference's way."""
    return llm_reference.score(
        llm, task.rows.prompts, kind=task.kind, autocast=autocast, seed=task.seed
    )


def last_token_only(llm: Llm, task: Task) -> Scores:
    """The reference's batches, but without padding, and the head's two rows at the last token."""
    groups = group_rows(tokenize(llm.tokenizer, task.rows.prompts), None)
    scores = np.empty(len(groups), dtype=np.float32)
    llm.model.eval()
    batches = llm_reference.random_batches(len(groups), llm_reference.SCORING_BATCH, task.seed)
    with torch.inference_mode():
        for rows in batches:
            batch = collate([groups[row] for row in rows]).to(llm.device, llm.causal_lm.dtype)
            scores[batch.rows] = batch_scores(llm, batch, task.kind).numpy()
    return scores


def in_random_batches(llm: Llm, task: Task) -> tuple[int, int]:
    """What the reference computes."""
    return whole_prompts(llm, task.rows, llm_reference.SCORING_BATCH, task.seed)


def ours(llm: Llm, task: Task, *, share_prefix: bool) -> Scores:
    """Equal packs among workers; with shared prefixes it is what `predict` does."""
    return score_prompts(
        llm,
        task.rows.prompts,
        prefixes=task.rows.prefixes if share_prefix else None,
        score=task.kind,
        token_budget=task.token_budget,
    )


def in_packs(llm: Llm, task: Task, *, share_prefix: bool) -> tuple[int, int]:
    """What our ways compute."""
    token_ids = tokenize(llm.tokenizer, task.rows.prompts)
    groups = group_rows(token_ids, task.rows.prefixes if share_prefix else None)
    return packed_groups(groups)


_ALONE = (partial(ours, share_prefix=False), partial(in_packs, share_prefix=False))
_SHARED = (partial(ours, share_prefix=True), partial(in_packs, share_prefix=True))
# Each line of "ours" adds one thing to the line above.
VARIANTS: dict[str, Variant[Task]] = {
    REFERENCE: Variant(
        "float32", "float32", partial(by_reference, autocast=False), in_random_batches
    ),
    AUTOCAST: Variant(
        "float32", "bfloat16", partial(by_reference, autocast=True), in_random_batches
    ),
    "ours: no padding, two rows of the head": Variant(
        "float32", "float32", last_token_only, _ALONE[1]
    ),
    "+ equal packs among workers": Variant("float32", "float32", *_ALONE),
    "+ shared prefix": Variant("float32", "float32", *_SHARED),
    "+ bf16 weights": Variant("bfloat16", "bfloat16", *_SHARED),
    "+ merged adapter": Variant("bfloat16", "bfloat16", *_SHARED, merged=True),
}


def main() -> None:
    """Runs all variants in turn, or, started by itself, one of them."""
    args = arguments(__doc__, VARIANTS, rows=512)
    if args.serve:
        _serve(args, VARIANTS[args.serve])
        return
    rows = draw_rows(args.data, args.project, "test", args.rows, load_shared("seed"))
    labels = np.array(rows.labels)

    def area(runs: Sequence[Answer], _: Sequence[Answer]) -> str:
        value = auc(labels, scores_of(runs))
        return "" if value is None else f"{value:.4f}"

    measure(
        "benchmarks.scoring",
        VARIANTS,
        rows,
        args,
        roof_tokens=load_section(Scoring, "predict").token_budget,
        compared={"AUC": area, "Spearman": agreement},
    )


def agreement(runs: Sequence[Answer], first: Sequence[Answer]) -> str:
    """Rank correlation of two contenders' scores."""
    return f"{spearmanr(scores_of(runs), scores_of(first)).statistic:.4f}"


def scores_of(runs: Sequence[Answer]) -> Scores:
    """The scores of all rows, part by part."""
    return np.concatenate([run["result"] for run in runs])


def _serve(args: argparse.Namespace, variant: Variant[Task]) -> None:
    """One variant: loads, warms up, and runs when told to."""
    llm_folder, adapter = args.project / "models/llm", args.project / "models/adapters/codes"
    parts = PromptRows.read(args.rows_file).parts(args.repeats)
    kind, seed = read_score(adapter), load_shared("seed")
    budget = load_section(Scoring, "predict").token_budget
    llm = load_llm(llm_folder, precision=variant.precision)
    llm = load_adapter(llm, adapter, trainable=not variant.merged)
    rank, targets = adapter_shape(llm)
    sizes = Sizes.of(llm_folder)
    tasks, facts = [], []
    for rows in parts:
        groups = group_rows(tokenize(llm.tokenizer, rows.prompts), rows.prefixes)
        work = scoring_work(sizes, groups, 0 if variant.merged else rank, targets)
        tasks.append(Task(rows, kind, budget, seed))
        facts.append(part_facts(groups, work, variant.computed(llm, tasks[-1]), rows))
    variant.run(llm, Task(parts[0].cut(0, WARM_UP_ROWS), kind, budget, seed))
    serve(lambda turn: facts[turn] | {"result": variant.run(llm, tasks[turn]).tolist()})


if __name__ == "__main__":
    run_stage(main)
