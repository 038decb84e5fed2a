"""What the command reads of another stage's section, so that it shows what that one does."""

from pydantic import Field

from stages.io.params import Section


class Preprocess(Section, extra="ignore"):
    """Of section `preprocess`: how long histories are."""

    keep_history: int | None = Field(ge=1)
