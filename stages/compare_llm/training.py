"""Trains a method on its drawn rows."""

from collections.abc import Mapping
from typing import Any

import torch

from stages.llm.judging import Fitted
from stages.llm.model import Llm, trainable_parameters
from stages.llm.prompts import PromptSet
from stages.llm.tuning import LabelledPrompts, tune


def train(llm: Llm, rows: Mapping[str, PromptSet], **settings: Any) -> Fitted:
    """Trains all that is trainable and leaves the LLM in its best state by validation AUC.

    Args:
        llm: the LLM with its trainable parts.
        rows: `train`, what to train on, and `valid`, what to choose the checkpoint by; without
            `train` the LLM stays as it is.
        settings: see `stages.llm.tuning.tune`.
    """
    if "train" not in rows:
        return Fitted({}, 0.0, 0)
    labelled, judged = (
        LabelledPrompts(s.prompts, s.prefixes, s.labels) for s in (rows["train"], rows["valid"])
    )
    tuned = tune(llm, [labelled], judged, **settings)
    trained = trainable_parameters(llm.model)
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(tuned.weights[name])
    return Fitted(tuned.best, tuned.seconds, sum(p.numel() for p in trained.values()))
