"""The methods, each built from its settings and fitted by the loop they share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stages.collab.din import DeepInterestNetwork
from stages.collab.factorisation import MatrixFactorisation
from stages.collab.fitting import CollaborativeModel, Fit, Rows, fit
from stages.collab.histories import histories_of
from stages.collab.lightgcn import LightGCN
from stages.collab.sasrec import SASRec
from stages.collab.threads import threads
from stages.collab.vectors import VectorModel


def fit_method(
    method: str,
    train: Rows,
    valid: Rows,
    *,
    n_users: int,
    n_items: int,
    seed: int,
    lr: float,
    weight_decay: float,
    batch_size: int,
    epochs: int,
    patience: int,
    **shape: Any,
) -> tuple[CollaborativeModel, Fit]:
    """Fits one method on labelled rows, stopping early by validation AUC.

    Args:
        method: a key of `METHODS`.
        train: rows to learn from; `HistoryRows` for methods that read histories.
        valid: rows to stop by, likewise.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        seed: seed of initial values, of the order of rows and of dropout.
        lr: see `stages.collab.fitting.fit`, as for the next four.
        weight_decay: L2 penalty.
        batch_size: rows per step.
        epochs: most passes over the train rows.
        patience: epochs without a better validation AUC after which to stop.
        shape: the model's own settings; see its class.

    Returns:
        The model in its best state, and how the fit went.

    Raises:
        InputError: see `stages.collab.fitting.fit`.
    """
    rng = torch.Generator().manual_seed(seed)
    with threads(1):
        model = METHODS[method](train, n_users=n_users, n_items=n_items, rng=rng, **shape)
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
            title=method,
        )
    return model, fitted


def _mf(train: Rows, **settings: Any) -> CollaborativeModel:
    return MatrixFactorisation(**settings)


def _lightgcn(train: Rows, **settings: Any) -> CollaborativeModel:
    return LightGCN(train.take(train.labels == 1), **settings)


def _sasrec(train: Rows, *, n_users: int, **settings: Any) -> CollaborativeModel:
    return SASRec(length=histories_of(train).shape[1], **settings)


def _din(train: Rows, **settings: Any) -> CollaborativeModel:
    return DeepInterestNetwork(**settings)


METHODS: dict[str, Callable[..., CollaborativeModel]] = {
    "mf": _mf,
    "lightgcn": _lightgcn,
    "sasrec": _sasrec,
    "din": _din,
}


@torch.inference_mode()
def vectors_of(model: CollaborativeModel) -> dict[str, Tensor]:
    """Returns what a fitted model knows of users and items, as it enters the score.

    Returns:
        `users` (n_users + 1, dim), but for SASRec, where a user is a history; `items`
        (n_items + 1, dim). Row 0 is padding.
    """
    if isinstance(model, VectorModel):
        return dict(zip(("users", "items"), model.all_vectors(), strict=True))
    tables = dict(model.named_parameters(recurse=False))
    return {name: tables[name] for name in ("users", "items") if name in tables}
