"""Typed reading of `params.yaml`.

Each stage keeps the model of its own section beside its code; only the keys that several stages
share are modelled here. YAML 1.2 is read throughout, as DVC writes it (`1e-05` is a float,
`off` is a string).
"""

import difflib
import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.io.errors import InputError, shortened

PARAMS_FILE = Path("params.yaml")
# A test sets this to a file's path to learn which keys each stage really reads.
TRACE_VARIABLE = "BINLLM_TRACE_PARAMS"

# All that stages and commands read.
TOP_LEVEL = (
    *("dataset", "compress", "seed", "llm", "processes", "split_weights", "live"),
    *("codes", "prompts", "variants"),
    *("fetch_data", "preprocess", "pretrain_hash", "materialize_prompts", "train_lora"),
    *("predict", "cost", "evaluate", "compare", "compare_llm"),
)

_LARGEST = 2**63 - 1  # what arrays hold

# Of many wrong keys, so many are told at once.
_FAULTS_TOLD = 5

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
    "live": TypeAdapter(Literal["tensorboard", "dvclive", "wandb"] | None),
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

    The section itself has to be valid, whatever changes take its values' places.

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
    raw: Any = _read(path)
    path = path or PARAMS_FILE
    for key in name.split("."):
        raw = raw.get(key) if isinstance(raw, dict) else None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: section {name!r} is missing or no mapping")
    section = _validated(model, raw, name, path)
    if changes:
        section = _validated(model, _changed(raw, changes), changed_in, path)
    _name_sections(section, name)
    return section


def load_shared(
    name: Literal["seed", "compress", "dataset", "llm", "processes", "split_weights", "live"],
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
    raw: Any = _read(path)
    path = path or PARAMS_FILE
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


def _check_keys(raw: dict[str, Any], path: Path) -> None:
    """Refuses top-level keys that nothing reads: a misspelt one would be ignored."""
    unknown = [shortened(str(key), 40) for key in raw if key not in TOP_LEVEL]
    if unknown:
        hints = [difflib.get_close_matches(key, TOP_LEVEL, 1) for key in unknown[:_FAULTS_TOLD]]
        told = [
            f"{key!r}" + (f" (do you mean {hint[0]}?)" if hint else "")
            for key, hint in zip(unknown, hints, strict=False)
        ]
        more = f" and {len(unknown) - len(told)} more" if len(unknown) > len(told) else ""
        raise InputError(
            f"{path}: nothing reads {', '.join(told)}{more}; known: {', '.join(TOP_LEVEL)}"
        )


def _read(given: Path | None) -> dict[str, Any]:
    """Reads the file; the project's own, which is the default, must hold known keys only."""
    path = given or PARAMS_FILE
    raw = sections_of(text_of(path), path, _parsed)
    if given is None:
        _check_keys(raw, path)
    return raw


def text_of(path: Path) -> str:
    """Returns the text of a YAML file of the project.

    Raises:
        InputError: it is missing, or no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run from the project's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def sections_of(text: str, path: Path, parse: Callable[[str], Any]) -> Any:
    """Returns the mapping of sections that a YAML text holds, as `parse` makes it.

    Args:
        text: the text.
        path: the file that holds it, for messages.
        parse: ruamel's, or what builds on it.

    Raises:
        InputError: the text is no YAML, what Python has no value for, or no mapping.
    """
    try:
        content = parse(text)
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    except (ValueError, RecursionError, OverflowError, MemoryError) as error:
        # What YAML allows and Python does not: numbers and dates out of range, endless nesting.
        raise InputError(f"{path}: cannot be read as YAML: {error}") from None
    except Exception as error:  # the parser's own faults, which only damaged files meet
        kind = type(error).__name__
        raise InputError(f"{path}: cannot be read as YAML: {kind} {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of sections")
    return content


@lru_cache(maxsize=4)  # a stage reads the same file many times, and a quarter of a second each
def _parsed(text: str) -> Any:
    content = YAML(typ="safe", pure=True).load(text)
    waiting, seen = [content], set()
    while waiting:  # an alias may lead back to where it stands
        value = waiting.pop()
        if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            raise ValueError("holds an integer of more than 64 bits")
        if isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value
    return content


def _changed(raw: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `raw` with values replaced, parts within parts."""
    changed = dict(raw)
    for key, value in changes.items():
        inner = raw.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, dict)
        changed[key] = _changed(inner, value) if both else value
    return changed


def _validated(model: type[S], raw: Mapping[str, Any], name: str, path: Path) -> S:
    """Returns the section; `name` is the key below which all that may be wrong stands."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(_explain(error, path, name, model)) from None


def _explain(error: ValidationError, path: Path, name: str, model: type[BaseModel]) -> str:
    """One line for all that is wrong below the key `name`, the first of it first."""
    faults = error.errors(include_url=False)
    told = [_fault(fault, name, model) for fault in faults[:_FAULTS_TOLD]]
    more = len(faults) - len(told)
    return f"{path}: {'; '.join(told)}" + (f"; and {more} more" if more else "")


def _fault(fault: Any, name: str, model: type[BaseModel]) -> str:
    key = ".".join([name, *(shortened(str(part), 40) for part in fault["loc"])])
    if fault["type"] == "missing":
        return f"{key} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{key} is unknown; allowed in {name}: {', '.join(model.model_fields)}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    try:
        found = repr(fault["input"])
    except (ValueError, RecursionError):  # an integer of too many digits; nesting without end
        found = f"a value of type {type(fault['input']).__name__} too large to print"
    return f"{key} = {shortened(found, 120)}: {message}"


def _name_sections(section: Section, name: str) -> None:
    """Remembers where a section and those within it stand, for `_trace`."""
    _SECTION_NAMES[type(section)] = name
    for key, value in dict(section).items():
        if isinstance(value, Section):
            _name_sections(value, f"{name}.{key}")


def _trace(key: str) -> None:
    with Path(os.environ[TRACE_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(key) + "\n")
