"""Main effects of a data set's train rows, for whatever is learned beside them."""

from pydantic import Field

from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions
from stages.io.params import Section
from stages.prompts.main_effects import Floats, MainEffects, fit_main_effects


class Effects(Section):
    """The settings of whatever builds on main effects."""

    c: float = Field(gt=0)


def main_effects(data: Interactions, *, c: float) -> MainEffects:
    """Fits main effects to the train rows; see `fit_main_effects`."""
    train = data.rows["train"]
    return fit_main_effects(
        train.users.numpy(),
        train.items.numpy(),
        train.labels.numpy(),
        n_users=data.n_users,
        n_items=data.n_items,
        c=c,
    )


def logits(effects: MainEffects, rows: Rows) -> Floats:
    """Returns the (n,) log-odds of rows by main effects."""
    return effects.logits(rows.users.numpy(), rows.items.numpy())
