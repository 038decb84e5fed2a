"""CTRL (Li et al. 2023) with DIN as its collaborative model: align with texts, then fit on labels.

Afterwards DIN scores alone; texts and projections are not needed any more.
"""

from typing import Any

import torch
from torch import Tensor

from stages.collab.din import DeepInterestNetwork
from stages.collab.fitting import Fit, Rows, fit
from stages.collab.threads import threads
from stages.compare_ctrl.alignment import align


def fit_ctrl(
    train: Rows,
    valid: Rows,
    aligned: Rows,
    texts: Tensor,
    *,
    n_users: int,
    n_items: int,
    seed: int,
    alignment: dict[str, Any],
    lr: float,
    weight_decay: float,
    batch_size: int,
    epochs: int,
    patience: int,
    **shape: Any,
) -> tuple[DeepInterestNetwork, Fit]:
    """Aligns a new DIN with texts and fits it on labels.

    Args:
        train: rows to learn from.
        valid: rows to stop by.
        aligned: rows to align with their texts.
        texts: (n, width) their texts' vectors.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.
        seed: seed of initial values, of the orders of rows and of dropout.
        alignment: settings of `stages.compare_ctrl.alignment.align`.
        lr: see `stages.collab.fitting.fit`, as for the next four.
        weight_decay: L2 penalty.
        batch_size: rows per step.
        epochs: most passes over the train rows.
        patience: epochs without a better validation AUC after which to stop.
        shape: DIN's own settings; see its class.

    Returns:
        The model in its best state, and how the fit on labels went.
    """
    rng = torch.Generator().manual_seed(seed)
    with threads(1):
        model = DeepInterestNetwork(n_users=n_users, n_items=n_items, rng=rng, **shape)
        align(model, aligned, texts, rng=rng, **alignment)
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
            title="ctrl",
        )
    return model, fitted
