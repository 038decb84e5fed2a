"""Fits BinMF: matrix factorisation whose vectors are hashed to binary codes."""

import torch

from stages.collab.factorisation import MatrixFactorisation
from stages.collab.fitting import Fit, Rows, fit
from stages.collab.hashing import CodeSpace, HashedModel
from stages.collab.threads import threads


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
