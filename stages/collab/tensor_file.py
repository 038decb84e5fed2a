"""Reads a safetensors file that an earlier stage wrote."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from stages.io.damage import check_digest, damaged
from stages.io.errors import InputError

Arrays = TypeVar("Arrays")


def read_tensors(path: Path, load_file: Callable[[Path], Arrays]) -> Arrays:
    """Returns what safetensors' own `load_file`, of torch or of numpy, makes of a file.

    Raises:
        InputError: the file is missing, damaged or no safetensors.
    """
    check_digest(path)
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, f"no safetensors file: {error}") from None
