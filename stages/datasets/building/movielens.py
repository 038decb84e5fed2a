"""The MovieLens releases since 2015: `ratings.csv` and `movies.csv`, half stars, split per user."""

from pathlib import Path

import pyarrow as pa

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.raw import Raw, named_interactions, unique_titles
from stages.io.downloads import Checksum
from stages.io.outside import read_delimited

RATINGS, MOVIES = "ratings.csv", "movies.csv"


def grouplens(release: str, md5: str | None) -> tuple[str, Checksum | None]:
    """Returns a release's archive and the checksum that GroupLens publishes; None if it changes."""
    url = f"https://files.grouplens.org/datasets/movielens/{release}.zip"
    return url, Checksum("md5", md5) if md5 else None


def release(name: str, md5: str | None) -> Dataset:
    """Returns a release of MovieLens as a data set; 4 stars or more are label 1.

    Args:
        name: of the release.
        md5: of its archive; None where GroupLens replaces it from time to time.
    """
    return Dataset(Place((RATINGS, MOVIES), urls=(grouplens(name, md5),)), _read, "per_user")


def _read(folder: Path, _: Table) -> Raw:
    path = folder / RATINGS
    whole = pa.int64()
    types = {"userId": whole, "movieId": whole, "rating": pa.float64(), "timestamp": whole}
    rows = named_interactions(read_delimited(path, delimiter=",", types=types), path)
    path = folder / MOVIES
    kinds = {"movieId": whole, "title": pa.string()}
    movies = read_delimited(path, delimiter=",", types=kinds)
    titles, counts = unique_titles(movies["movieId"], movies["title"], path)
    return Raw(rows, titles, {"rows": len(rows), **counts})
