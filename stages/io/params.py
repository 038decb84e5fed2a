"""Typed reading of `params.yaml`.

Each stage keeps the model of its own section beside its code; only the keys that several stages
share are modelled here. YAML 1.2 is read throughout, as DVC writes it (`1e-05` is a float,
`off` is a string).
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.io.errors import InputError

PARAMS_FILE = Path("params.yaml")
# A test sets this to a file's path to learn which keys each stage really reads.
TRACE_VARIABLE = "BINLLM_TRACE_PARAMS"

_SECTION_NAMES: dict[type, str] = {}


class Section(BaseModel):
    """A section of `params.yaml`: frozen, strictly typed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __getattribute__(self, name: str) -> Any:
        """Returns the attribute, noting reads of params where a test asked for it."""
        if TRACE_VARIABLE in os.environ and name in type(self).model_fields:
            section = _SECTION_NAMES.get(type(self))
            if section:
                _trace(f"{section}.{name}")
        return super().__getattribute__(name)


class Llm(Section):
    """Which LLM: `llm` in `params.yaml`."""

    source: str = Field(min_length=1)
    revision: str | None
    layers: int | None = Field(ge=1)


_SHARED: dict[str, Any] = {
    "seed": TypeAdapter(Annotated[int, Field(ge=0)]),
    "compress": TypeAdapter(bool),
    "dataset": TypeAdapter(str),
    "llm": TypeAdapter(Llm),
    "processes": TypeAdapter(Annotated[int, Field(ge=1, le=1024)]),
    "split_weights": TypeAdapter(bool),
}

S = TypeVar("S", bound=Section)


def load_section(
    model: type[S],
    name: str,
    path: Path | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
    changed_in: str = "",
) -> S:
    """Reads and validates the section `name`, whatever stands elsewhere in the file.

    Args:
        model: the section's model.
        name: the section's name, which is its stage's name; with dots, a part of a section.
        path: the file; `params.yaml` of the working folder by default.
        changes: values that take the place of the section's own, parts within parts.
        changed_in: the key below which they stand, for messages about one of them.

    Returns:
        The validated, frozen section.

    Raises:
        InputError: a key is missing, unknown or has a value that is not allowed.
    """
    path = path or PARAMS_FILE
    raw: Any = _read(path)
    for key in name.split("."):
        raw = raw.get(key) if isinstance(raw, dict) else None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: section {name!r} is missing or no mapping")
    try:
        section = model.model_validate(_changed(raw, changes or {}))
    except ValidationError as error:
        where = changed_in if _is_changed(error, changes or {}) else name
        raise InputError(_explain(error, path, where, model)) from None
    _name_sections(section, name)
    return section


def load_shared(
    name: Literal["seed", "compress", "dataset", "llm", "processes", "split_weights"],
    path: Path | None = None,
) -> Any:
    """Reads and validates one of the top-level keys that several stages share.

    Raises:
        InputError: the key is missing or its value is not allowed.
    """
    return load_key(name, _SHARED[name], path)


def load_key(name: str, kind: TypeAdapter, path: Path | None = None) -> Any:
    """Reads one top-level key, or with dots a key of a section, and validates it as `kind`.

    Raises:
        InputError: the key is missing or its value is not allowed.
    """
    path = path or PARAMS_FILE
    raw: Any = _read(path)
    for key in name.split("."):
        if not isinstance(raw, dict) or key not in raw:
            raise InputError(f"{path}: key {name!r} is missing")
        raw = raw[key]
    try:
        value = kind.validate_python(raw, strict=True)
    except ValidationError as error:
        raise InputError(_explain(error, path, name, Llm)) from None
    if name == "llm":
        _name_sections(value, "llm")
    elif TRACE_VARIABLE in os.environ:
        _trace(name)
    return value


def entries(table: str, path: Path | None = None) -> dict[str, Any]:
    """Reads a top-level table of named entries, each to be validated by whoever it concerns.

    Raises:
        InputError: it is no table, or a name is none that a file can have.
    """
    names = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    return load_key(table, TypeAdapter(dict[names, dict[str, Any]]), path)


def known_entry(table: str, name: str, path: Path | None = None) -> dict[str, Any]:
    """Returns one entry of such a table, as it stands there.

    Raises:
        InputError: there is none of that name.
    """
    known = entries(table, path)
    if name not in known:
        raise InputError(
            f"{path or PARAMS_FILE}: {table} has no {name!r}; expected {', '.join(known)}"
        )
    return known[name]


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run from the project's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a mapping of sections")
    return raw


@lru_cache(maxsize=4)  # a stage reads the same file many times, and a quarter of a second each
def _parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _changed(raw: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `raw` with values replaced, parts within parts."""
    changed = dict(raw)
    for key, value in changes.items():
        inner = raw.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, dict)
        changed[key] = _changed(inner, value) if both else value
    return changed


def _is_changed(error: ValidationError, changes: Mapping[str, Any]) -> bool:
    """Returns whether the first thing that is wrong stands among the changes."""
    place: Any = changes
    for key in error.errors(include_url=False)[0]["loc"]:
        if not isinstance(place, Mapping):
            return True
        if key not in place:
            return False
        place = place[key]
    return place is not changes


def _explain(error: ValidationError, path: Path, name: str, model: type[BaseModel]) -> str:
    """One line for the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    key = ".".join([name, *(str(part) for part in first["loc"])])
    if first["type"] == "missing":
        return f"{path}: {key} is missing"
    if first["type"] == "extra_forbidden":
        return f"{path}: {key} is unknown; allowed in {name}: {', '.join(model.model_fields)}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{path}: {key} = {first['input']!r}: {message}"


def _name_sections(section: Section, name: str) -> None:
    """Remembers where a section and those within it stand, for `_trace`."""
    _SECTION_NAMES[type(section)] = name
    for key, value in dict(section).items():
        if isinstance(value, Section):
            _name_sections(value, f"{name}.{key}")


def _trace(key: str) -> None:
    with Path(os.environ[TRACE_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(key) + "\n")
