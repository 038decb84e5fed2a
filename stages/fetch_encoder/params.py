"""The section `fetch_encoder` of `params.yaml`."""

from pydantic import Field

from stages.common.params import Section


class FetchEncoder(Section):
    """Where the text encoder comes from; each key is explained in `params.yaml`."""

    source: str = Field(min_length=1)
