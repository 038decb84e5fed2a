"""What a compared method without an LLM is: fitted on labelled rows, it scores others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.collab.fitting import CollaborativeModel, Rows, fit, score
from stages.collab.interactions import Interactions
from stages.collab.sections import Fitting
from stages.collab.threads import threads
from stages.collab.vectors import VectorModel
from stages.io.params import Section
from stages.io.seeds import derived_seed


@dataclass(frozen=True)
class FittedMethod:
    """A method that has seen the train rows.

    Attributes:
        score: from n rows to (n,) float32 scores.
        tensors: what it has learned, by name, for whoever builds on it: `users` (n_users + 1, dim)
            and `items` (n_items + 1, dim), row 0 being padding, where it has vectors of both.
        parameters: numbers that were fitted.
        valid_auc: AUC of the validation rows; None where they have one label only.
        course: how the fit went, for people.
    """

    score: Callable[[Rows], NDArray]
    tensors: Mapping[str, Tensor]
    parameters: int
    valid_auc: float | None
    course: Mapping[str, Any]


@dataclass(frozen=True)
class CollaborativeMethod:
    """A compared method without an LLM, as its own file describes it.

    Attributes:
        title: what the table calls it.
        settings: its section, `compare.<name>` in `params.yaml`.
        fit: from the rows, the settings and the root seed to the fitted method.
        history: liked items that it reads of each row, the most recent; 0 reads none.
        published: the paper's (AUC, UAUC) by data set (Tables 2 and 3).
        has_user_vectors: False where a user is a history or does not matter; others' vectors CoLLM
            can map.
    """

    title: str
    settings: type[Section]
    fit: Callable[[Interactions, Any, int], FittedMethod]
    history: Callable[[Any], int] = lambda settings: 0
    published: Mapping[str, tuple[float, float]] | None = None
    has_user_vectors: bool = True


# From the rows, the settings and the source of initial values to a model with initial values.
Build = Callable[[Interactions, Any, torch.Generator], CollaborativeModel]


def by_loop(name: str, build: Build) -> Callable[[Interactions, Fitting, int], FittedMethod]:
    """Returns the `fit` of a method whose model goes through the fitting loop.

    Args:
        name: the method's name: of its random stream and its progress line.
        build: makes the model.
    """

    def fit_method(data: Interactions, settings: Fitting, seed: int) -> FittedMethod:
        rng = torch.Generator().manual_seed(derived_seed(seed, f"compare.{name}"))
        with threads(1):
            return fit_model(build(data, settings, rng), data, settings, rng=rng, title=name)

    return fit_method


def fit_model(
    model: CollaborativeModel,
    data: Interactions,
    settings: Fitting,
    *,
    rng: torch.Generator,
    title: str,
) -> FittedMethod:
    """Fits a model in place; see `stages.collab.fitting.fit`."""
    fitted = fit(model, data.rows["train"], data.rows["valid"], settings, rng=rng, title=title)
    return FittedMethod(
        score=partial(score, model),
        tensors=tensors_of(model),
        parameters=sum(p.numel() for p in model.parameters()),
        valid_auc=fitted.valid_auc,
        course={"epochs": fitted.epochs, "best_epoch": fitted.best_epoch},
    )


@torch.inference_mode()
def tensors_of(model: CollaborativeModel) -> dict[str, Tensor]:
    """Returns what a fitted model knows of users and items, as it enters the score.

    Returns:
        `users` (n_users + 1, dim), but for SASRec, where a user is a history; `items`
        (n_items + 1, dim). Row 0 is padding.
    """
    if isinstance(model, VectorModel):
        return dict(zip(("users", "items"), model.all_vectors(), strict=True))
    tables = dict(model.named_parameters(recurse=False))
    return {name: tables[name] for name in ("users", "items") if name in tables}
