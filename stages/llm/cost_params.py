"""What `stages.cost` reads of `params.yaml`: the section `cost`."""

from pydantic import Field

from stages.io.params import Section


class Cost(Section):
    """How the cost is measured; each key is explained in `params.yaml`."""

    rows: int = Field(ge=1)
    repeats: int = Field(ge=1, le=100)
