"""Lays the values of files over those of `params.yaml`, and leaves the rest of it as it is."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode

from stages.io.errors import InputError
from stages.io.params import sections_of, text_of
from stages.io.tables import replacing

PRESETS = Path("presets")
DEFAULT = "laptop"
# Tables of named entries: an entry is one value.
ENTRIES = ("codes", "prompts", "variants")


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
    wanted: dict[str, tuple[str, Path]] = {}
    for path in (folder / f"{name}.yaml" for name in names):
        wanted |= {key: (value, path) for key, value in _written(path)}
    text = text_of(params)
    parsed = _parsed(text, params)
    places = dict(_places(parsed, text))
    for key, (_, path) in wanted.items():
        if key not in places:
            raise InputError(f"{path}: {key}: {params} has no such key, or keys below it")
    lines = text.splitlines()
    for key in sorted(wanted, key=places.__getitem__, reverse=True):  # so that places stay true
        _replace(lines, places[key], wanted[key][0])
    text = "\n".join(lines) + "\n"
    before = dict(values(parsed))
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
    """Where a value stands: lines and columns count from 0.

    Attributes:
        key_line: of the key.
        colon: column after the key's colon.
        line, column: where the value begins; after the colon where there is none, which is null.
        last, end: its last line, and the column after it there.
    """

    key_line: int
    colon: int
    line: int
    column: int
    last: int
    end: int


def _written(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the values of a preset, each with its key, as they stand in its file."""
    text = text_of(path)
    lines = text.splitlines()
    for key, place in _places(_parsed(text, path), text):
        value = lines[place.line][place.column : place.end]
        if place.last > place.key_line or not value:
            raise InputError(f"{path}: {key}: expected its value on the same line")
        yield key, value


def _replace(lines: list[str], place: _Place, value: str) -> None:
    """Replaces the value at a place by one on its key's own line.

    `dvc exp run -S` writes all lists as lines of their own, null as nothing, and breaks long lines.
    """
    line = lines[place.key_line]
    if place.line == place.key_line:
        comments, rest = [], lines[place.last][place.end :]
    else:
        below = lines[place.key_line + 1 : place.last + 1]
        comments = [it for it in below if it.lstrip().startswith("#")]
        rest = line[place.colon :].rstrip()
    comment = f"  {rest.lstrip()}" if rest.strip() else ""
    lines[place.key_line : place.last + 1] = [f"{line[: place.colon]} {value}{comment}", *comments]


def _places(parsed: Any, text: str) -> Iterator[tuple[str, _Place]]:
    """Yields where each of the values of `values` stands in the text that was parsed."""
    keys = {key for key, _ in values(parsed)}
    nodes = _nodes(YAML().compose(text), text.splitlines())
    yield from ((key, place) for key, place in nodes if key in keys)


def _nodes(node: Any, lines: Sequence[str], key: str = "") -> Iterator[tuple[str, _Place]]:
    """Yields the place of each value and each section."""
    for name, inner in node.value:
        full = f"{key}.{name.value}".lstrip(".")
        key_line = name.end_mark.line
        colon = lines[key_line].index(":", name.end_mark.column) + 1
        start = inner.start_mark
        (line, column), (last, end) = (start.line, start.column), _end(inner)
        if isinstance(inner, ScalarNode) and not inner.value and inner.style is None:  # null
            (line, column), (last, end) = (key_line, colon), (key_line, colon)
        yield full, _Place(key_line, colon, line, column, last, end)
        if isinstance(inner, MappingNode):
            yield from _nodes(inner, lines, full)


def _end(node: Any) -> tuple[int, int]:
    """Returns the last line of a value and the column after it.

    Of block style it is the last part's: ruamel has that end where the next key begins.
    """
    if isinstance(node, ScalarNode) or node.flow_style or not node.value:
        return node.end_mark.line, node.end_mark.column
    last = node.value[-1]
    return _end(last[1] if isinstance(node, MappingNode) else last)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _parsed(text: str, path: Path) -> Any:
    return sections_of(text, path, YAML().load)
