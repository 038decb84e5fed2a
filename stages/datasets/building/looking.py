"""What somebody's own files hold, and which keys of `params.yaml` say so."""

import codecs
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import datasets
from stages.datasets.building.build import build
from stages.datasets.building.checks import check, describe, summary
from stages.datasets.building.dataset import Dataset, protocol
from stages.datasets.building.params import Preprocess
from stages.datasets.building.raw import Raw
from stages.io.errors import InputError
from stages.io.outside import ENDINGS, Written, columns_of, ending, listed, tables_in
from stages.io.params import load_section

# What columns are called, in lower case, letters alone; the first that fits.
_CALLED = {
    "user": ("user", "userid", "uid", "reviewer", "reviewerid", "reader", "customer", "customerid"),
    "item": (
        *("item", "itemid", "iid", "movie", "movieid", "film", "filmid", "book", "bookid", "isbn"),
        *("parentasin", "asin", "product", "productid", "article", "articleid", "track", "song"),
    ),
    "rating": ("rating", "bookrating", "stars", "score", "overall", "note", "value"),
    "label": ("label", "liked", "like", "clicked", "click", "target"),
    "timestamp": ("timestamp", "time", "ts", "date", "datetime", "when", "unixreviewtime", "at"),
    "title": ("title", "booktitle", "movietitle", "name", "itemname", "productname"),
}
_ONE_EACH = {"per_event": 1, "seed": 1}
_SAMPLE = 1 << 16  # bytes of a file that its encoding and separator are guessed from


@dataclass(frozen=True)
class _Found:
    """A table of the user's, and what its columns seem to be."""

    name: str
    columns: list[str]
    separator: str | None
    encoding: str
    roles: Mapping[str, str]


def look(source: Path) -> list[str]:
    """Says in about ten lines what the user's tables hold and which keys to set.

    Args:
        source: a table, or a folder that holds some.

    Raises:
        InputError: there is no table, or none with users and items.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    folder = source if source.is_dir() else source.parent
    found = [_look_at(folder / name) for name in _tables(source)]
    lines = [f"{table.name}: {listed(table.columns)}" for table in found[:4]]
    changes: dict[str, Any] = {"table": _keys(*_choose(found, folder))}
    try:
        raw = _read(folder, changes)
        lines.append(_times(raw))
        lines.append(_outcome(raw, changes))
    except InputError as error:
        lines.append(f"does not do yet: {error}")
    return [*lines, "", _command(source, changes)]


def _read(folder: Path, changes: dict[str, Any]) -> Raw:
    """Reads the tables; where all ratings are one and the same, as likes without dislikes."""
    table = changes["table"]
    raw: Raw = datasets.load("table").read(folder, _preprocess(changes).table)
    if table["rating"] and len(pc.unique(raw.interactions["rating"])) == 1:
        table |= {"rating": None, "negatives": dict(_ONE_EACH)}
    return raw


def _preprocess(changes: Mapping[str, Any]) -> Preprocess:
    return load_section(Preprocess, "preprocess", changes=changes)


def _times(raw: Raw) -> str:
    first, last = pc.min_max(raw.interactions["timestamp"]).as_py().values()
    days = [np.datetime64(seconds, "s").astype("datetime64[D]") for seconds in (first, last)]
    return f"times: {days[0]} to {days[1]}" if last > raw.interactions.num_rows else "times: none"


def _outcome(raw: Raw, changes: dict[str, Any]) -> str:
    """Builds and checks as `preprocess` does; sets what the default refuses."""
    dataset: Dataset = datasets.load("table")
    if changes["table"]["rating"]:
        changes |= _threshold(raw.interactions["rating"])
    refused: InputError | None = None
    for split in ({}, {"split": "leave_last_out"}):
        params = _preprocess(changes | split)
        rules = protocol(dataset, params)
        try:
            built = build(raw, rules, params.keep_history)
            n_raw = raw.interactions.num_rows
            check(built, rules.split, keep_history=params.keep_history, n_raw=n_raw)
        except InputError as error:
            refused = refused or error
            continue
        changes |= split
        return f"gives {summary(built, describe(built, dict(raw.counts)), rules.positive_from)}"
    raise refused or InputError("no split")


def _threshold(ratings: pa.ChunkedArray) -> dict[str, float]:
    """Sets another least rating of a like where 4 would make nearly all, or none, one."""
    values = np.sort(ratings.to_numpy())
    if 0.2 <= np.mean(values >= 4) <= 0.8:
        return {}
    distinct = np.unique(values)[1:]
    shares = [abs(np.mean(values >= value) - 0.5) for value in distinct]
    return {"positive_from": float(distinct[int(np.argmin(shares))])} if len(distinct) else {}


def _command(source: Path, changes: Mapping[str, Any]) -> str:
    """Returns the command that sets what differs from `params.yaml` as it is."""
    now = _preprocess({}).model_dump()
    keys = {"dataset": "table", "fetch_data.source": str(source)}
    for key, value in {**changes, "table": None}.items():
        if key != "table" and now[key] != value:
            keys[f"preprocess.{key}"] = value
    for key, value in changes["table"].items():
        if now["table"][key] != value:
            keys[f"preprocess.table.{key}"] = value
    words = [f"-S {shlex.quote(f'{key}={_shown(value)}')}" for key, value in keys.items()]
    return "dvc exp run " + " ".join(words)


def _shown(value: Any) -> str:
    """Returns a value as `-S` takes it: Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in value.items()) + "}"
    text = str(value)
    plain = re.fullmatch(r"[\w./-]+", text) is not None
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tables(source: Path) -> list[str]:
    names = tables_in(source) if source.is_dir() else [source.name]
    if not names or (source.is_file() and ending(source.name) is None):
        raise InputError(f"{source}: no table; expected {ENDINGS}")
    return names


