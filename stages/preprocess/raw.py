"""Raw interactions as every reader hands them over, and reading text files of any kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from stages.common.errors import InputError

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


def read_delimited(
    path: Path,
    *,
    delimiter: str,
    types: Mapping[str, pa.DataType | None],
    names: Sequence[str] | None = None,
    nulls: bool = False,
) -> pa.Table:
    """Reads columns of a UTF-8 text file, gzipped or not.

    Args:
        path: the file.
        delimiter: one character.
        types: the columns to read and what they hold; None lets the values decide.
        names: the file's columns; None where its first line names them.
        nulls: whether values may be empty; else the first one is refused.

    Raises:
        InputError: the file is missing, cut off, of another encoding, lacks a column, or holds a
            value of another type (with its row, counted from the file's first line).
    """
    try:
        # One thread, since only then are errors told with their row.
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, quote_char=False if delimiter == "\t" else '"'
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: kind for name, kind in types.items() if kind},
                include_columns=list(types),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; is it the right data set?") from None
    except KeyError as error:
        raise InputError(f"{path}: no column {error}; expected {', '.join(types)}") from None
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    if not nulls:
        refuse_nulls(table, path)
    for name in table.column_names:
        if pa.types.is_floating(table[name].type):
            refuse_unless(pc.is_finite(table[name]), table[name], path, f"{name} a finite number")
    return table


def refuse_nulls(table: pa.Table, path: Path) -> None:
    """Raises an `InputError` that names the first row, counted from 1, with an empty value."""
    for name in table.column_names:
        if table[name].null_count:
            row = pc.index(table[name].is_null(), True).as_py() + 1
            raise InputError(f"{path}: row {row} of the data has no {name!r}")


def refuse_unless(
    fine: pa.ChunkedArray, values: pa.ChunkedArray, path: Path, expected: str
) -> None:
    """Raises an `InputError` that names the first row, counted from 1, that is not `fine`."""
    row = pc.index(fine, False).as_py()
    if row >= 0:
        raise InputError(
            f"{path}: row {row + 1} of the data: {values[row].as_py()!r}, expected {expected}"
        )


def cast(values: pa.ChunkedArray, kind: pa.DataType, path: Path, what: str) -> pa.ChunkedArray:
    """Returns the values as `kind`.

    Raises:
        InputError: names the first row, counted from 1, whose value is no `what`.
    """
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        good, bad = 0, len(values)  # so many rows can, so many cannot be cast
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                values.slice(0, middle).cast(kind)
                good = middle
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                bad = middle
        found = values[bad - 1].as_py()
        raise InputError(f"{path}: row {bad} of the data: {found!r}, expected {what}") from None


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
