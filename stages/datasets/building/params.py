"""The sections `fetch_data` and `preprocess` of `params.yaml`."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from stages.io.params import Section


class FetchData(Section):
    """Where the raw files come from.

    Attributes:
        source: None for the data set's own place; else a local file, a local folder or a URL.
    """

    source: str | None = Field(min_length=1)


class Table(Section):
    """Names in the user's own tables (`dataset: table`).

    Attributes:
        interactions: file in `data/raw`, CSV, TSV or Parquet.
        items: file in `data/raw` with the items' titles.
        user: column of `interactions`: who.
        item: column of both files: what.
        rating: column of `interactions` that `positive_from` is applied to; None with `label`.
        label: column of 0 and 1; None with `rating`.
        timestamp: column of `interactions`: seconds since 1970, or dates.
        title: column of `items`.
    """

    interactions: str
    items: str
    user: str
    item: str
    rating: str | None
    label: str | None
    timestamp: str
    title: str

    @model_validator(mode="after")
    def _one_kind_of_feedback(self) -> "Table":
        if (self.rating is None) == (self.label is None):
            raise ValueError("exactly one of rating and label must name a column")
        return self


class Preprocess(Section):
    """How raw interactions become labelled rows with histories.

    Attributes:
        engine: what computes: one process, or Spark.
        keep_history: positive items kept per row; None keeps all.
        positive_from: least rating with label 1; None for the data set's own.
        split: kind of split; None for the data set's own.
        valid_share: share of validation rows (`per_user`, `fractions`).
        test_share: share of test rows (`per_user`, `fractions`).
        month_edges: first months of train, valid, test, and the first one after (`months`),
            counted from the data's first month = 0.
        table: names in the user's own tables.
    """

    engine: Literal["pandas", "spark"]
    keep_history: int | None = Field(ge=1)
    positive_from: float | None
    split: Literal["per_user", "fractions", "months"] | None
    valid_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)
    month_edges: list[int] = Field(min_length=4, max_length=4)
    table: Table

    @model_validator(mode="after")
    def _splits_leave_something(self) -> "Preprocess":
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share + test_share leave nothing to train on")
        edges = self.month_edges
        if edges[0] < 0 or any(a >= b for a, b in pairwise(edges)):
            raise ValueError("month_edges must rise from 0 or more")
        return self
