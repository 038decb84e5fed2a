"""The section `pretrain_hash` of `params.yaml`."""

from pydantic import Field

from stages.collab.hashing import CodeSpace
from stages.common.params import Section
from stages.pretrain_hash.vectors import Vectors


class PretrainHash(Section):
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
    init_std: float = Field(gt=0, allow_inf_nan=False)
    lr: float = Field(gt=0, allow_inf_nan=False)
    weight_decay: float = Field(ge=0, allow_inf_nan=False)
    batch_size: int = Field(ge=1)
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)

    @property
    def history_read(self) -> int:
        """Items of each row's history that the chosen vectors are made of; 0 = none is read."""
        return self.history if self.vectors == "sasrec" else 0
