"""The known data sets: one file each, named as in `params.yaml` with `_` for `-`.

A data set's file says where its raw files lie, how they are read and what its protocol is, as
`DATASET`. Nothing else names it: whatever lists data sets looks into this folder.
"""

import importlib
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from stages.io.params import load_key
from stages.io.sources import modules_below


def names() -> list[str]:
    """Returns the names of all data sets."""
    return [module.replace("_", "-") for module in modules_below(__name__)]


def module_of(name: str) -> str:
    """Returns the module that describes a data set."""
    return f"{__name__}.{name.replace('-', '_')}"


def load(name: str) -> Any:
    """Returns a data set's description, a `stages.datasets.building.dataset.Dataset`."""
    return importlib.import_module(module_of(name)).DATASET


def chosen(path: Path | None = None) -> str:
    """Returns the name under `dataset` in `params.yaml`.

    Raises:
        InputError: there is no such data set.
    """
    known: Any = Literal[tuple(names())]
    return load_key("dataset", TypeAdapter(known), path)
