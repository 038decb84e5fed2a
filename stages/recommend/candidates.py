"""Who is asked about what: users and items by their own ids, and what users liked so far."""

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

    def number_of(self, wanted: str) -> int:
        """Returns the number of one id.

        Raises:
            InputError: it is not known.
        """
        place = pc.index(self.source, wanted).as_py()
        if place < 0:
            raise InputError(f"--user {wanted!r}: expected a source_id of {self.path}")
        return int(self.number[place])

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


def new_pairs(interactions: pd.DataFrame, uid: int, items: Ids) -> Pairs:
    """Returns (n, 2) the user with every item they have not interacted with, ascending.

    Raises:
        InputError: they have interacted with all items.
    """
    met = interactions.loc[interactions["uid"] == uid, "iid"]
    new = np.setdiff1d(items.number, met).astype(np.int64)
    if not len(new):
        raise InputError(
            f"--user: no item of {items.path} is new to this user; name them in --pairs"
        )
    return np.stack([np.full_like(new, uid), new], axis=1)


def read_interactions(folder: Path) -> pd.DataFrame:
    """Returns uid, iid and label of all interactions, in train, valid, test order."""
    tables = [
        read_table(folder / f"{split}.parquet", INTERACTIONS, ["uid", "iid", "label"])
        for split in SPLITS
    ]
    return pa.concat_tables(tables).to_pandas()


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
