"""Amazon-Book: Amazon Review Data 2018, category Books, the year 2017; streamed, never held whole.

The paper's protocol: books and users with more than 20 ratings in 2017, label 1 from 5 stars,
January to November to train on, December in two halves.
"""

import html
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.datasets.building.dataset import Dataset, JsonLines
from stages.datasets.building.json_lines import Counts, Kind, stream
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.protocol import HalvedDecember
from stages.datasets.building.raw import Raw
from stages.io.errors import InputError

REVIEWS, METADATA = "Books_5.json.gz", "meta_Books.json.gz"
REVIEW_FIELDS: dict[str, Kind] = {
    "reviewerID": "text",
    "asin": "text",
    "overall": "number",
    "unixReviewTime": "number",
}
METADATA_FIELDS: dict[str, Kind] = {"asin": "text", "title": "text"}

_INVISIBLE = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
# Only what looks like a tag: "Love <3" and "a < b" stay.
_TAG = re.compile(r"<[!/]?[a-zA-Z][^<>]*>")


def read_amazon(folder: Path, year: int) -> Raw:
    """Reads the reviews of one year, and the titles of their books.

    Broken lines, and lines that lack a field, are counted and left out; too many of them refuse
    the file. Of several metadata rows of one `asin` the last one wins.

    Args:
        folder: holds `Books_5.json.gz` and `meta_Books.json.gz`.
        year: the calendar year (UTC) whose reviews are kept.

    Raises:
        InputError: a file is missing, cut off, or too damaged.
    """
    interactions, counts = _read_reviews(folder / REVIEWS, year)
    titles, more = _read_titles(folder / METADATA, pc.unique(interactions["item"]))
    return Raw(interactions, titles, {**counts, **more})


def _read_reviews(path: Path, year: int) -> tuple[pa.Table, dict[str, int]]:
    first, end = (int(np.datetime64(f"{y}-01-01", "s").astype(np.int64)) for y in (year, year + 1))
    kept, found = [], Counts()
    n_usable = n_float = 0
    for block in stream(path, REVIEW_FIELDS, found):
        n_usable += block.num_rows
        seconds = pc.floor(block["unixReviewTime"])
        n_float += int(pc.sum(pc.not_equal(seconds, block["unixReviewTime"])).as_py() or 0)
        block = block.set_column(3, "unixReviewTime", seconds)
        inside = pc.and_(pc.greater_equal(seconds, first), pc.less(seconds, end))
        kept.append(block.filter(inside))
    if not kept:
        raise InputError(f"{path}: holds no line")
    table = pa.concat_tables(kept).rename_columns(["user", "item", "rating", "timestamp"])
    table = table.set_column(3, "timestamp", table["timestamp"].cast(pa.int64()))
    if not table.num_rows:
        raise InputError(f"{path}: none of {found.lines} lines is of {year}")
    _warn(found)
    return table, {
        "review_lines": found.lines,
        "review_lines_broken": found.broken,
        "review_lines_unusable": found.unusable,
        "ratings_as_text": found.as_text["overall"],
        "times_as_text": found.as_text["unixReviewTime"],
        "times_with_fractions": n_float,
        "outside_year": n_usable - table.num_rows,
    }


def _read_titles(path: Path, wanted: pa.Array) -> tuple[pa.Table, dict[str, int]]:
    kept, found = [], Counts()
    for block in stream(path, METADATA_FIELDS, found, optional=frozenset({"title"})):
        kept.append(block.filter(pc.is_in(block["asin"], wanted)))
    if not kept:
        raise InputError(f"{path}: holds no line")
    _warn(found)
    table = pa.concat_tables(kept).rename_columns(["item", "title"])
    codes = pc.dictionary_encode(table["item"]).combine_chunks()
    if isinstance(codes, pa.ChunkedArray):
        codes = codes.chunk(0)
    # The last row of each item: the first one from behind.
    _, from_behind = np.unique(codes.indices.to_numpy()[::-1], return_index=True)
    last = table.take(pa.array(np.sort(table.num_rows - 1 - from_behind)))
    titles, n_html = clean_titles(last["title"])
    titled = pc.greater(pc.utf8_length(titles), 0)
    counts = {
        "metadata_lines": found.lines,
        "metadata_lines_broken": found.broken,
        "metadata_lines_unusable": found.unusable,
        "items": len(wanted),
        "items_with_several_rows": table.num_rows - last.num_rows,
        "items_without_title": len(wanted) - int(pc.sum(titled).as_py() or 0),
        "titles_with_html": n_html,
    }
    return pa.table({"item": last["item"], "title": titles}).filter(titled), counts


def clean_titles(titles: pa.ChunkedArray) -> tuple[pa.Array, int]:
    """Turns titles into plain lines of text.

    Tags, scripts and styles are taken out, entities like `&amp;` resolved, spaces tidied.

    Args:
        titles: (n,) text or null.

    Returns:
        (n,) titles, empty where nothing is left; and how many held HTML.
    """
    filled = pc.fill_null(titles, "")
    odd = pc.match_substring_regex(filled, r"[<&]|\s\s|[^\S ]|^\s|\s$").to_numpy()
    texts = filled.to_pylist()
    n_html = 0
    for index in np.flatnonzero(odd):
        plain = html.unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", texts[index])))
        n_html += plain != texts[index]
        texts[index] = " ".join(plain.split())
    return pa.array(texts, pa.string()), n_html


def _warn(found: Counts) -> None:
    if found.first_bad:
        bad = found.broken + found.unusable
        sys.stderr.write(f"left out {bad} of {found.lines} lines; first: {found.first_bad}\n")


YEAR = 2017
_FILES = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"


def _read(folder: Path, _: Table) -> Raw:
    return read_amazon(folder, YEAR)


DATASET = Dataset(
    Place(
        (REVIEWS, METADATA),
        urls=(
            (f"{_FILES}/categoryFilesSmall/{REVIEWS}", None),
            (f"{_FILES}/metaFiles2/{METADATA}", None),
        ),
    ),
    _read,
    HalvedDecember(YEAR),
    positive_from=5.0,
    year=YEAR,
    more_than=20,
    json_lines=JsonLines(REVIEWS, REVIEW_FIELDS, METADATA, METADATA_FIELDS, clean_titles),
)
