"""The rows that compared methods with an LLM are trained and measured on, and their training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from stages.io.seeds import generator
from stages.llm.adapters import trainable_parameters
from stages.llm.live import Watch, nobody
from stages.llm.load import Llm
from stages.llm.method import MethodSettings
from stages.llm.tune import LabelledPrompts, tune
from stages.prompts.rows import PromptRows, Template, read_prompts, sample_groups

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class TunedMethod:
    """How training went.

    Attributes:
        facts: validation AUC, number of trained parameters and, under `fit`, the rows seen until
            the best state, with their loss and validation AUC; no AUC where nothing was trained.
        seconds: of the training.
    """

    facts: dict[str, Any]
    seconds: float


def draw_rows(
    prompts: Path, settings: MethodSettings, template: Template, *, seed: int, test_seed: int
) -> dict[Split, PromptRows]:
    """Draws rows by a root seed, the same for all methods, as a method's prompts.

    Test rows are whole users, those that `predict` draws; the others are groups of equal prefix.
    Where nothing is trained, only test rows are drawn.

    Args:
        prompts: folder of the text prompts.
        settings: how many rows of each split.
        template: what the method makes of a text prompt.
        seed: the root seed.
        test_seed: the run's, by which all rows of the table draw their test rows.
    """
    counts: dict[Split, int | None] = {"test": settings.scoring.rows}
    if settings.training is not None:
        counts |= {"train": settings.training.train_rows, "valid": settings.protocol.valid_rows}
    roots = {split: test_seed if split == "test" else seed for split in counts}
    return {split: draw(prompts, split, n, template, roots[split]) for split, n in counts.items()}


def draw(
    prompts: Path, split: Split, rows: int | None, template: Template, seed: int
) -> PromptRows:
    """Draws at least `rows` of a split; None takes all."""
    path = prompts / f"{split}.parquet"
    rng = generator(seed, "predict" if split == "test" else f"compare_llm {split}")
    by: Literal["user", "prefix"] = "user" if split == "test" else "prefix"
    return read_prompts(path, sample_groups(path, rows, by, rng), template)


def train_method(
    llm: Llm,
    rows: Mapping[Split, PromptRows],
    settings: MethodSettings,
    seed: int,
    scratch: Path,
    title: str,
    watch: Watch = nobody,
) -> TunedMethod:
    """Trains all that is trainable and leaves the LLM in its best state by validation AUC.

    Args:
        llm: the LLM with its trainable parts.
        rows: what to train on and, `valid`, what to choose the state by.
        settings: how to train; without `training` the LLM stays as it is.
        seed: of order and dropout.
        scratch: where a cut run finds what it had.
        title: what the progress line says.
        watch: is told how training goes.
    """
    if settings.training is None:
        return TunedMethod({"parameters": 0, "fit": {}}, 0.0)
    train, valid = (
        LabelledPrompts.hard(part.prompts, part.prefixes, part.labels)
        for part in (rows["train"], rows["valid"])
    )
    tuned = tune(
        llm,
        [train],
        valid,
        settings=settings.training,
        score=settings.protocol.score,
        learning_rate=settings.own.learning_rate,
        seed=seed,
        scratch=scratch,
        title=title,
        watch=watch,
    )
    trained = trainable_parameters(llm.model)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tuned.weights[name])
    count = sum(p.numel() for p in trained.values())
    facts = {"valid_auc": tuned.best["auc"], "parameters": count, "fit": tuned.best}
    return TunedMethod(facts, tuned.seconds)
