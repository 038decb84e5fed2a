"""One way to read any data set."""

from collections.abc import Mapping
from pathlib import Path

from stages.preprocess.movielens import read_ml_1m, read_ml_100k
from stages.preprocess.raw import Raw


def read(dataset: str, folder: Path, names: Mapping[str, str | None], year: int | None) -> Raw:
    """Reads a data set's raw files.

    Args:
        dataset: `ml-100k`, `ml-1m`, `amazon-book` or `table`.
        folder: where `fetch_data` put them.
        names: files and columns of the user's own tables (`preprocess.table`).
        year: only this calendar year is wanted; read by those readers that need not hold more.

    Raises:
        InputError: a file is missing or holds something else.
    """
    if dataset == "ml-100k":
        return read_ml_100k(folder)
    return read_ml_1m(folder)
