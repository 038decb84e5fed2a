"""What a folder of weights must hold: all that its configuration has a place for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.io.errors import InputError


def require_all(report: Mapping[str, Any], folder: Path) -> None:
    """Refuses weights that transformers found missing and would draw at random.

    Args:
        report: what `from_pretrained` gives with `output_loading_info`.
        folder: where the weights lie.

    Raises:
        InputError: some are missing; names one and counts the rest.
    """
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(f"{folder}: its weights lack {missing[0]} and {len(missing) - 1} more")
