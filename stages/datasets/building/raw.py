"""Raw interactions as every reader hands them over: times in seconds, one title per item."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.io.errors import InputError
from stages.io.outside import cast, refuse_unless

_LATEST = 10**11  # seconds: beyond it (the year 5138) a timestamp must be in milliseconds


@dataclass(frozen=True)
class Raw:
    """One data set as it was found.

    Attributes:
        interactions: user, item (int64 or string), rating float64, timestamp int64 (seconds), in
            the file's order.
        titles: item (typed as above, unique), title string (not empty).
        counts: what reading counted: rows, and anything out of the ordinary.
    """

    interactions: pa.Table
    titles: pa.Table
    counts: Mapping[str, int] = field(default_factory=dict)


def seconds(values: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Returns times as whole seconds since 1970; fractions are cut off.

    Args:
        values: numbers of seconds, or dates (without zone: UTC).
        path: the file, for the message.

    Raises:
        InputError: a value is neither, or so large that it must count milliseconds.
    """
    what = "timestamp in seconds since 1970, or a date"
    if pa.types.is_string(values.type):  # a column of dates or numbers with something odd in it
        numeric = len(values) and values[0].as_py().replace(".", "", 1).isdigit()
        values = cast(values, pa.float64() if numeric else pa.timestamp("us"), path, what)
    if pa.types.is_temporal(values.type):
        # Through microseconds, since a cast to coarser units refuses to round.
        precise = cast(values, pa.timestamp("us"), path, what).cast(pa.int64())
        whole = cast(pc.floor(pc.divide(precise.cast(pa.float64()), 1e6)), pa.int64(), path, what)
    elif pa.types.is_integer(values.type):
        whole = cast(values, pa.int64(), path, what)
    else:
        whole = cast(pc.floor(cast(values, pa.float64(), path, what)), pa.int64(), path, what)
    refuse_unless(pc.less(pc.abs(whole), _LATEST), values, path, what)
    return whole


def unique_titles(item: pa.ChunkedArray, title: pa.ChunkedArray, path: Path) -> pa.Table:
    """Returns items with their titles, spaces tidied; items without one are left out.

    Raises:
        InputError: an item stands there twice.
    """
    tidy = pc.utf8_trim_whitespace(pc.replace_substring_regex(title, r"\s+", " "))
    table = pa.table({"item": item, "title": tidy})
    counts = pc.value_counts(item)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise InputError(f"{path}: item {repeated[0]['values']} has {repeated[0]['counts']} rows")
    return table.filter(pc.greater(pc.utf8_length(pc.fill_null(tidy, "")), 0))


def named_interactions(table: pa.Table, path: Path) -> pa.Table:
    """Returns four columns named as every reader names them, times in seconds."""
    table = table.rename_columns(["user", "item", "rating", "timestamp"])
    return table.set_column(3, "timestamp", seconds(table["timestamp"], path))
