"""One way to read any data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.preprocess.amazon import read_amazon
from stages.preprocess.movielens import read_ml_1m, read_ml_100k
from stages.preprocess.own_table import read_table
from stages.preprocess.raw import Raw


def read(dataset: str, folder: Path, names: Mapping[str, Any], year: int | None) -> Raw:
    """Reads a data set's raw files.

    Args:
        dataset: `ml-100k`, `ml-1m`, `amazon-book` or `table`.
        folder: where `fetch_data` put them.
        names: files and columns of the user's own tables (`preprocess.table`).
        year: the only calendar year wanted; required for `amazon-book`.

    Raises:
        InputError: a file is missing or holds something else.
    """
    if dataset == "amazon-book":
        assert year is not None
        return read_amazon(folder, year)
    if dataset == "table":
        return read_table(folder, **names)
    return {"ml-100k": read_ml_100k, "ml-1m": read_ml_1m}[dataset](folder)
