"""Reads `data/interactions` as tensors, with histories where a method wants them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.collab.fitting import Rows
from stages.collab.histories import HistoryRows, padded_histories
from stages.io.errors import InputError
from stages.io.tables import INTERACTIONS, ITEMS, SPLITS, USERS, read_table


@dataclass(frozen=True)
class Interactions:
    """What collaborative models need of `data/interactions`.

    Attributes:
        splits: the tables of train, valid and test, without histories.
        rows: the same rows as tensors; `HistoryRows` where histories were asked for.
        trained_users: (n_users,) bool, user i + 1 has a train row.
        trained_items: (n_items,) bool, item i + 1 has a train row.
        titles: of item i + 1.
    """

    splits: dict[str, pa.Table]
    rows: dict[str, Rows]
    trained_users: NDArray
    trained_items: NDArray
    titles: list[str]

    @property
    def n_users(self) -> int:
        """Users have ids 1..n_users."""
        return len(self.trained_users)

    @property
    def n_items(self) -> int:
        """Items have ids 1..n_items."""
        return len(self.trained_items)


def read_interactions(folder: Path, *, history: int = 0) -> Interactions:
    """Reads the splits, and which users and items can be learned from.

    Args:
        folder: where the tables lie.
        history: items of a row's history to keep, the most recent; 0 reads no histories.

    Raises:
        InputError: a table is missing or of another schema, ids are not 1..n, or a row or its
            history names a user or item beyond them.
    """
    trained_users = _trained(folder / "users.parquet", USERS, "uid")
    trained_items = _trained(folder / "items.parquet", ITEMS, "iid")
    splits, rows = {}, {}
    for name in SPLITS:
        path = folder / f"{name}.parquet"
        columns = [key for key in INTERACTIONS.names if history or key != "history"]
        table = read_table(path, INTERACTIONS, columns)
        _check_ids(table["uid"].to_numpy(), len(trained_users), "uid", path)
        _check_ids(table["iid"].to_numpy(), len(trained_items), "iid", path)
        rows[name] = rows_of(table, history=history)
        if history:
            liked = pc.list_flatten(table["history"]).to_numpy()
            _check_ids(liked, len(trained_items), "item in history", path)
            table = table.drop_columns("history")
        splits[name] = table
    titles = read_table(folder / "items.parquet", ITEMS, ["title"])["title"].to_pylist()
    return Interactions(splits, rows, trained_users, trained_items, titles)


def rows_of(table: pa.Table, *, history: int = 0) -> Rows:
    """Returns a split's rows as tensors; `HistoryRows` of the last `history` items if not 0."""
    rows = Rows.of(*(table[key].to_numpy() for key in ("uid", "iid", "label")))
    if not history:
        return rows
    lengths = pc.list_value_length(table["history"]).to_numpy()
    histories = padded_histories(
        pc.list_flatten(table["history"]).to_numpy(),
        np.r_[0, np.cumsum(lengths)].astype(np.int64),
        length=history,
    )
    return HistoryRows(rows.users, rows.items, rows.labels, histories)


def _trained(path: Path, schema: pa.Schema, key: str) -> NDArray:
    table = read_table(path, schema, [key, "n_train"])
    ids = table[key].to_numpy()
    if ids.tolist() != list(range(1, len(ids) + 1)):
        raise InputError(f"{path}: {key} must be 1..{len(ids)} in this order")
    return table["n_train"].to_numpy() > 0


def _check_ids(ids: NDArray, n: int, what: str, path: Path) -> None:
    outside = ids[(ids < 1) | (ids > n)]
    if len(outside):
        raise InputError(f"{path}: {what} {outside[0]}, expected 1..{n}")
