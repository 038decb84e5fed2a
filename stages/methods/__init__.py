"""The compared methods: one file each, named as in `params.yaml`.

A method's file says what it is called, its settings, how it is fitted and what the paper reports
for it, as `METHOD`. Nothing else names it: whatever lists methods looks into this folder.
"""

import importlib
from typing import Any

from stages.io.errors import InputError
from stages.io.sources import modules_below


def names() -> list[str]:
    """Returns the names of all compared methods."""
    return modules_below(__name__)


def module_of(name: str) -> str:
    """Returns the module that describes a method."""
    return f"{__name__}.{name}"


def load(name: str) -> Any:
    """Returns a method: a `CollaborativeMethod` or an `LlmMethod`.

    Raises:
        InputError: there is no such method.
    """
    if name not in names():
        raise InputError(f"method {name!r}: expected one of {', '.join(names())}")
    return importlib.import_module(module_of(name)).METHOD


def of_row(row: str) -> tuple[str, str | None]:
    """Returns the method of a row of the table, and the method whose vectors it builds on.

    A row is named like its method, with the other's name behind it where there is one: `collm_mf`.
    """
    if row in names():
        return row, None
    method, _, vectors = row.partition("_")
    return method, vectors or None
