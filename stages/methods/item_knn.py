"""Item kNN: user and item bias, corrected by what these missed of similar items of the user.

Adjusted cosine (Sarwar et al. 2001), with both biases taken off and not the user's mean alone, and
shrunk by its support (Koren 2010, "Factor in the Neighbors"). The sum over neighbours is not
divided by that of their similarities: the more of them speak, the stronger it is (Cremonesi et al.
2010, NNCosNgbr).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions
from stages.collab.item_neighbours import find_neighbours
from stages.collab.main_effects import Effects, logits, main_effects
from stages.collab.method import CollaborativeMethod, FittedMethod
from stages.measures.metrics.auc import auc


class Settings(Effects):
    """Item kNN: `compare.item_knn`."""

    neighbours: int = Field(ge=1)
    shrinkage: float = Field(ge=0)
    weight: float = Field(ge=0)


def fit(data: Interactions, settings: Settings, seed: int) -> FittedMethod:
    """Fits the effects, then finds neighbours by what they leave; nothing is drawn."""
    train, valid = data.rows["train"], data.rows["valid"]
    effects = main_effects(data, c=settings.c)
    found = find_neighbours(
        train,
        train.labels.numpy() - expit(logits(effects, train)),
        n_users=data.n_users,
        n_items=data.n_items,
        neighbours=settings.neighbours,
        shrinkage=settings.shrinkage,
    )

    def score(asked: Rows) -> NDArray:
        return (logits(effects, asked) + settings.weight * found.sums(asked)).astype(np.float32)

    return FittedMethod(
        score=score,
        tensors={side: torch.from_numpy(v) for side, v in effects.vectors().items()},
        parameters=effects.parameters + found.similarities.nnz,
        valid_auc=auc(valid.labels.numpy(), score(valid)),
        course={"iterations": effects.iterations, "similarities": found.similarities.nnz},
    )


METHOD = CollaborativeMethod(title="Item kNN", settings=Settings, fit=fit)
