"""User + item bias: how much a user likes in general, and how much an item is liked in general.

The simplest thing that could explain any row of the table: log-odds that are a user's effect plus
an item's. It knows no taste, since it ranks items in one order for all users. So each row is held
against it: what a row is above it is what the row knows of who likes what.
"""

from stages.collab.interactions import Interactions
from stages.collab.main_effects import Effects, as_method, main_effects
from stages.collab.method import CollaborativeMethod, FittedMethod


class Settings(Effects):
    """User + item bias: `compare.bias`."""


def fit(data: Interactions, settings: Settings, seed: int) -> FittedMethod:
    """Fits the effects; nothing is drawn, so that all seeds give the same."""
    return as_method(main_effects(data, c=settings.c), data)


METHOD = CollaborativeMethod(title="User + item bias", settings=Settings, fit=fit)
