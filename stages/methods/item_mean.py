"""Item mean: the share of an item's train rows that are likes; who is asked does not matter."""

import torch
from numpy.typing import NDArray
from pydantic import Field

from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions
from stages.collab.method import CollaborativeMethod, FittedMethod
from stages.io.params import Section
from stages.measures.metrics.auc import auc


class Settings(Section):
    """Item mean: `compare.item_mean`."""

    strength: float = Field(gt=0)


def fit(data: Interactions, settings: Settings, seed: int) -> FittedMethod:
    """Counts likes and rows per item, after `strength` rows at the share of all train rows."""
    train, valid = data.rows["train"], data.rows["valid"]
    likes = torch.bincount(train.items, weights=train.labels, minlength=data.n_items + 1)
    rows = torch.bincount(train.items, minlength=data.n_items + 1)
    means = (likes + settings.strength * train.labels.mean()) / (rows + settings.strength)

    def score(asked: Rows) -> NDArray:
        return means[asked.items].float().numpy()

    valid_auc = auc(valid.labels.numpy(), score(valid))
    return FittedMethod(score, {"items": means[:, None]}, data.n_items, valid_auc, {})


METHOD = CollaborativeMethod(title="Item mean", settings=Settings, fit=fit, has_user_vectors=False)
