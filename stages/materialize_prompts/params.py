"""The section `materialize_prompts` of `params.yaml`."""

from typing import Literal

from pydantic import Field

from stages.common.params import Section


class MaterializePrompts(Section):
    """What stands in a prompt."""

    max_titles: int = Field(ge=0)
    max_tokens: int | None = Field(ge=16)
    fields: Literal["text+codes", "codes"]
    untrained_codes: Literal["learned", "word"]
