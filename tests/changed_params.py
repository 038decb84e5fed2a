"""The project's own `params.yaml` with some keys changed, written where a test works."""

import io
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent


def write_params(changes: Mapping[str, Any]) -> None:
    """Writes it to the working folder, without its comments.

    Args:
        changes: key, with dots a key of a section -> value; a table's new entry has a new key.
    """
    params = deepcopy(_project_params())
    for key, value in changes.items():
        *outer, last = key.split(".")
        section = params
        for part in outer:
            section = section[part]
        section[last] = deepcopy(value)
    text, yaml = io.StringIO(), YAML(typ="safe")
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel says None
    yaml.dump(params, text)
    Path("params.yaml").write_text(text.getvalue(), encoding="utf-8")


@cache
def _project_params() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
