"""Fits BinMF: matrix factorisation whose vectors are hashed to binary codes."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from numpy.typing import NDArray

from stages.collab.factorisation import MatrixFactorisation
from stages.collab.fitting import Fit, Rows, fit
from stages.collab.hashing import CodeSpace, HashedModel
from stages.collab.threads import threads
from stages.common.errors import InputError
from stages.common.tables import INTERACTIONS, ITEMS, SPLITS, USERS, read_table


@dataclass(frozen=True)
class Interactions:
    """What the fit needs of `data/interactions`.

    Attributes:
        splits: the tables of train, valid and test, without histories.
        trained_users: (n_users,) bool, user i + 1 has a train row.
        trained_items: (n_items,) bool, item i + 1 has a train row.
    """

    splits: dict[str, pa.Table]
    trained_users: NDArray
    trained_items: NDArray


def read_interactions(folder: Path) -> Interactions:
    """Reads the splits, and which users and items can be learned from.

    Raises:
        InputError: a table is missing or of another schema, ids are not 1..n, or a row names a
            user or item beyond them.
    """
    columns = [name for name in INTERACTIONS.names if name != "history"]
    splits = {
        name: read_table(folder / f"{name}.parquet", INTERACTIONS, columns) for name in SPLITS
    }
    trained = {}
    for key, name, schema in (("uid", "users", USERS), ("iid", "items", ITEMS)):
        path = folder / f"{name}.parquet"
        table = read_table(path, schema, [key, "n_train"])
        ids = table[key].to_numpy()
        if ids.tolist() != list(range(1, len(ids) + 1)):
            raise InputError(f"{path}: {key} must be 1..{len(ids)} in this order")
        for split, rows in splits.items():
            found = rows[key].to_numpy()
            outside = found[(found < 1) | (found > len(ids))]
            if len(outside):
                raise InputError(
                    f"{folder / split}.parquet: {key} {outside[0]}, expected 1..{len(ids)} "
                    f"as in {path}"
                )
        trained[key] = table["n_train"].to_numpy() > 0
    return Interactions(splits, trained["uid"], trained["iid"])


def rows_of(table: pa.Table) -> Rows:
    """Returns a split's rows as tensors."""
    return Rows.of(*(table[name].to_numpy() for name in ("uid", "iid", "label")))


def fit_binmf(
    train: Rows,
    valid: Rows,
    *,
    n_users: int,
    n_items: int,
    dim: int,
    code_space: CodeSpace,
    shared_hash_layer: bool,
    beta_step: float,
    beta_every: int,
    init_std: float,
    lr: float,
    weight_decay: float,
    batch_size: int,
    epochs: int,
    patience: int,
    seed: int,
) -> tuple[HashedModel, Fit]:
    """Learns a code for each user and item.

    A user or item without a train row keeps its initial vector, shrunk by weight decay: its code
    says nothing about it.

    Args:
        train: rows to learn from.
        valid: rows to stop by.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        dim: length of the vectors and width of the codes.
        code_space: see `HashedModel`.
        shared_hash_layer: see `HashedModel`.
        beta_step: see `stages.collab.hashing.beta_after`.
        beta_every: see `stages.collab.hashing.beta_after`.
        init_std: standard deviation of the initial vectors.
        lr: see `stages.collab.fitting.fit`, as for the rest.
        weight_decay: L2 penalty.
        batch_size: rows per step.
        epochs: most passes over the train rows.
        patience: epochs without a better validation AUC after which to stop.
        seed: seed of initial values, of the order of rows and of the elements replaced.

    Returns:
        The model in its best state, and how the fit went.
    """
    rng = torch.Generator().manual_seed(seed)
    vectors = MatrixFactorisation(
        n_users=n_users, n_items=n_items, dim=dim, init_std=init_std, rng=rng
    )
    model = HashedModel(
        vectors,
        dim=dim,
        code_space=code_space,
        shared_hash_layer=shared_hash_layer,
        beta_step=beta_step,
        beta_every=beta_every,
        rng=rng,
    )
    with threads(1):
        fitted = fit(
            model,
            train,
            valid,
            lr=lr,
            weight_decay=weight_decay,
            batch_size=batch_size,
            epochs=epochs,
            patience=patience,
            rng=rng,
            title="pretrain_hash",
        )
    return model, fitted
