"""Fits the codes: a collaborative model along with the layers that hash its vectors."""

import torch

from stages.collab.fitting import Fit, Rows, fit
from stages.collab.hash_vectors import new_vectors
from stages.collab.hashing import HashedModel
from stages.collab.recipes import PretrainHash
from stages.collab.threads import threads


def fit_codes(
    train: Rows, valid: Rows, settings: PretrainHash, *, n_users: int, n_items: int, seed: int
) -> tuple[HashedModel, Fit]:
    """Learns a code for each user and item.

    A user or item without a train row keeps its initial vector, shrunk by weight decay: its code
    says nothing about it. With SASRec all users who liked nothing in the train rows have one code.

    Args:
        train: rows to learn from, each user's in order of time; `HistoryRows` for SASRec.
        valid: rows to stop by.
        settings: whose vectors are hashed, how, and how they are fitted.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        seed: seed of initial values, of the order of rows and of the elements replaced.

    Returns:
        The model in its best state, and how the fit went.
    """
    rng = torch.Generator().manual_seed(seed)
    vectors = new_vectors(train, settings, n_users=n_users, n_items=n_items, rng=rng)
    model = HashedModel(
        vectors,
        dim=settings.dim,
        code_space=settings.code_space,
        shared_hash_layer=settings.shared_hash_layer,
        beta_step=settings.beta_step,
        beta_every=settings.beta_every,
        rng=rng,
    )
    with threads(1):
        fitted = fit(model, train, valid, settings, rng=rng, title="pretrain_hash")
    return model, fitted
