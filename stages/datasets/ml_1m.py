"""MovieLens-1M, GroupLens' own files; the paper's protocol: windows of calendar months."""

from pathlib import Path

import pyarrow as pa

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.movielens import grouplens
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.raw import Raw, named_interactions, unique_titles
from stages.io.errors import InputError
from stages.io.outside import Written, read_delimited, refuse_unless


def read(folder: Path, _: Table) -> Raw:
    """Reads `ratings.dat` and `movies.dat` (fields between `::`, Latin-1).

    Raises:
        InputError: a file is missing or holds something else.
    """
    path = folder / "ratings.dat"
    interactions = named_interactions(_read_ratings(path), path)
    path = folder / "movies.dat"
    items, titles = [], []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        fields = line.removesuffix("\r").split("::")
        if fields == [""]:
            continue
        item = fields[0]
        if len(fields) < 3 or not (item.isascii() and item.isdigit() and len(item) <= 18):
            raise InputError(f"{path}: line {number}: {line[:80]!r}, expected id::title::genres")
        items.append(int(item))
        titles.append("::".join(fields[1:-1]))
    titled, counts = unique_titles(
        pa.chunked_array([pa.array(items, pa.int64())]),
        pa.chunked_array([pa.array(titles, pa.string())]),
        path,
    )
    return Raw(interactions, titled, {"rows": len(interactions), **counts})


def _read_ratings(path: Path) -> pa.Table:
    # Arrow splits at one character, so every second column is the void between two colons.
    voids = ["void 1", "void 2", "void 3"]
    names = ["user", voids[0], "item", voids[1], "rating", voids[2], "timestamp"]
    types = dict.fromkeys(names, pa.int64()) | {"rating": pa.float64()}
    types |= dict.fromkeys(voids, pa.string())
    how = Written(quotes=False)
    table = read_delimited(
        path, delimiter=":", types=types, names=names, may_be_null=voids, written=how
    )
    for void in voids:
        refuse_unless(table[void].is_null(), table[void], path, "nothing between two colons")
    return table.drop_columns(voids)


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
        urls=(grouplens("ml-1m", "c4d9eecfca2ab87c1945afe126590906"),),
    ),
    read,
    "months",
)
