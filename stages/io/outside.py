"""Tables from outside the project: columns of CSV, TSV and Parquet files, each value checked."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from stages.io.errors import InputError


def read_columns(
    path: Path,
    columns: Sequence[str],
    *,
    texts: Collection[str],
    may_be_null: str | None = None,
) -> pa.Table:
    """Reads columns of a Parquet, TSV or CSV file, told apart by name; text may be gzipped.

    Args:
        path: the file.
        columns: the columns to read; others are left out.
        texts: which of them are text; the values of the others decide what they hold.
        may_be_null: the one column where values may be empty.

    Raises:
        InputError: the file is missing or damaged, lacks a column, or a value is empty or of
            another kind.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.name.endswith(".parquet"):
        table = _read_parquet(path, columns, texts)
    else:
        delimiter = "\t" if ".tsv" in path.name else ","
        types = {name: pa.string() if name in texts else None for name in columns}
        table = read_delimited(path, delimiter=delimiter, types=types, nulls=True)
    refuse_nulls(table.drop_columns([may_be_null]) if may_be_null else table, path)
    return table


def _read_parquet(path: Path, columns: Sequence[str], texts: Collection[str]) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise InputError(f"{path}: no column {lacking[0]!r}; has {', '.join(table.column_names)}")
    table = table.select(columns)
    for name in texts:
        text = cast(table[name], pa.string(), path, f"{name} as text")
        table = table.set_column(columns.index(name), name, text)
    return table


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
