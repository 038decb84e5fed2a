"""MovieLens-1M, GroupLens' own files; the paper's protocol: windows of calendar months."""

from pathlib import Path

import pyarrow as pa

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.raw import Raw, named_interactions, unique_titles
from stages.io.downloads import Checksum
from stages.io.errors import InputError
from stages.io.outside import read_delimited


def read(folder: Path, _: Table) -> Raw:
    """Reads `ratings.dat` and `movies.dat` (fields between `::`, Latin-1).

    Raises:
        InputError: a file is missing or holds something else.
    """
    # Arrow splits at one character, so every second column is the void between two colons.
    names = ["user", "void1", "item", "void2", "rating", "void3", "timestamp"]
    types = {
        "user": pa.int64(),
        "item": pa.int64(),
        "rating": pa.float64(),
        "timestamp": pa.int64(),
    }
    table = read_delimited(folder / "ratings.dat", delimiter=":", types=types, names=names)
    path = folder / "movies.dat"
    items, titles = [], []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.split("::")
        if len(fields) < 3 or not fields[0].isdigit():
            raise InputError(f"{path}: line {number}: {line!r}, expected id::title::genres")
        items.append(int(fields[0]))
        titles.append("::".join(fields[1:-1]))
    titled = unique_titles(
        pa.chunked_array([pa.array(items, pa.int64())]),
        pa.chunked_array([pa.array(titles, pa.string())]),
        path,
    )
    interactions = named_interactions(table, folder / "ratings.dat")
    return Raw(interactions, titled, {"rows": table.num_rows, "titles": titled.num_rows})


def _text(path: Path) -> str:
    """Decodes UTF-8 where the bytes are that, else Latin-1, as GroupLens publishes."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; is it the right data set?") from None
    if b"\0" in raw:
        raise InputError(f"{path}: holds zero bytes; expected Latin-1 or UTF-8 text")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


DATASET = Dataset(
    Place(
        ("ratings.dat", "movies.dat"),
        urls=(
            (
                "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
                Checksum("md5", "c4d9eecfca2ab87c1945afe126590906"),
            ),
        ),
    ),
    read,
    "months",
)
