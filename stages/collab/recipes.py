"""How codes are learned: `pretrain_hash`, and the sets of codes under `codes`.

A set of codes is the section, less what the set changes. `binmf`, which changes nothing, is the one
that a run has anyway. Its scores, and those of any further set, are a row of the table.
"""

from typing import Literal

from pydantic import Field

from stages.collab.sections import Fitting
from stages.io.params import known_entry, load_section

Vectors = Literal["mf", "lightgcn", "sasrec"]
CodeSpace = Literal["pm1", "01"]


class PretrainHash(Fitting):
    """How the codes are learned; each key is explained in `params.yaml`."""

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

    @property
    def history_read(self) -> int:
        """Items of each row's history that the chosen vectors are made of; 0 = none is read."""
        return self.history if self.vectors == "sasrec" else 0


def recipe(name: str) -> PretrainHash:
    """Returns how a set of codes is learned.

    Raises:
        InputError: there is no such set, or a value is not allowed.
    """
    changes = known_entry("codes", name)
    return load_section(PretrainHash, "pretrain_hash", changes=changes, changed_in=f"codes.{name}")
