"""The user's own tables: interactions and item titles, CSV, TSV, RecBole's files or Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.raw import Raw, seconds, unique_titles
from stages.io.errors import InputError
from stages.io.outside import Written, lacking, numbers, plain, read_columns, refuse_unless

_KEYS = "preprocess.table"


def read(folder: Path, names: Table) -> Raw:
    """Reads interactions and titles, under whatever names.

    Ids may be text or numbers; where all are whole numbers, they sort as numbers. Times may be
    numbers or dates (without zone: UTC); where there are none, the rows' places in the file. A
    label counts as a rating of 0 or 1, and a row without either as a like.

    Args:
        folder: where the files lie.
        names: of files and columns.

    Raises:
        InputError: files or columns are missing, or a value is empty or of another kind.
    """
    _refuse_wrong_names(folder, names)
    path, how = folder / names.interactions, _written(names)
    columns = [names.user, names.item, names.rating, names.label, names.timestamp]
    told = [name for name in columns if name is not None]
    rows = read_columns(path, told, texts=(names.user, names.item), written=how)
    n = rows.num_rows
    feedback = pa.chunked_array([np.ones(n)])
    if names.rating:
        feedback = numbers(rows[names.rating], path, "rating a number")
    elif names.label:
        feedback = _labels(rows[names.label], path)
    places = pa.chunked_array([np.arange(n)])
    times = seconds(rows[names.timestamp], path) if names.timestamp else places
    path, item = folder / (names.items or names.interactions), _item_in_items(names)
    named = read_columns(
        path, [item, names.title], texts=(item, names.title), may_be_null=names.title, written=how
    )
    titles, counts = unique_titles(named[item], named[names.title], path)
    both = _ids(pa.chunked_array([*rows[names.item].chunks, *titles["item"].chunks], pa.string()))
    return Raw(
        pa.table(
            {
                "user": _ids(rows[names.user]),
                "item": both.slice(0, n),
                "rating": feedback,
                "timestamp": times,
            }
        ),
        titles.set_column(0, "item", both.slice(n)),
        {"rows": n, **counts},
    )


def _written(names: Table) -> Written:
    return Written(names.separator, names.encoding, names.quotes, _KEYS)


def _item_in_items(names: Table) -> str:
    return (names.item_in_items if names.items else None) or names.item


def _wanted(names: Table) -> dict[str, dict[str, str]]:
    """Returns file -> column -> the key that names it."""
    feedback = {names.rating: "rating", names.label: "label", names.timestamp: "timestamp"}
    columns = {names.user: "user", names.item: "item", **feedback}
    events = {name: f"{_KEYS}.{key}" for name, key in columns.items() if name is not None}
    item_key = "item_in_items" if names.item_in_items else "item"
    titles = {_item_in_items(names): f"{_KEYS}.{item_key}", names.title: f"{_KEYS}.title"}
    if names.items in (None, names.interactions):
        return {names.interactions: titles | events}
    return {names.interactions: events, names.items or "": titles}


def _refuse_wrong_names(folder: Path, names: Table) -> None:
    """Names all files and columns that are not there, at once.

    Raises:
        InputError: some are not.
    """
    wrong = []
    for file, columns in _wanted(names).items():
        key = "interactions" if file == names.interactions else "items"
        try:
            found = lacking(folder / file, columns, _written(names))
        except InputError as error:
            found = f"{error} ({_KEYS}.{key})"
        if found:
            wrong.append(found + _hint(file, found))
    if wrong:
        raise InputError("; ".join(wrong))


def _hint(file: str, found: str) -> str:
    """Returns what else may be meant by a file that lacks what its keys name."""
    if ".jsonl" in file.lower():
        return "; JSON lines of Amazon Reviews 2023: see dataset amazon-books-2023"
    if f"({_KEYS}.rating)" in found:
        return f"; if every row is a like: {_KEYS}.rating null and {_KEYS}.negatives"
    return ""


def _ids(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers where every id is written as one (`7`, not `007`), else text."""
    try:
        numbers = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return ids
    return numbers if numbers.cast(pa.string()).equals(ids) else ids


def _labels(values: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Returns labels as 0.0 and 1.0; they may be written as true and false."""
    what = "label 0 or 1, or true or false"
    values = plain(values, path)
    if not pa.types.is_string(values.type):
        found = numbers(values, path, what)
        refuse_unless(pc.is_in(found, pa.array([0.0, 1.0])), values, path, what)
        return found
    words = pc.utf8_lower(pc.ascii_trim_whitespace(values))
    yes, no = pa.array(["1", "1.0", "true"]), pa.array(["0", "0.0", "false"])
    likes = pc.is_in(words, yes)
    refuse_unless(pc.or_(likes, pc.is_in(words, no)), values, path, what)
    return numbers(likes, path, what)


DATASET = Dataset(Place(()), read, "per_user")
