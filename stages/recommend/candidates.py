"""Who is asked about what: users and items by their own ids, and what users liked so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.outside import read_columns, refuse_unless
from stages.io.tables import INTERACTIONS, SPLITS, read_table

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Ids:
    """The users or the items, by the ids that the data's owner gave them.

    Attributes:
        path: the table they come from.
        source: (n,) the owner's ids.
        number: (n,) uid or iid, ascending.
    """

    path: Path
    source: pa.ChunkedArray
    number: NDArray[np.int32]

    @classmethod
    def of(cls, path: Path, schema: pa.Schema) -> "Ids":
        """Reads a table of users or items; its first column is the number."""
        table = read_table(path, schema)
        return cls(path, table["source_id"], table[schema.names[0]].to_numpy())

    def numbers(self, wanted: pa.ChunkedArray, path: Path) -> NDArray[np.int32]:
        """Returns the numbers of a column of ids.

        Raises:
            InputError: names the first row of `path`, counted from 1, whose id is not known.
        """
        places = pc.index_in(wanted, value_set=self.source)
        refuse_unless(places.is_valid(), wanted, path, f"a source_id of {self.path}")
        return self.number[places.to_numpy()]

    def number_of(self, wanted: str, option: str = "--user") -> int:
        """Returns the number of one id.

        Raises:
            InputError: it is not known; `option` says where it was asked for.
        """
        place = pc.index(self.source, wanted).as_py()
        if place < 0:
            raise InputError(f"{option} {wanted!r}: expected a source_id of {self.path}")
        return int(self.number[place])

    def joined(self, number: int, source: str) -> "Ids":
        """Returns the same with one more, whose number is below all others."""
        first = pa.chunked_array([pa.array([source], pa.string()), *self.source.chunks])
        return Ids(self.path, first, np.concatenate([[number], self.number]).astype(np.int32))

    def sources(self, numbers: NDArray) -> list[str]:
        """Returns the ids of users or items by their numbers."""
        return self.source.take(pa.array(np.searchsorted(self.number, numbers))).to_pylist()


def read_pairs(path: Path, users: Ids, items: Ids) -> Pairs:
    """Reads a list of users and items, columns `user` and `item`, in CSV, TSV or Parquet.

    Returns:
        (n, 2) distinct uid and iid, ascending: the order of the list never counts.

    Raises:
        InputError: the file is missing, empty or damaged, lacks a column, or names someone unknown.
    """
    table = read_columns(path, ["user", "item"], texts=["user", "item"])
    if not len(table):
        raise InputError(f"{path}: no rows, expected at least one pair of user and item")
    columns = [users.numbers(table["user"], path), items.numbers(table["item"], path)]
    return np.unique(np.stack(columns, axis=1).astype(np.int64), axis=0)


def read_users(path: Path, users: Ids) -> NDArray[np.int32]:
    """Reads a list of users, column `user`, in CSV, TSV or Parquet.

    Returns:
        (n,) distinct uids, ascending.

    Raises:
        InputError: the file is missing, empty or damaged, lacks the column, or names someone
            unknown.
    """
    wanted = read_columns(path, ["user"], texts=["user"])["user"]
    if not len(wanted):
        raise InputError(f"{path}: no rows, expected at least one user")
    return np.unique(users.numbers(wanted, path))


def new_pairs(met: Mapping[int, NDArray], uids: Iterable[int], items: Ids) -> Pairs:
    """Returns (n, 2) each user with every item they have not interacted with, ascending.

    Args:
        met: by uid, the items that they have interacted with.
        uids: distinct users, ascending; those to whom no item is new are left out.
        items: all items.

    Raises:
        InputError: no item is new to any of them.
    """
    pairs = []
    for uid in uids:
        new = np.setdiff1d(items.number, met.get(uid, [])).astype(np.int64)
        pairs.append(np.stack([np.full_like(new, uid), new], axis=1))
    found = np.concatenate(pairs)
    if not len(found):
        raise InputError(
            f"--user: no item of {items.path} is new to this user; name them in --pairs"
        )
    return found


def read_interactions(folder: Path) -> pd.DataFrame:
    """Returns uid, iid and label of all interactions, in train, valid, test order."""
    tables = [
        read_table(folder / f"{split}.parquet", INTERACTIONS, ["uid", "iid", "label"])
        for split in SPLITS
    ]
    return pa.concat_tables(tables).to_pandas()


def met_items(interactions: pd.DataFrame) -> dict[int, NDArray]:
    """Returns by uid the items that the user has interacted with, liked or not."""
    order = interactions.sort_values("uid", kind="stable")
    uids, starts = np.unique(order["uid"], return_index=True)
    parts = np.split(order["iid"].to_numpy(), starts[1:])
    return dict(zip(uids.tolist(), parts, strict=True))


def histories_now(
    interactions: pd.DataFrame, uids: NDArray, keep: int | None
) -> dict[int, list[int]]:
    """Returns each user's liked items as of now.

    Args:
        interactions: uid, iid and label, each user's in order of time.
        uids: users, repeated or not.
        keep: longest history, the most recent items; None keeps all.

    Returns:
        iids by uid, oldest first; empty for a user who liked nothing.
    """
    users = np.unique(uids)
    liked = interactions[(interactions["label"] == 1) & interactions["uid"].isin(users)]
    if keep is not None:
        liked = liked.groupby("uid").tail(keep)
    found = liked.groupby("uid")["iid"].agg(list).to_dict()
    return {uid: found.get(uid, []) for uid in users.tolist()}
