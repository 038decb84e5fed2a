"""Raw interactions as every reader hands them over, and reading text files of any kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from stages.common.errors import InputError


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
    types: Mapping[str, pa.DataType],
    names: Sequence[str] | None = None,
    nulls: bool = False,
) -> pa.Table:
    """Reads columns of a UTF-8 text file, gzipped or not.

    Args:
        path: the file.
        delimiter: one character.
        types: the columns to read and what they hold.
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
                column_types=dict(types), include_columns=list(types), strings_can_be_null=True
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
    return table


def refuse_nulls(table: pa.Table, path: Path) -> None:
    """Raises an `InputError` that names the first row, counted from 0, with an empty value."""
    for name in table.column_names:
        if table[name].null_count:
            row = pc.index(table[name].is_null(), True).as_py()
            raise InputError(f"{path}: row {row} of the data has no {name!r}")


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
