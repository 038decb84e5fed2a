"""How codes are learned: `pretrain_hash`, and the sets of codes under `codes`.

A set of codes is the section, less what the set changes. Its own scores are a row of the table.
There are two recipes: `taste`, whose codes stand beside main effects and follow what a user liked,
and `paper`, which hashes a collaborative model's vectors (BinLLM section 2.1.2).
"""

from typing import Any, Literal

from pydantic import Field

from stages.collab.sections import Fitting, Loop
from stages.io.params import Section, known_entry, load_section

Recipe = Literal["taste", "paper"]
Vectors = Literal["mf", "lightgcn", "sasrec"]
CodeSpace = Literal["pm1", "01"]


class Distillation(Section):
    """How the vectors of taste are first fitted to a neighbour model; see `params.yaml`."""

    neighbours: int = Field(ge=1)
    shrinkage: float = Field(ge=0)
    steps: int = Field(ge=1)
    rows: int = Field(ge=1)
    lr: float = Field(gt=0)


class Taste(Loop):
    """The recipe `taste`: `pretrain_hash.taste` in `params.yaml`."""

    history: int = Field(ge=1, le=1000)
    c: float = Field(ge=1e-6)
    title_weight: float = Field(ge=0)
    popularity: bool
    distillation: Distillation
    user_vectors: bool
    init_scale: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    history_dropout: float = Field(ge=0, lt=1)


class PretrainHash(Fitting):
    """How the codes are learned; each key is explained in `params.yaml`."""

    recipe: Recipe
    taste: Taste
    vectors: Vectors
    graph_layers: int = Field(ge=0, le=16)
    history: int = Field(ge=1, le=1000)
    blocks: int = Field(ge=1, le=16)
    dropout: float = Field(ge=0, lt=1)
    dim: int = Field(ge=8, le=1024, multiple_of=8)
    code_space: CodeSpace
    shared_hash_layer: bool
    beta_step: float = Field(gt=0, le=1)
    beta_every: int = Field(ge=1)

    def key(self) -> dict[str, Any]:
        """Returns what shapes the codes: no key of the other recipe."""
        if self.recipe == "taste":
            return self.model_dump(include={"recipe", "dim", "taste"})
        return self.model_dump(exclude={"taste"})

    @property
    def history_read(self) -> int:
        """Items of each row's history that the codes are made of; 0 = none is read."""
        if self.recipe == "taste":
            return self.taste.history
        return self.history if self.vectors == "sasrec" else 0


def recipe(name: str) -> PretrainHash:
    """Returns how a set of codes is learned.

    Raises:
        InputError: there is no such set, or a value is not allowed.
    """
    changes = known_entry("codes", name)
    return load_section(PretrainHash, "pretrain_hash", changes=changes, changed_in=f"codes.{name}")
