"""Main effects of a data set's train rows, for whatever is learned beside them."""

from dataclasses import replace

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


def from_rarest(effects: MainEffects, data: Interactions) -> MainEffects:
    """Returns the same log-odds, items' effects counted from an item that nobody has rated.

    For fits that pull effects to 0: what is rated seldom is then pulled to what is rare, not to
    what is rated as often as others.
    """
    if effects.popularity is None:
        return effects
    items = data.rows["train"].items.numpy()
    average = np.log(np.bincount(items)[items]).mean()  # as `fit_main_effects` has it
    moved = effects.popularity * average
    above = effects.items + moved
    above[0] = 0.0
    return replace(effects, intercept=effects.intercept - moved, items=above)


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
