"""Amazon's reviews and products as JSON lines: streamed, never held whole."""

import html
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.datasets.building.dataset import JsonLines
from stages.datasets.building.json_lines import Counts, stream
from stages.datasets.building.raw import RESERVED, Raw, plain_titles
from stages.io.errors import InputError
from stages.io.outside import cast

_INVISIBLE = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)", re.IGNORECASE | re.DOTALL)
# Only what looks like a tag: "Love <3" and "a < b" stay.
_TAG = re.compile(r"<[!/]?[a-zA-Z][^<>]*>")


def read_amazon(folder: Path, files: JsonLines, year: int | None) -> Raw:
    """Reads reviews, and the titles of what they are about.

    Broken lines, and lines that lack a field, are counted and left out; too many of them refuse
    the file. Of several metadata rows of one item the last one wins.

    Args:
        folder: holds the files.
        files: their names and fields.
        year: the calendar year (UTC) whose reviews are kept; None for all.

    Raises:
        InputError: a file is missing, cut off, or too damaged.
    """
    interactions, counts = _read_reviews(folder / files.reviews, files, year)
    wanted = pc.unique(interactions["item"])
    titles, more = _read_titles(folder / files.metadata, files, wanted)
    return Raw(interactions, titles, {**counts, **more})


def _read_reviews(
    path: Path, files: JsonLines, year: int | None
) -> tuple[pa.Table, dict[str, int]]:
    kept, found = [], Counts()
    n_usable = n_float = 0
    rating, time = list(files.review_fields)[2:]
    for block in stream(path, files.review_fields, found):
        n_usable += block.num_rows
        n_float += int(pc.sum(pc.not_equal(pc.floor(block[time]), block[time])).as_py() or 0)
        seconds = pc.floor(pc.divide(block[time], float(files.times_per_second)))
        block = block.set_column(3, time, seconds)
        if year is not None:
            first, end = (
                int(np.datetime64(f"{y}-01-01", "s").astype(np.int64)) for y in (year, year + 1)
            )
            block = block.filter(pc.and_(pc.greater_equal(seconds, first), pc.less(seconds, end)))
        kept.append(block)
    if not kept:
        raise InputError(f"{path}: holds no line")
    table = pa.concat_tables(kept).rename_columns(["user", "item", "rating", "timestamp"])
    times = cast(table["timestamp"], pa.int64(), path, "a time of this age of the world")
    table = table.set_column(3, "timestamp", times)
    if not table.num_rows:
        raise InputError(f"{path}: none of {found.lines} lines is of {year or 'any use'}")
    _warn(found)
    return table, {
        "review_lines": found.lines,
        "review_lines_broken": found.broken,
        "review_lines_unusable": found.unusable,
        "ratings_as_text": found.as_text[rating],
        "times_as_text": found.as_text[time],
        "times_with_fractions": n_float,
        "outside_year": n_usable - table.num_rows,
    }


def _read_titles(path: Path, files: JsonLines, wanted: pa.Array) -> tuple[pa.Table, dict[str, int]]:
    kept, found = [], Counts()
    item, title = files.metadata_fields
    for block in stream(path, files.metadata_fields, found, optional=frozenset({title})):
        kept.append(block.filter(pc.is_in(block[item], wanted)))
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
    n_reserved = pc.sum(pc.match_substring_regex(last["title"], RESERVED)).as_py() or 0
    titled = pc.greater(pc.utf8_length(titles), 0)
    counts = {
        "metadata_lines": found.lines,
        "metadata_lines_broken": found.broken,
        "metadata_lines_unusable": found.unusable,
        "items": len(wanted),
        "items_with_several_rows": table.num_rows - last.num_rows,
        "items_without_title": len(wanted) - int(pc.sum(titled).as_py() or 0),
        "titles_with_html": n_html,
        "titles_with_reserved_characters": n_reserved,
    }
    return pa.table({"item": last["item"], "title": titles}).filter(titled), counts


def clean_titles(titles: pa.ChunkedArray) -> tuple[pa.Array, int]:
    """Turns titles into plain lines of text.

    Tags, scripts and styles are taken out, entities like `&amp;` resolved, reserved code points
    removed, spaces tidied.

    Args:
        titles: (n,) text or null.

    Returns:
        (n,) titles, empty where nothing is left; and how many held HTML.
    """
    filled, _ = plain_titles(pc.fill_null(titles, ""))
    odd = pc.match_substring_regex(filled, "[<&]").to_numpy()
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
