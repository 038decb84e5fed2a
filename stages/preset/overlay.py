"""Lays the values of files over those of `params.yaml`, and leaves the rest of it as it is."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from stages.io.errors import InputError
from stages.io.params import sections_of, text_of
from stages.io.tables import replacing

PRESETS = Path("presets")
DEFAULT = "laptop"
# Tables of named entries: an entry is one value.
ENTRIES = ("codes", "prompts", "variants")
# A value on one line, and what follows it there: a comment, or nothing.
_VALUE = re.compile(r"(?P<value>.*?)(?P<rest>\s+#.*|\s*)")


def known(folder: Path) -> list[str]:
    """Returns the names of all presets, the default first."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    return sorted(names, key=lambda name: name != DEFAULT)


def described(folder: Path, name: str) -> str:
    """Returns what a preset is for: the first line of its file."""
    return text_of(folder / f"{name}.yaml").splitlines()[0].removeprefix("# ")


def values(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every value with its key, dots between the parts."""
    for name, inner in node.items():
        full = f"{key}.{name}".lstrip(".")
        if isinstance(inner, dict) and key not in ENTRIES:
            yield from values(inner, full)
        else:
            yield full, inner


def apply(names: Sequence[str], params: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Writes presets into the params, one after the other, whole or not at all.

    Values are written as they stand in the preset; all else keeps its bytes, comments included.

    Args:
        names: of the presets.
        params: the file to change.
        folder: of the presets.

    Returns:
        By key, the value before and after, as one line each; only those that differ.

    Raises:
        InputError: there is no such preset, or it has a key that the params do not have.
    """
    for name in names:
        if name not in known(folder):
            raise InputError(f"{folder}: no preset {name!r}; expected {', '.join(known(folder))}")
    text = text_of(params)
    before = dict(values(_parsed(text, params)))
    for path in (folder / f"{name}.yaml" for name in names):
        lines = text_of(path).splitlines()
        for key, place in _places(_parsed(text_of(path), path)):
            value = _VALUE.fullmatch(lines[place.line][place.column :])
            if value is None or place.last > place.key_line:
                raise InputError(f"{path}: {key}: expected its value on the same line")
            text = _replaced(text, key, value["value"], f"{path}: {key}", params)
    after = dict(values(_parsed(text, params)))
    changed = {
        key: (_line(before[key]), _line(value))
        for key, value in after.items()
        if before[key] != value
    }
    with replacing(params) as partial:
        partial.write_text(text, encoding="utf-8")
    return changed


class _Place(NamedTuple):
    """Where a value stands: lines and columns count from 0."""

    key_line: int
    line: int
    column: int
    last: int


def _replaced(text: str, key: str, value: str, where: str, params: Path) -> str:
    """Returns the text of the params with one value replaced."""
    place = dict(_places(_parsed(text, params))).get(key)
    if place is None:
        raise InputError(f"{where}: {params} has no such key, or keys below it")
    lines = text.splitlines()
    line = lines[place.key_line]
    if place.line == place.key_line:
        old = _VALUE.fullmatch(line[place.column :])
        rest = old["rest"] if old else ""
        lines[place.key_line] = line[: place.column] + value + rest
    else:  # `dvc exp run -S` writes a list as lines of its own
        lines[place.key_line : place.last + 1] = [f"{line.rstrip()} {value}"]
    return "\n".join(lines) + "\n"


def _places(node: Any, key: str = "") -> Iterator[tuple[str, _Place]]:
    """Yields where each of the values of `values` stands."""
    for name, inner in node.items():
        full = f"{key}.{name}".lstrip(".")
        if isinstance(inner, dict) and key not in ENTRIES:
            yield from _places(inner, full)
        else:
            line, column = node.lc.value(name)
            yield full, _Place(node.lc.key(name)[0], line, column, max(line, _last_line(inner)))


def _last_line(node: Any) -> int:
    """Returns the last line of a list or an entry; -1 of what is no such thing or empty."""
    if not isinstance(node, dict | list):
        return -1
    places: Any = node.lc  # type: ignore[union-attr]  # ruamel's, with lines and columns
    parts = node.items() if isinstance(node, dict) else enumerate(node)
    of = places.value if isinstance(node, dict) else places.item
    return max((max(of(key)[0], _last_line(part)) for key, part in parts), default=-1)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _parsed(text: str, path: Path) -> Any:
    return sections_of(text, path, YAML().load)
