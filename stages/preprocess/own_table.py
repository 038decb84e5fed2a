"""Reader of the user's own tables: interactions and item titles, CSV, TSV or Parquet."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.common.errors import InputError
from stages.preprocess.raw import (
    Raw,
    cast,
    read_delimited,
    refuse_nulls,
    refuse_unless,
    seconds,
    unique_titles,
)


def read_table(
    folder: Path,
    *,
    interactions: str,
    items: str,
    user: str,
    item: str,
    rating: str | None,
    label: str | None,
    timestamp: str,
    title: str,
) -> Raw:
    """Reads interactions and titles, under whatever names.

    Ids may be text or numbers; where all are whole numbers, they sort as numbers. Times may be
    seconds since 1970 or dates (without zone: UTC). A label counts as a rating of 0 or 1.

    Args:
        folder: where the files lie.
        interactions: file.
        items: file.
        user: column of `interactions`.
        item: column of both.
        rating: column of `interactions`; None with `label`.
        label: column of `interactions`; None with `rating`.
        timestamp: column of `interactions`.
        title: column of `items`.

    Raises:
        InputError: a file or column is missing, or a value is empty or of another kind.
    """
    path = folder / interactions
    feedback = rating or label or ""
    texts = {user: pa.string(), item: pa.string()}
    rows = _read(path, [user, item, feedback, timestamp], texts)
    table = pa.table(
        {
            "user": _ids(rows[user]),
            "item": rows[item],
            "rating": _feedback(rows[feedback], path, is_label=label is not None),
            "timestamp": seconds(rows[timestamp], path),
        }
    )
    named = _read(folder / items, [item, title], {item: pa.string(), title: pa.string()}, title)
    titles = unique_titles(named[item], named[title], folder / items)
    both = _ids(pa.chunked_array([*table["item"].chunks, *titles["item"].chunks]))
    n = table.num_rows
    return Raw(
        table.set_column(1, "item", both.slice(0, n)),
        titles.set_column(0, "item", both.slice(n)),
        {"rows": n, "titles": titles.num_rows},
    )


def _read(
    path: Path, columns: list[str], texts: Mapping[str, pa.DataType], may_be_null: str = ""
) -> pa.Table:
    if path.name.endswith(".parquet"):
        try:
            table = pq.read_table(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; see preprocess.table") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: {' '.join(str(error).split())}") from None
        lacking = [name for name in columns if name not in table.column_names]
        if lacking:
            raise InputError(
                f"{path}: no column {lacking[0]!r}; has {', '.join(table.column_names)}"
            )
        table = table.select(columns)
        for name, kind in texts.items():
            table = table.set_column(
                columns.index(name), name, cast(table[name], kind, path, f"{name} as text")
            )
    else:
        delimiter = "\t" if ".tsv" in path.name else ","
        types = {name: texts.get(name) for name in columns}
        table = read_delimited(path, delimiter=delimiter, types=types, nulls=True)
    refuse_nulls(table.drop_columns([may_be_null]) if may_be_null else table, path)
    return table


def _ids(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers where every id is written as one (`7`, not `007`), else text."""
    try:
        numbers = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return ids
    return numbers if numbers.cast(pa.string()).equals(ids) else ids


def _feedback(values: pa.ChunkedArray, path: Path, *, is_label: bool) -> pa.ChunkedArray:
    what = "label 0 or 1" if is_label else "rating a number"
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    numbers = cast(values, pa.float64(), path, what)
    fine = pc.is_finite(numbers)
    if is_label:
        fine = pc.is_in(numbers, pa.array([0.0, 1.0]))
    refuse_unless(fine, values, path, what)
    return numbers
