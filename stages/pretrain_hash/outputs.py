"""What `pretrain_hash` leaves behind."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from stages.collab.fitting import Fit
from stages.common.tables import replacing, write_json


def write_codes(
    folder: Path,
    users: NDArray[np.bool_],
    items: NDArray[np.bool_],
    *,
    code_space: str,
    fitted: Fit,
) -> None:
    """Writes `codes.safetensors` (users, items) and `codes.json`, which describes it.

    Args:
        folder: the folder, written whole or not at all.
        users: (n_users + 1, dim) codes; row 0 is padding.
        items: (n_items + 1, dim) codes; row 0 is padding.
        code_space: elements of the codes when they were learned.
        fitted: how the fit went.
    """
    description = {
        "dim": users.shape[1],
        "n_users": len(users) - 1,
        "n_items": len(items) - 1,
        "code_space": code_space,
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "valid_auc": fitted.valid_auc,
    }
    with replacing(folder) as partial:
        partial.mkdir()
        codes = {"users": np.ascontiguousarray(users), "items": np.ascontiguousarray(items)}
        (partial / "codes.safetensors").write_bytes(save(codes))
        write_json(description, partial / "codes.json")
