"""The section `compare_ctrl` of `params.yaml`; each key is explained there."""

from pydantic import Field

from stages.collab.sections import Din, Width
from stages.common.params import Section
from stages.llm.model import Precision


class Texts(Section):
    """What the encoder reads, and how."""

    rows: int | None = Field(ge=2)
    titles: int = Field(ge=0, le=1000)
    max_tokens: int = Field(ge=8)
    precision: Precision


class Alignment(Section):
    """How texts and DIN are brought together."""

    subspaces: int = Field(ge=1, le=64)
    width: Width
    temperature: float = Field(gt=0)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=2)
    epochs: int = Field(ge=1)


class CompareCtrl(Section):
    """CTRL (DIN)."""

    texts: Texts
    alignment: Alignment
    din: Din
