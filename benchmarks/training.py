"""What each step of LoRA training is worth: `python -m benchmarks.training`.

The reference's way (`benchmarks/llm_reference.py`) in float32 and under bf16 autocast, then ours
(`stages.llm.tune.tune`, whole: order, batches, optimizer, checkpoint), one thing more at a time,
from the same adapter on the same train rows, taking turns in one run. All with the
settings of `train_lora` in `params.yaml`, but for a learning rate of 0: the optimizer works as
ever, and every turn starts from the same weights. Each turn has a part of the rows; columns and
roof as in `benchmarks/scoring.py` and `benchmarks/roofline.py`, and

    loss    mean over the first 32 rows in one step: equal up to rounding where the work is the same

Needs what `dvc repro` leaves in data/ and models/ (of `--project`).
"""

import argparse
import contextlib
import io
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import llm_reference
from benchmarks.alternating import serve
from benchmarks.prompt_rows import PromptRows, draw_rows
from benchmarks.roofline import Sizes, training_work
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
from stages.io.errors import InputError, run_stage
from stages.io.params import load_section, load_shared
from stages.llm.adapters import load_adapter
from stages.llm.load import Llm, load_llm
from stages.llm.packing import Group, group_rows
from stages.llm.params import TrainLora
from stages.llm.tune import LabelledPrompts, tune
from stages.prompts.rows import TRAINING_GROUP_ROWS
from stages.prompts.tokenizer import tokenize

COMPARED_ROWS = 32


@dataclass(frozen=True)
class Task:
    """What every variant gets: rows, two to evaluate on, rows of a step, the stage's settings."""

    rows: PromptRows
    judged: LabelledPrompts
    batch_rows: int
    params: TrainLora
    seed: int


def by_reference(llm: Llm, task: Task, *, autocast: bool) -> float:
    """The reference's way; returns the mean loss."""
    return llm_reference.train(
        llm,
        task.rows.prompts,
        np.array(task.rows.labels),
        kind=task.params.score,
        autocast=autocast,
        batch_rows=task.batch_rows,
        learning_rate=0.0,
        seed=task.seed,
    )


def in_random_batches(llm: Llm, task: Task) -> tuple[int, int]:
    """What the reference computes."""
    size = min(llm_reference.TRAINING_BATCH, task.batch_rows)
    return whole_prompts(llm, task.rows, size, task.seed)


def ours(llm: Llm, task: Task, *, share_prefix: bool) -> float:
    """`tune`, with one evaluation on two rows, its progress kept quiet; returns the mean loss."""
    rows, labels = task.rows, np.array(task.rows.labels)
    prefixes = rows.prefixes if share_prefix else None
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
        tuned = tune(
            llm,
            [LabelledPrompts.hard(rows.prompts, prefixes, labels)],
            task.judged,
            settings=task.params.model_copy(
                update={"epochs": 1, "batch_rows": task.batch_rows, "evaluations": 1}
            ),
            score=task.params.score,
            learning_rate=0.0,
            seed=task.seed,
            scratch=Path(scratch),
            title="training",
        )
    return tuned.best["loss"]


def in_packs(llm: Llm, task: Task, *, share_prefix: bool) -> tuple[int, int]:
    """What `ours` computes."""
    return packed_groups(_groups(llm, task.rows, share_prefix))


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
    "ours: two rows of the head": Variant("float32", "float32", *_ALONE),
    "+ shared prefix": Variant("float32", "float32", *_SHARED),
    "+ bf16 weights": Variant("bfloat16", "bfloat16", *_SHARED),
}


def main() -> None:
    """Runs all variants in turn, or, started by itself, one of them."""
    args = arguments(__doc__, VARIANTS, rows=256)
    if args.serve:
        _serve(args, VARIANTS[args.serve])
        return
    rows = draw_rows(args.data, args.project, "train", args.rows, load_shared("seed"))
    if set(rows.labels) != {0, 1}:
        raise InputError(f"--rows {args.rows}: all of one label; ask for more")
    measure(
        "benchmarks.training",
        VARIANTS,
        rows,
        args,
        roof_tokens=load_section(TrainLora, "train_lora").micro_tokens,
        compared={"loss": lambda runs, _: f"{runs[0]['loss']:.4f}"},
    )


def _groups(llm: Llm, rows: PromptRows, share_prefix: bool) -> list[Group]:
    token_ids = tokenize(llm.tokenizer, rows.prompts)
    prefixes = rows.prefixes if share_prefix else None
    return group_rows(token_ids, prefixes, most_rows=TRAINING_GROUP_ROWS)


def _serve(args: argparse.Namespace, variant: Variant[Task]) -> None:
    """One variant: loads, runs one step that also warms up, and runs when told to."""
    llm_folder, adapter = args.project / "models/llm", args.project / "models/adapters/codes"
    params = load_section(TrainLora, "train_lora")
    rows, sizes = PromptRows.read(args.rows_file), Sizes.of(llm_folder)
    llm = load_adapter(load_llm(llm_folder, precision=variant.precision), adapter, trainable=True)
    both = [rows.labels.index(label) for label in (0, 1)]
    judged = LabelledPrompts.hard([rows.prompts[row] for row in both], None, np.array([0, 1]))
    compared = Task(rows.cut(0, COMPARED_ROWS), judged, COMPARED_ROWS, params, load_shared("seed"))
    loss = variant.run(llm, compared)
    tasks, facts = [], []
    for part in rows.parts(args.repeats):
        groups = _groups(llm, part, share_prefix=True)
        work = training_work(sizes, groups, *adapter_shape(llm))
        tasks.append(replace(compared, rows=part, batch_rows=params.batch_rows))
        facts.append(part_facts(groups, work, variant.computed(llm, tasks[-1]), part))
    serve(lambda turn: facts[turn] | {"loss": loss, "result": variant.run(llm, tasks[turn])})


if __name__ == "__main__":
    run_stage(main)
