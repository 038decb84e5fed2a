"""The file in which a fitted model hands its vectors on: `users` and `items`, safetensors."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from stages.collab.tensor_file import read_tensors
from stages.io.errors import InputError
from stages.io.outputs import replacing


def write_vectors(vectors: Mapping[str, Tensor], path: Path) -> None:
    """Writes what a model has learned of users and items, whole or not at all.

    Args:
        vectors: by name; `users`, if the model has vectors for users, and `items` are (n + 1, dim)
            with row 0 as padding.
        path: the file.
    """
    tables = {name: table.detach().float().contiguous() for name, table in vectors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(tables))


def read_vectors(path: Path, *, n_users: int, n_items: int) -> tuple[Tensor, Tensor]:
    """Reads the vectors of users and of items.

    Args:
        path: the file.
        n_users: users have ids 1..n_users.
        n_items: items have ids 1..n_items.

    Returns:
        (n_users + 1, dim) and (n_items + 1, dim) float32; row 0 is padding.

    Raises:
        InputError: the file is missing, no safetensors, lacks a side, or holds vectors of other
            numbers or lengths, or such that are not finite.
    """
    found = read_tensors(path, load_file)
    if set(found) != {"users", "items"}:
        raise InputError(f"{path}: holds {sorted(found)}, expected vectors of users and items")
    for name, n in (("users", n_users), ("items", n_items)):
        shape = tuple(found[name].shape)
        dim = found["items"].shape[-1]
        if shape != (n + 1, dim):
            raise InputError(f"{path}: {name} are {shape}, expected {(n + 1, dim)}; fit again")
        if found[name].dtype != torch.float32 or not found[name].isfinite().all():
            raise InputError(f"{path}: {name} are no finite float32 numbers; fit again")
    return found["users"], found["items"]
