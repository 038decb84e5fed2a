"""MovieLens-100k, as the wheel of RecBole carries it; split per user in order of time."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.places import DataWheel, Place
from stages.datasets.building.raw import Raw, named_interactions, unique_titles
from stages.io.outside import read_delimited


def read(folder: Path, _: Table) -> Raw:
    """Reads `ml-100k.inter` and `ml-100k.item` (tab-separated, UTF-8, typed headings).

    Titles become `Title (Year)`, as in GroupLens' own files, where the year is known.

    Raises:
        InputError: a file is missing or holds something else.
    """
    columns = {
        "user_id:token": pa.int64(),
        "item_id:token": pa.int64(),
        "rating:float": pa.float64(),
        "timestamp:float": pa.float64(),
    }
    table = read_delimited(folder / "ml-100k.inter", delimiter="\t", types=columns)
    path = folder / "ml-100k.item"
    kinds = {
        "item_id:token": pa.int64(),
        "movie_title:token_seq": pa.string(),
        "release_year:token": pa.string(),
    }
    items = read_delimited(path, delimiter="\t", types=kinds, nulls=True)
    name, year = items["movie_title:token_seq"], items["release_year:token"]
    known = pc.fill_null(pc.match_substring_regex(year, r"^\d{4}$"), False)
    dated = pc.binary_join_element_wise(name, pc.binary_join_element_wise(" (", year, ")", ""), "")
    title = pc.if_else(known, dated, name)
    titles = unique_titles(items["item_id:token"], title, path)
    interactions = named_interactions(table, folder / "ml-100k.inter")
    return Raw(interactions, titles, {"rows": table.num_rows, "titles": titles.num_rows})


DATASET = Dataset(
    Place(
        ("ml-100k.inter", "ml-100k.item"),
        wheel=DataWheel(
            "recbole==1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
        ),
    ),
    read,
    "per_user",
)
