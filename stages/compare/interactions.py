"""Reads `data/interactions` as tensors, with histories where a method wants them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.collab.fitting import Rows
from stages.collab.histories import HistoryRows, padded_histories
from stages.common.errors import InputError
from stages.common.tables import INTERACTIONS, ITEMS, SPLITS, USERS, read_table


@dataclass(frozen=True)
class Interactions:
    """What the methods need of `data/interactions`.

    Attributes:
        splits: the tables of train, valid and test, without histories.
        rows: the same rows as tensors; `HistoryRows` where histories were asked for.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
    """

    splits: dict[str, pa.Table]
    rows: dict[str, Rows]
    n_users: int
    n_items: int


def read_interactions(folder: Path, *, history: int) -> Interactions:
    """Reads the splits and the numbers of users and items.

    Args:
        folder: where the tables lie.
        history: items of a row's history to keep, the most recent; 0 reads no histories.

    Raises:
        InputError: a table is missing or of another schema, or a row or its history names a user
            or item that does not exist.
    """
    n_users = len(read_table(folder / "users.parquet", USERS, ["uid"]))
    n_items = len(read_table(folder / "items.parquet", ITEMS, ["iid"]))
    splits, rows = {}, {}
    for name in SPLITS:
        path = folder / f"{name}.parquet"
        columns = [key for key in INTERACTIONS.names if history or key != "history"]
        table = read_table(path, INTERACTIONS, columns)
        _check_ids(table["uid"].to_numpy(), n_users, "uid", path)
        _check_ids(table["iid"].to_numpy(), n_items, "iid", path)
        rows[name] = Rows.of(*(table[key].to_numpy() for key in ("uid", "iid", "label")))
        if history:
            rows[name] = _with_histories(rows[name], table["history"], history, n_items, path)
            table = table.drop_columns("history")
        splits[name] = table
    return Interactions(splits, rows, n_users, n_items)


def _with_histories(
    rows: Rows, column: pa.ChunkedArray, length: int, n_items: int, path: Path
) -> HistoryRows:
    values = pc.list_flatten(column).to_numpy()
    _check_ids(values, n_items, "item in history", path)
    offsets = np.r_[0, np.cumsum(pc.list_value_length(column).to_numpy())].astype(np.int64)
    histories = padded_histories(values, offsets, length=length)
    return HistoryRows(rows.users, rows.items, rows.labels, histories)


def _check_ids(ids: NDArray, n: int, what: str, path: Path) -> None:
    outside = ids[(ids < 1) | (ids > n)]
    if len(outside):
        raise InputError(f"{path}: {what} {outside[0]}, expected 1..{n}")