def _look_at(path: Path) -> _Found:
    separator, encoding = (None, "utf-8")
    if ending(path.name) == ".csv" and path.suffix.lower() == ".csv":
        with path.open("rb") as file:
            raw = file.read(_SAMPLE)
        encoding = _encoding(raw)
        first = raw.decode(encoding, "replace").partition("\n")[0]
        likeliest = max(",;\t|", key=first.count)
        separator = None if likeliest == "," or likeliest not in first else likeliest
    columns = columns_of(path, Written(separator, encoding))
    if ending(path.name) in (".inter", ".item"):
        columns = [name.partition(":")[0] for name in columns]
    return _Found(path.name, columns, separator, encoding, _roles(columns))


def _encoding(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        return "cp1252" if re.search(rb"[\x80-\x9f]", raw) else "latin-1"
    return "utf-8"


def _roles(columns: list[str]) -> dict[str, str]:
    plain = {re.sub("[^a-z]", "", name.lower()): name for name in reversed(columns)}
    roles = {}
    for role, called in _CALLED.items():
        known = [plain[word] for word in called if word in plain]
        if known:
            roles[role] = known[0]
    return roles


def _choose(found: list[_Found], folder: Path) -> tuple[_Found, _Found]:
    """Returns the table of interactions, and the one of titles, which may be the same."""
    events = [table for table in found if {"user", "item"} <= set(table.roles)]
    if not events:
        names = "; ".join(f"{table.name} has {listed(table.columns)}" for table in found[:3])
        raise InputError(f"{folder}: no table with columns named like user and item: {names}")
    first = max(events, key=lambda table: (len(table.roles), -len(table.columns)))
    titled = [table for table in found if {"item", "title"} <= set(table.roles)]
    others = [table for table in titled if table is not first]
    if not titled:
        raise InputError(f"{folder}: no table with columns named like item and title")
    return first, (others or [first])[0]


def _keys(events: _Found, items: _Found) -> dict[str, Any]:
    """Returns the keys below `preprocess.table`."""
    own, titles = events.roles, items.roles
    return {
        "interactions": events.name,
        "items": None if items is events else items.name,
        "user": own["user"],
        "item": own["item"],
        "item_in_items": None if titles["item"] == own["item"] else titles["item"],
        "title": titles["title"],
        "rating": own.get("rating"),
        "label": None if "rating" in own else own.get("label"),
        "negatives": None if {"rating", "label"} & set(own) else dict(_ONE_EACH),
        "timestamp": own.get("timestamp"),
        "separator": events.separator,
        "encoding": items.encoding if events.encoding == "utf-8" else events.encoding,
    }
