"""Codes of people who came after the fit: they follow from what somebody likes, with no new fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.tables import read_json, read_table, write_json, write_table
from stages.prompts.codes import WRITTEN, Form, pack_rows

# Beside the tables of codes that follow likes: vectors, and how many likes count.
VECTORS, FACTS = "liked.parquet", "liked.json"
LIKED = pa.schema([("iid", pa.int32()), ("vector", pa.list_(pa.float32()))])


@dataclass(frozen=True)
class Newcomers:
    """How the code of somebody without a train row follows from what they liked.

    Attributes:
        vectors: (n_items + 1, dim), each item's part in the vector of who liked it; row 0 is added
            to everybody's.
        history: how many liked items count, the most recent.
        form: how codes are written.
    """

    vectors: NDArray[np.float32]
    history: int
    form: Form

    @classmethod
    def read(cls, folder: Path, form: Form) -> "Newcomers | None":
        """Reads what a folder holds of them; None where its codes do not follow what users like.

        Raises:
            InputError: a file is missing or of another schema, or there is not one vector for each
                of 0..n.
        """
        path = folder / VECTORS
        if not path.exists():
            return None
        facts = read_json(folder / FACTS)
        history = facts.get("history")
        if not isinstance(history, int) or history < 1:
            raise InputError(f"{folder / FACTS}: history = {history!r}, expected 1 or more")
        table = read_table(path, LIKED)
        vectors = table["vector"].to_pylist()
        same = len({len(vector) for vector in vectors}) == 1
        if not same or table["iid"].to_pylist() != list(range(len(table))):
            raise InputError(f"{path}: expected vectors of one length for iid 0, 1, 2, …")
        return cls(np.array(vectors, dtype=np.float32), history, form)

    def code(self, liked: Sequence[int]) -> str:
        """Returns the text of the code of who liked these items, one at least, oldest first."""
        recent = self.vectors[list(liked)[-self.history :]]
        vector = recent.sum(axis=0) / np.sqrt(len(recent)) + self.vectors[0]
        return WRITTEN[self.form](pack_rows(vector[None] > 0)[0])


def write_liked(folder: Path, vectors: NDArray[np.float32], history: int) -> None:
    """Writes what `Newcomers.read` reads; codes may be written in any form from it."""
    table = {"iid": range(len(vectors)), "vector": list(vectors)}
    write_table(pa.table(table, LIKED), folder / VECTORS, LIKED)
    write_json({"history": history}, folder / FACTS)
