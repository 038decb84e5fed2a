"""The section `pretrain_hash` of `params.yaml`."""

from pydantic import Field

from stages.collab.hashing import CodeSpace
from stages.common.params import Section


class PretrainHash(Section):
    """How the codes are learned; each key is explained in `params.yaml`."""

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
