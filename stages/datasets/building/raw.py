"""Raw interactions as every reader hands them over: times in seconds, one title per item."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.outside import cast, numbers, plain, refuse_unless

_WHEN = "timestamp in seconds since 1970 (or thousandths), or a date like 2020-01-31 08:00:00+01:00"
_MOST_SECONDS = 10**11  # beyond it (the year 5138) a number counts smaller units
_YEAR_2100 = 4_102_444_800
_DIVISIONS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DATE = (
    r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
    r"\s*([zZ]|UTC|GMT|[+-]\d{2}(:?\d{2})?)?$"
)
# Code points that never are characters (prompts use two of them as marks of their own), and
# control characters, but for those that part words.
_PLANES = "".join(rf"\x{{{plane:X}FFFE}}\x{{{plane:X}FFFF}}" for plane in range(17))
RESERVED = rf"[\x{{FDD0}}-\x{{FDEF}}{_PLANES}\x00-\x08\x0E-\x1F\x7F-\x84\x86-\x9F]"
_SPACES = r"[\s\x0B\x{85}\x{2028}\x{2029}]+"


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
        values: numbers of seconds, or of thousandths, millionths or billionths of them, told by
            their size; or dates (without zone: UTC).
        path: the file, for the message.

    Raises:
        InputError: a value is none of these, or of another unit than the others, or all are dates
            without dashes, which look like numbers.
    """
    values = plain(values, path)
    if pa.types.is_string(values.type):
        texts = pc.ascii_trim_whitespace(values)
        first = texts[0].as_py() if len(texts) else ""
        if re.match(r"[+-]?[\d.]+([eE][+-]?\d+)?$", first):
            return _from_numbers(_whole(texts, path), values, path)
        return _from_dates(texts, values, path)
    if pa.types.is_timestamp(values.type):
        whole = values.cast(pa.int64()).to_numpy() // _DIVISIONS[values.type.unit]
        return _checked(whole, values, path)
    if pa.types.is_temporal(values.type):
        return cast(cast(values, pa.timestamp("s"), path, _WHEN), pa.int64(), path, _WHEN)
    return _from_numbers(_whole(values, path), values, path)


def _whole(values: pa.ChunkedArray, path: Path) -> NDArray[np.int64]:
    """Returns (n,) numbers less their fractions; those of nanoseconds to the last digit."""
    if pa.types.is_integer(values.type):
        return cast(values, pa.int64(), path, _WHEN).to_numpy()
    if pa.types.is_string(values.type):
        digits = pc.all(pc.match_substring_regex(values, r"^-?\d{1,18}$")).as_py()
        if digits:
            return cast(values, pa.int64(), path, _WHEN).to_numpy()
    found = numbers(values, path, _WHEN)
    refuse_unless(pc.less(pc.abs(found), 2.0**62), values, path, _WHEN)
    return np.floor(found.to_numpy()).astype(np.int64)


def _from_numbers(found: NDArray[np.int64], values: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Tells the unit by the largest number; all others must be of the same one."""
    if _are_dates(found):
        raise InputError(
            f"{path}: timestamps like {int(found[found != 0][0])} are dates without dashes; "
            f"expected {_WHEN}"
        )
    most = int(np.abs(found).max(initial=0))
    per_second = 1
    if most >= _MOST_SECONDS:
        fitting = (
            division
            for division in (10**3, 10**6, 10**9)
            if 10**8 * division <= most <= _YEAR_2100 * division
        )
        per_second = next(fitting, 1)
    if per_second > 1:
        # A number of seconds among others of milliseconds would fall into January 1970.
        same = (found == 0) | (np.abs(found) >= 10**8 * per_second)
        unit = f"a timestamp like the others, of 1/{per_second:,} s"
        refuse_unless(pa.chunked_array([pa.array(same)]), values, path, unit)
    return _checked(found // per_second, values, path)


def _checked(whole: NDArray[np.int64], values: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    times = pa.chunked_array([pa.array(whole, pa.int64())])
    refuse_unless(pc.less(pc.abs(times), _MOST_SECONDS), values, path, _WHEN)
    return times


def _are_dates(found: NDArray[np.int64]) -> bool:
    """Whether all numbers read as year and month, and day, hour, minute, second if they go on."""
    digits = found[found != 0]
    if not len(digits):
        return False
    for n_pairs in range(5, -1, -1):  # 20200131235959, 202001312359, ..., 2020
        year = digits // 100**n_pairs
        if year.min() >= 1900 and year.max() <= 2100:
            parts = [digits // 100 ** (n_pairs - k) % 100 for k in range(1, n_pairs + 1)]
            limits = ((1, 12), (1, 31), (0, 23), (0, 59), (0, 59))
            return all(
                bool(((part >= low) & (part <= high)).all())
                for part, (low, high) in zip(parts, limits, strict=False)
            )
    return False


def _from_dates(texts: pa.ChunkedArray, values: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Reads ISO dates, with or without time of day, fraction and zone."""
    refuse_unless(pc.match_substring_regex(texts, _DATE), values, path, _WHEN)
    for pattern, replacement in (
        (r"\.\d+", ""),
        (r"\s*([zZ]|UTC|GMT)$", "Z"),
        (r"\s+([+-])", r"\1"),
        (r"^(.{10})(Z|[+-]\d{2}:?\d{0,2})?$", r"\1T00:00\2"),
        (r"^(.{10}[T ][\d:]+)$", r"\1Z"),  # no zone: UTC
    ):
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return cast(cast(texts, pa.timestamp("s", "UTC"), path, _WHEN), pa.int64(), path, _WHEN)


def plain_titles(titles: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """Returns titles without reserved code points, spaces tidied; and how many had some."""
    n_reserved = pc.sum(pc.match_substring_regex(titles, RESERVED)).as_py() or 0
    cleared = pc.replace_substring_regex(titles, RESERVED, "") if n_reserved else titles
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(cleared, _SPACES, " ")), n_reserved


def unique_titles(
    item: pa.ChunkedArray, title: pa.ChunkedArray, path: Path
) -> tuple[pa.Table, dict[str, int]]:
    """Returns items with their titles, tidied; items without one are left out.

    Rows that say the same of an item count once.

    Args:
        item: (n,) ids.
        title: (n,) text or null.
        path: the file, for the message.

    Returns:
        Columns item and title, and what was counted.

    Raises:
        InputError: an item has two titles.
    """
    tidy, n_reserved = plain_titles(title)
    table = pa.table({"item": item, "title": tidy})
    table = table.filter(pc.greater(pc.utf8_length(pc.fill_null(tidy, "")), 0))
    if len(pc.unique(table["item"])) < table.num_rows:
        table = table.group_by(["item", "title"], use_threads=False).aggregate([])
        _refuse_second_titles(table, path)
    return table, {"titles": table.num_rows, "titles_with_reserved_characters": n_reserved}


def _refuse_second_titles(table: pa.Table, path: Path) -> None:
    counts = pc.value_counts(table["item"])
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        twice = repeated[0]["values"]
        found = table.filter(pc.equal(table["item"], twice))["title"].to_pylist()
        raise InputError(
            f"{path}: item {twice.as_py()!r} has {len(found)} titles, such as {found[0][:60]!r} "
            f"and {found[1][:60]!r}, expected one"
        )


def named_interactions(table: pa.Table, path: Path) -> pa.Table:
    """Returns four columns named as every reader names them, times in seconds."""
    table = table.rename_columns(["user", "item", "rating", "timestamp"])
    return table.set_column(3, "timestamp", seconds(table["timestamp"], path))
