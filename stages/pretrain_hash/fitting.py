"""Fits the codes: a collaborative model along with the layers that hash its vectors."""

import torch

from stages.collab.fitting import Fit, Rows, fit
from stages.collab.hashing import CodeSpace, HashedModel
from stages.collab.threads import threads
from stages.pretrain_hash.vectors import Vectors, new_vectors


def fit_codes(
    train: Rows,
    valid: Rows,
    *,
    n_users: int,
    n_items: int,
    vectors: Vectors,
    graph_layers: int,
    history: int,
    blocks: int,
    dropout: float,
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
    says nothing about it. With SASRec all users who liked nothing in the train rows have one code.

    Args:
        train: rows to learn from, each user's in order of time; `HistoryRows` for SASRec.
        valid: rows to stop by.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        vectors: whose vectors are hashed; see `stages.pretrain_hash.vectors.new_vectors`.
        graph_layers: likewise, for LightGCN only.
        history: likewise, for SASRec only, as the next two.
        blocks: self-attention blocks.
        dropout: rate in training.
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
    model = HashedModel(
        new_vectors(
            vectors,
            train,
            n_users=n_users,
            n_items=n_items,
            dim=dim,
            graph_layers=graph_layers,
            history=history,
            blocks=blocks,
            dropout=dropout,
            init_std=init_std,
            rng=rng,
        ),
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
