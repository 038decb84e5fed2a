"""Readers of MovieLens: RecBole's 100K tables and GroupLens' 1M files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.common.errors import InputError
from stages.common.outside import read_delimited
from stages.preprocess.raw import Raw, seconds, unique_titles


def read_ml_100k(folder: Path) -> Raw:
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
    interactions = _interactions(table, folder / "ml-100k.inter")
    return Raw(interactions, titles, {"rows": table.num_rows, "titles": titles.num_rows})


def read_ml_1m(folder: Path) -> Raw:
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
    interactions = _interactions(table, folder / "ratings.dat")
    return Raw(interactions, titled, {"rows": table.num_rows, "titles": titled.num_rows})


def _interactions(table: pa.Table, path: Path) -> pa.Table:
    """Names the columns user, item, rating, time as every reader does."""
    table = table.rename_columns(["user", "item", "rating", "timestamp"])
    return table.set_column(3, "timestamp", seconds(table["timestamp"], path))


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
