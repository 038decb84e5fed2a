"""Main effects of a data set's train rows, for whatever is learned beside them."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions
from stages.collab.method import FittedMethod
from stages.io.params import Section
from stages.measures.metrics.auc import auc
from stages.prompts.main_effects import Floats, MainEffects, fit_main_effects, title_words


class Effects(Section):
    """The settings of whatever builds on main effects."""

    c: float = Field(ge=1e-6)


def main_effects(
    data: Interactions, *, c: float, title_weight: float = 0, popularity: bool = False
) -> MainEffects:
    """Fits main effects to the train rows; see `fit_main_effects` and `title_words`."""
    train = data.rows["train"]
    return fit_main_effects(
        train.users.numpy(),
        train.items.numpy(),
        train.labels.numpy(),
        n_users=data.n_users,
        n_items=data.n_items,
        c=c,
        words=title_words(data.titles, title_weight),
        popularity=popularity,
    )


def logits(effects: MainEffects, rows: Rows) -> Floats:
    """Returns the (n,) log-odds of rows by main effects."""
    return effects.logits(rows.users.numpy(), rows.items.numpy())


def as_method(effects: MainEffects, data: Interactions) -> FittedMethod:
    """Returns effects as a method of the table, which ranks by them alone."""

    def score(asked: Rows) -> NDArray:
        return logits(effects, asked).astype(np.float32)

    valid = data.rows["valid"]
    return FittedMethod(
        score=score,
        tensors={side: torch.from_numpy(v) for side, v in effects.vectors().items()},
        parameters=effects.parameters,
        valid_auc=auc(valid.labels.numpy(), score(valid)),
        course={"iterations": effects.iterations},
    )
