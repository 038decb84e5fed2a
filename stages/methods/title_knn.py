"""Title kNN: title bias, and how like a candidate's title is to those of what the user liked.

The simplest thing that could explain a row whose LLM reads the titles that a user liked: a
content-based recommender, whose profile of a user is the sum of what they liked (Pazzani & Billsus
2007). Titles are compared by a frozen text encoder (Reimers & Gurevych 2019, mean of its states),
so all that is fitted is title bias.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding

from stages.collab.fitting import SCORING_BATCH, Rows
from stages.collab.histories import PADDING, histories_of
from stages.collab.interactions import Interactions
from stages.collab.main_effects import Effects, logits, main_effects
from stages.collab.method import CollaborativeMethod, FittedMethod
from stages.llm.title_vectors import title_vectors
from stages.measures.metrics.auc import auc


class Settings(Effects):
    """Title kNN: `compare.title_knn`."""

    title_weight: float = Field(ge=0)
    popularity: bool
    weight: float = Field(ge=0, le=1000)
    history: int = Field(ge=1, le=1000)
    encoder: str = Field(min_length=1)


def fit(data: Interactions, settings: Settings, seed: int) -> FittedMethod:
    """Fits the effects and encodes the titles; nothing is drawn, so that all seeds give the same.

    Raises:
        InputError: `encoder` names nothing, or what it holds is no encoder.
    """
    effects = main_effects(
        data, c=settings.c, title_weight=settings.title_weight, popularity=settings.popularity
    )
    vectors = title_vectors(data.titles, settings.encoder, named="compare.title_knn.encoder")

    def score(asked: Rows) -> NDArray:
        alike = settings.weight * likeness(vectors, asked)
        return (logits(effects, asked) + alike).astype(np.float32)

    valid = data.rows["valid"]
    return FittedMethod(
        score=score,
        tensors={"items": vectors},
        parameters=effects.parameters,
        valid_auc=auc(valid.labels.numpy(), score(valid)),
        course={"iterations": effects.iterations},
    )


def likeness(vectors: Tensor, rows: Rows) -> NDArray[np.float32]:
    """Returns (n,): the sum of cosines of candidate and liked items, by the root of their number.

    Args:
        vectors: (n_items + 1, width), of length 1.
        rows: n rows with histories; without a liked item it is 0.
    """
    starts = range(0, len(rows), SCORING_BATCH)
    parts = [_likeness(vectors, rows.take(slice(at, at + SCORING_BATCH))) for at in starts]
    return torch.cat([torch.empty(0), *parts]).numpy()


def _likeness(vectors: Tensor, rows: Rows) -> Tensor:
    histories = histories_of(rows)
    profiles = torch.zeros(len(rows), vectors.shape[1])
    for slot in histories.T:  # one by one: all at once would be a vector for every liked title
        profiles += embedding(slot, vectors)
    liked = (histories != PADDING).sum(1).clamp(min=1)
    return (profiles * embedding(rows.items, vectors)).sum(-1) / liked.sqrt()


METHOD = CollaborativeMethod(
    title="Title kNN",
    settings=Settings,
    fit=fit,
    history=lambda settings: settings.history,
    has_user_vectors=False,
)
