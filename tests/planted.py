"""What planted interactions of several tests have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stages.io.tables import INTERACTIONS, ITEMS, SPLITS, USERS, write_table


def liked_before(users: NDArray, items: NDArray, liked: NDArray) -> list[list[int]]:
    """Returns each row's history: the last 25 items its user liked before, oldest first."""
    held: dict[int, list[int]] = {}
    histories = []
    for user, item, positive in zip(users, items, liked, strict=True):
        histories.append(held.setdefault(user, [])[-25:])
        held[user] = [*held[user], item] if positive else held[user]
    return histories


def write_planted(
    folder: Path,
    users: NDArray,
    items: NDArray,
    liked: NDArray,
    split: NDArray,
    *,
    n_users: int,
    n_items: int,
) -> None:
    """Writes rows, in order of time, and their users and items as `preprocess` does."""
    train, n = split == "train", len(split)
    counts = {
        "uid": np.bincount(users[train], minlength=n_users + 1),
        "iid": np.bincount(items[train], minlength=n_items + 1),
    }
    least = np.minimum(counts["uid"][users], counts["iid"][items])
    rows = pd.DataFrame(
        {
            "row": np.arange(n),
            "uid": users,
            "iid": items,
            "label": liked,
            "timestamp": np.arange(n),
            "history": liked_before(users, items, liked),
            "seen": least > 0,
            "warm": least > 3,
        }
    )
    for name in SPLITS:
        write_table(
            rows[split == name].astype({"label": "int8"}), folder / f"{name}.parquet", INTERACTIONS
        )
    for key, name, schema in (("uid", "users", USERS), ("iid", "items", ITEMS)):
        ids = np.arange(1, len(counts[key]))
        table = pd.DataFrame({key: ids, "source_id": ids.astype(str), "n_train": counts[key][1:]})
        if key == "iid":
            table["title"] = "A title"
        write_table(table, folder / f"{name}.parquet", schema)


def bytes_by_threads(learn: Callable[[], object], outputs: Sequence[Path]) -> list[list[bytes]]:
    """Learns with 1 and with 2 threads; returns what each left, the number being left as it was."""
    before, contents = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            learn()
            assert torch.get_num_threads() == n
            contents.append([path.read_bytes() for path in outputs])
    finally:
        torch.set_num_threads(before)
    return contents
