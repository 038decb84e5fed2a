"""Codes as files: as `pretrain_hash` learned them, and as the tables that prompts are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from stages.collab.tensor_file import read_tensors
from stages.io.errors import InputError
from stages.io.outputs import replacing
from stages.io.tables import write_json
from stages.prompts.codes import pack_rows, to_dotted, unpack


@dataclass(frozen=True)
class CodesOfRows:
    """What codes say of rows.

    Attributes:
        rows: (n,) int64 numbers of the rows of all splits, ascending.
        codes: (n, dim) bool, the row's user's code as of that row.
        taught: (m,) int64 numbers of train and validation rows, ascending.
        probability: (m,) float32, of a like, by the codes and what stands beside them.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.bool_]
    taught: NDArray[np.int64]
    probability: NDArray[np.float32]

    def code_table(self) -> pa.Table:
        """Returns the table of users' codes by row (schema ROW_CODES)."""
        return pa.table({"row": self.rows, "packed": pack_rows(self.codes)})

    def teacher_table(self) -> pa.Table:
        """Returns the table of probabilities (schema TEACHER)."""
        return pa.table({"row": self.taught, "probability": self.probability})


def write_codes(
    folder: Path,
    users: NDArray[np.bool_],
    items: NDArray[np.bool_],
    of_rows: CodesOfRows,
    facts: Mapping[str, Any],
    liked: NDArray[np.float32] | None = None,
) -> None:
    """Writes `codes.safetensors`, `rows.safetensors` and `codes.json`, which describes them.

    And `liked.safetensors`, if there is `liked`; `facts` then say how many likes count: `history`.

    Args:
        folder: the folder, written whole or not at all.
        users: (n_users + 1, dim) codes, as of now; row 0 is padding.
        items: (n_items + 1, dim) codes; row 0 is padding.
        of_rows: users' codes by row, and what the codes expect of rows.
        facts: how they were learned.
        liked: (n_items + 1, dim), of codes that follow what users like; see `LearnedCodes`.
    """
    description = {
        "dim": users.shape[1],
        "n_users": len(users) - 1,
        "n_items": len(items) - 1,
        **facts,
    }
    with replacing(folder) as partial:
        partial.mkdir()
        codes = {"users": np.ascontiguousarray(users), "items": np.ascontiguousarray(items)}
        (partial / "codes.safetensors").write_bytes(save(codes))
        rows = {
            "row": of_rows.rows,
            "codes": np.ascontiguousarray(of_rows.codes),
            "taught": of_rows.taught,
            "probability": of_rows.probability,
        }
        (partial / "rows.safetensors").write_bytes(save(rows))
        if liked is not None:
            (partial / "liked.safetensors").write_bytes(save({"liked": liked}))
        write_json(description, partial / "codes.json")


def read_codes(path: Path) -> dict[str, NDArray[np.bool_]]:
    """Reads `codes.safetensors`.

    Returns:
        `users` and `items`, each (n + 1, dim), row 0 being padding.

    Raises:
        InputError: the file is missing, no safetensors, or holds something else.
    """
    codes = read_tensors(path, load_file)
    for name in ("users", "items"):
        if name not in codes or codes[name].dtype != np.bool_ or codes[name].ndim != 2:
            raise InputError(f"{path}: expected bool matrices users and items, found {list(codes)}")
    return codes


def read_codes_of_rows(path: Path) -> CodesOfRows:
    """Reads `rows.safetensors`.

    Raises:
        InputError: the file is missing, no safetensors, or holds something else.
    """
    found = read_tensors(path, load_file)
    expected = {"row", "codes", "taught", "probability"}
    if set(found) != expected:
        raise InputError(f"{path}: holds {sorted(found)}, expected {sorted(expected)}")
    return CodesOfRows(found["row"], found["codes"], found["taught"], found["probability"])


def read_liked(path: Path) -> NDArray[np.float32] | None:
    """Reads `liked.safetensors`; None where codes do not follow what users like.

    Raises:
        InputError: the file is no safetensors, or holds something else.
    """
    if not path.exists():
        return None
    found = read_tensors(path, load_file)
    if set(found) != {"liked"} or found["liked"].ndim != 2:
        raise InputError(f"{path}: holds {sorted(found)}, expected a matrix liked")
    return found["liked"]


def code_table(codes: NDArray[np.bool_], known: pa.Table, *, key: str, path: Path) -> pd.DataFrame:
    """Returns the table of one side's codes in all three forms.

    Args:
        codes: (n + 1, dim) codes; row 0 is padding.
        known: (n) lines with `key` and `n_train`.
        key: `uid` or `iid`.
        path: where the codes come from, for the error.

    Returns:
        `key`, `bits`, `packed`, `dotted`, and `trained`: whether a train row shaped the code.

    Raises:
        InputError: there is not one code per line, or the width is no multiple of 8.
    """
    ids = known[key].to_numpy()
    if ids.tolist() != list(range(1, len(codes))):
        raise InputError(
            f"{path}: codes for {key} 1..{len(codes) - 1}, but the interactions have "
            f"{len(ids)} of them; run pretrain_hash again"
        )
    packed = pack_rows(codes[1:])
    return pd.DataFrame(
        {
            key: ids,
            "bits": [unpack(code) for code in packed],
            "packed": packed,
            "dotted": [to_dotted(code) for code in packed],
            "trained": known["n_train"].to_numpy() > 0,
        }
    )
