"""The Parquet tables that stages hand to each other, and how they are written.

Every table has an explicit schema here, is checked against it on write and read, and is written
so that equal content gives equal bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.io.damage import damaged
from stages.io.errors import InputError
from stages.io.outputs import replacing

_MOST_ELEMENTS = 1 << 24  # of lists in a row group that is made of views

SPLITS = ("train", "valid", "test")

INTERACTIONS = pa.schema(
    [
        ("row", pa.int64()),
        ("uid", pa.int32()),
        ("iid", pa.int32()),
        ("label", pa.int8()),
        ("timestamp", pa.int64()),
        ("history", pa.list_(pa.int32())),
        ("seen", pa.bool_()),
        ("warm", pa.bool_()),
    ]
)
USERS = pa.schema([("uid", pa.int32()), ("source_id", pa.string()), ("n_train", pa.int32())])
ITEMS = pa.schema(
    [
        ("iid", pa.int32()),
        ("source_id", pa.string()),
        ("title", pa.string()),
        ("n_train", pa.int32()),
    ]
)


def _codes(key: str) -> pa.Schema:
    return pa.schema(
        [
            (key, pa.int32()),
            ("bits", pa.string()),
            ("packed", pa.binary()),
            ("dotted", pa.string()),
            ("trained", pa.bool_()),
        ]
    )


USER_CODES = _codes("uid")
ITEM_CODES = _codes("iid")
# The user's code at each row of all splits, by ascending row: it may follow what they liked.
ROW_CODES = pa.schema([("row", pa.int64()), ("packed", pa.binary())])
# How likely a like is by the codes: of train and validation rows, by ascending row.
TEACHER = pa.schema([("row", pa.int64()), ("probability", pa.float32())])
PROMPTS = pa.schema(
    [
        ("row", pa.int64()),
        ("uid", pa.int32()),
        ("iid", pa.int32()),
        ("label", pa.int8()),
        # A like's probability by what teaches the row: codes, or like-rates; 0 to 1.
        # Test rows carry nothing new: 0.5.
        ("teacher", pa.float32()),
        ("prefix", pa.string()),
        ("suffix", pa.string()),
        ("n_tokens", pa.int32()),
    ]
)
PREDICTIONS = pa.schema(
    [
        ("row", pa.int64()),
        ("uid", pa.int32()),
        ("iid", pa.int32()),
        ("label", pa.int8()),
        ("score", pa.float32()),
    ]
)


REPEATS = pa.schema([("seed", pa.int64()), ("row", pa.int64()), ("score", pa.float32())])


def write_table(data: pd.DataFrame | pa.Table, path: Path, schema: pa.Schema) -> None:
    """Writes a table as Parquet (zstd), whole or not at all.

    Args:
        data: the columns of `schema`, in any order, without nulls. Lists may be views: they are
            copied a row group at a time.
        path: the file.
        schema: the table's schema; its column order is the file's.

    Raises:
        InputError: a column is missing, superfluous, of another type, or holds a null.
    """
    given = data.column_names if isinstance(data, pa.Table) else list(data.columns)
    if sorted(given) != sorted(schema.names):
        raise InputError(f"{path}: columns {sorted(given)}, expected {sorted(schema.names)}")
    try:
        if isinstance(data, pa.Table):
            table = data.select(schema.names)
        else:
            table = pa.Table.from_pandas(data[schema.names], schema=schema, preserve_index=False)
        for name in schema.names:
            if table[name].null_count:
                raise InputError(f"{path}: column {name!r} holds {table[name].null_count} nulls")
        with (
            replacing(path) as partial,
            pq.ParquetWriter(
                partial, schema, compression="zstd", write_page_checksum=True
            ) as writer,
        ):
            for piece in _row_groups(table):
                writer.write_table(piece.cast(schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Yields the table, or where it holds views into lists, pieces of it with lists."""
    views = [field.name for field in table.schema if pa.types.is_list_view(field.type)]
    pieces = [(0, table.num_rows)]
    if views:
        longest = np.maximum.reduce(
            [pc.list_value_length(table[name]).to_numpy() for name in views]
        )
        pieces = pieces_of(longest, _MOST_ELEMENTS)
    for begin, end in pieces:
        piece = table.slice(begin, end - begin).replace_schema_metadata(None)
        for name in views:
            piece = piece.set_column(piece.column_names.index(name), name, [lists(piece[name])])
        yield piece


def pieces_of(lengths: NDArray, most: int) -> list[tuple[int, int]]:
    """Cuts rows into stretches whose lists hold about `most` elements together.

    Args:
        lengths: (n,) elements of each row's list.
        most: elements of a stretch; its last row may go beyond.

    Returns:
        First row, and the one after the last, of each stretch; at least one stretch.
    """
    before = np.cumsum(lengths, dtype=np.int64) - lengths
    begins = np.flatnonzero(np.diff(before // most, prepend=-1))
    ends = np.r_[begins[1:], len(lengths)]
    return list(zip(begins.tolist(), ends.tolist(), strict=True)) or [(0, 0)]


def lists(column: pa.ChunkedArray) -> pa.ListArray:
    """Returns a column of lists as one array, views into others copied.

    Arrow 26 casts slices of views wrongly.
    """
    if not pa.types.is_list_view(column.type):
        return pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    copied = []
    for chunk in column.chunks:
        begin, size = chunk.offsets.to_numpy(), chunk.sizes.to_numpy().astype(np.int64)
        offsets = np.r_[0, np.cumsum(size)]
        where = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], size)
        values = chunk.values.take(pa.array(where))
        copied.append(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values))
    return pa.concat_arrays(copied or [pa.array([], pa.list_(column.type.value_type))])


def read_table(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Reads a table and checks its schema.

    Args:
        path: the file.
        schema: what the file must hold.
        columns: which columns to read; all by default.

    Raises:
        InputError: the file is missing, damaged, no Parquet, or of another schema.
    """
    try:
        found = pq.read_schema(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, f"no Parquet file: {error}") from None
    if not found.equals(schema, check_metadata=False):
        raise InputError(
            f"{path}: columns {dict(zip(found.names, map(str, found.types), strict=True))}, "
            f"expected {dict(zip(schema.names, map(str, schema.types), strict=True))}"
        )
    try:
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from None
    return table


def write_json(data: dict[str, Any], path: Path) -> None:
    """Writes metrics as JSON, whole or not at all; leaves out keys whose value is None.

    `NaN` is no JSON: an undefined metric is None here and absent in the file.
    """
    text = json.dumps(_without_none(data), indent=2, allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Reads what a stage wrote as JSON.

    Raises:
        InputError: the file is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, f"no JSON: {error}") from None
    if not isinstance(content, dict):
        raise damaged(path, "expected a JSON object")
    return content


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a plot's table, whole or not at all; six digits are more than a picture shows."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6f", lineterminator="\n")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
