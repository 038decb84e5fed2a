"""Trains a method on its drawn rows, and scores rows with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.common.progress import Progress
from stages.llm.model import Llm, trainable_parameters
from stages.llm.partial import PartialScores
from stages.llm.prompts import PromptSet
from stages.llm.scoring import Score, score_prompts
from stages.llm.tuning import LabelledPrompts, tune


@dataclass(frozen=True)
class Fitted:
    """How training went.

    Attributes:
        best: `rows` seen until the best state, with their `loss` and validation `auc`.
        seconds: of the training.
    """

    best: dict[str, float]
    seconds: float


def train(llm: Llm, rows: PromptSet, valid: PromptSet, **settings: Any) -> Fitted:
    """Trains all that is trainable and leaves the LLM in its best state by validation AUC.

    Args:
        llm: the LLM with its trainable parts.
        rows: what to train on.
        valid: what to choose the checkpoint by.
        settings: see `stages.llm.tuning.tune`.
    """
    labelled, judged = (LabelledPrompts(s.prompts, s.prefixes, s.labels) for s in (rows, valid))
    tuned = tune(llm, [labelled], judged, **settings)
    with torch.no_grad():
        for name, parameter in trainable_parameters(llm.model).items():
            parameter.copy_(tuned.weights[name])
    return Fitted(tuned.best, tuned.seconds)


def score_rows(
    llm: Llm, rows: PromptSet, *, score: Score, token_budget: int, scratch: Path, title: str
) -> tuple[NDArray[np.float32], float]:
    """Returns the rows' scores and the seconds that they took.

    A run that was cut goes on from what lies in `scratch`.
    """
    partial = PartialScores(scratch, len(rows.prompts))
    progress = Progress(title, len(rows.prompts), done=partial.done)
    scores = score_prompts(
        llm,
        rows.prompts,
        prefixes=rows.prefixes,
        score=score,
        token_budget=token_budget,
        progress=progress,
        scores=partial.scores,
        after_batch=partial.save,
    )
    seconds = partial.seconds
    progress.close()
    return scores, seconds
