"""The section `fetch_data` of `params.yaml`."""

from pydantic import Field

from stages.common.params import Section


class FetchData(Section):
    """Where the raw files come from.

    Attributes:
        source: None for the data set's own place; else a local file, a local folder or a URL.
    """

    source: str | None = Field(min_length=1)
