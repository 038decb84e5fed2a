"""Title bias: user + item bias that knows titles, each as a bag of words, and popularity.

The simplest thing that could explain a row whose LLM reads titles. An item's effect is its own,
that of each word of its title (a year is a word, too), and that of how often it was rated: an item
of few train rows, or none, is ranked by the items that share words with it, below frequent ones. It
knows no taste and no order of words.
"""

from pydantic import Field

from stages.collab.interactions import Interactions
from stages.collab.main_effects import Effects, as_method, main_effects
from stages.collab.method import CollaborativeMethod, FittedMethod


class Settings(Effects):
    """User + item + title bias: `compare.title_bias`."""

    title_weight: float = Field(ge=0)
    popularity: bool


def fit(data: Interactions, settings: Settings, seed: int) -> FittedMethod:
    """Fits the effects; nothing is drawn, so that all seeds give the same."""
    effects = main_effects(
        data, c=settings.c, title_weight=settings.title_weight, popularity=settings.popularity
    )
    return as_method(effects, data)


METHOD = CollaborativeMethod(title="User + item + title bias", settings=Settings, fit=fit)
