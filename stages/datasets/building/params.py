"""The sections `fetch_data` and `preprocess` of `params.yaml`."""

import codecs
from itertools import pairwise
from pathlib import PurePath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from stages.io.params import Section


class FetchData(Section):
    """Where the raw files come from.

    Attributes:
        source: None for the data set's own place; else a local file, a local folder or a URL.
    """

    source: str | None = Field(min_length=1)


class OwnFiles(Section, extra="ignore"):
    """Of the user's own tables, what `fetch_data` brings: which files.

    Attributes:
        interactions: file with who, what and when.
        items: file with the items' titles; None where `interactions` holds them.
    """

    interactions: str = Field(min_length=1)
    items: str | None = Field(min_length=1)

    @field_validator("interactions", "items")
    @classmethod
    def _is_no_path(cls, name: str | None) -> str | None:
        if name is not None and name != PurePath(name).name:
            raise ValueError("expected the name of a file, without a folder")
        return name

    def by_name(self) -> dict[str, str]:
        """Returns file -> the key that names it; both may name one file."""
        named = {self.interactions: "interactions"}
        if self.items is not None:
            named = {self.items: "items"} | named
        return {name: f"preprocess.table.{key}" for name, key in sorted(named.items())}


class Negatives(Section):
    """Items that a user never met, drawn as rows of label 0 where a table holds likes alone.

    Attributes:
        per_event: so many for each event.
        seed: of the draw; its own, so that runs that differ in `seed` share their data.
    """

    per_event: int = Field(ge=1, le=1000)
    seed: int = Field(ge=0)


class Table(OwnFiles, extra="forbid"):
    """Names in the user's own tables (`dataset: table`).

    Attributes:
        interactions: file in `data/raw`.
        items: file in `data/raw` with the items' titles; None where `interactions` holds them.
        user: column of `interactions`: who.
        item: column of both files: what.
        item_in_items: column of `items`: what; None for the name in `item`.
        rating: column of `interactions` that `positive_from` is applied to; None with `label`.
        label: column of 0 and 1; None with `rating`.
        negatives: where every row is a like (no rating, no label): rows drawn beside them.
        timestamp: column of `interactions`: numbers or dates; None for the order of the file.
        title: column of `items`.
        separator: the character between two values; None for what the file's ending says.
        encoding: the codec of text files.
        quotes: whether `"` around a value is no part of it.
    """

    user: str
    item: str
    item_in_items: str | None
    rating: str | None
    label: str | None
    negatives: Negatives | None
    timestamp: str | None
    title: str
    separator: str | None = Field(min_length=1, max_length=1)
    encoding: str
    quotes: bool

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)  # of text: codecs like hex and rot13 are refused
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError(
                "expected an encoding's name, such as utf-8, utf-16, latin-1 or cp1252"
            ) from None
        return encoding

    @field_validator("separator")
    @classmethod
    def _separates(cls, separator: str | None) -> str | None:
        if separator is not None and (separator in '"\r\n' or ord(separator) > 127):
            raise ValueError("expected one character that stands between values, such as ; or |")
        return separator

    @model_validator(mode="after")
    def _one_kind_of_feedback(self) -> "Table":
        kinds = (self.rating, self.label, self.negatives)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError(
                "exactly one of rating and label must name a column, or both be null and negatives "
                "say how many dislikes are drawn"
            )
        return self


class Preprocess(Section):
    """How raw interactions become labelled rows with histories.

    Attributes:
        engine: what computes: one process, or Spark.
        keep_history: positive items kept per row; None keeps all.
        repeats: which row of a user and an item counts where there are several; None for the data
            set's own.
        positive_from: least rating with label 1; None for the data set's own.
        split: kind of split; None for the data set's own.
        valid_share: share of validation rows (`per_user`, `fractions`).
        test_share: share of test rows (`per_user`, `fractions`).
        month_edges: first months of train, valid, test, and the first one after (`months`),
            counted from the data's first month = 0.
        table: names in the user's own tables.
    """

    engine: Literal["pandas", "spark"]
    keep_history: int | None = Field(ge=1, le=2**31 - 1)
    repeats: Literal["last", "first", "keep"] | None
    positive_from: float | None
    split: Literal["per_user", "leave_last_out", "fractions", "months"] | None
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
        if self.split == "months" and self.table.timestamp is None:
            raise ValueError("split months needs times, but table.timestamp is null")
        return self
