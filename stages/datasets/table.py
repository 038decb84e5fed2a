"""The user's own tables: interactions and item titles, CSV, TSV or Parquet."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.raw import Raw, seconds, unique_titles
from stages.io.outside import cast, read_columns, refuse_unless


def read(folder: Path, names: Table) -> Raw:
    """Reads interactions and titles, under whatever names.

    Ids may be text or numbers; where all are whole numbers, they sort as numbers. Times may be
    seconds since 1970 or dates (without zone: UTC). A label counts as a rating of 0 or 1.

    Args:
        folder: where the files lie.
        names: of files and columns.

    Raises:
        InputError: a file or column is missing, or a value is empty or of another kind.
    """
    path = folder / names.interactions
    feedback = names.rating or names.label or ""
    columns = [names.user, names.item, feedback, names.timestamp]
    rows = read_columns(path, columns, texts=columns[:2])
    table = pa.table(
        {
            "user": _ids(rows[names.user]),
            "item": rows[names.item],
            "rating": _feedback(rows[feedback], path, is_label=names.label is not None),
            "timestamp": seconds(rows[names.timestamp], path),
        }
    )
    path = folder / names.items
    columns = [names.item, names.title]
    named = read_columns(path, columns, texts=columns, may_be_null=names.title)
    titles = unique_titles(named[names.item], named[names.title], path)
    both = _ids(pa.chunked_array([*table["item"].chunks, *titles["item"].chunks]))
    n = table.num_rows
    return Raw(
        table.set_column(1, "item", both.slice(0, n)),
        titles.set_column(0, "item", both.slice(n)),
        {"rows": n, "titles": titles.num_rows},
    )


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


DATASET = Dataset(Place(()), read, "per_user")
