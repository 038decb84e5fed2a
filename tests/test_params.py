"""`params.yaml`: what is read, and that every bad value ends in one line that helps."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from pydantic import Field, TypeAdapter
from ruamel.yaml import YAML

from stages import datasets, methods
from stages.collab.recipes import PretrainHash, recipe
from stages.datasets.building.params import FetchData, Preprocess
from stages.io.errors import InputError
from stages.io.params import (
    TOP_LEVEL,
    TRACE_VARIABLE,
    Section,
    entries,
    known_entry,
    load_key,
    load_section,
    load_shared,
)
from stages.llm.cost_params import Cost
from stages.llm.method import LlmMethod, Shared, Training
from stages.llm.params import Scoring, TrainLora
from stages.llm.variants import VariantEntry, training_settings
from stages.measures.params import Evaluate
from stages.prompts.settings import MaterializePrompts, PromptsEntry, prompt_settings

ROOT = Path(__file__).resolve().parent.parent
GOOD = """\
seed: 1
compress: false
dataset: ml-100k
llm: {source: smollm2-135m, revision: null, layers: null}
tune:
  rate: 0.001
  rows: null
  kind: fast
  shuffle: true
deep:
  tune: {rate: 0.5, rows: 3, kind: slow, shuffle: false}
  names: [a, b]
sets:
  plain: {}
  wide_2: {dim: 64}
"""


class Tune(Section):
    """A section with every kind of value."""

    rate: float = Field(gt=0)
    rows: int | None = Field(ge=1)
    kind: Literal["fast", "slow"]
    shuffle: bool


class Both(Section):
    """A section with a section within."""

    tune: Tune
    names: list[str]


def write(tmp_path: Path, found: str = "", replacement: str = "") -> Path:
    assert found in GOOD
    path = tmp_path / "params.yaml"
    path.write_text(GOOD.replace(found, replacement, 1) if found else GOOD)
    return path


def refusal(tmp_path: Path, found: str, replacement: str, key: str = "tune") -> str:
    path = write(tmp_path, found, replacement)
    with pytest.raises(InputError) as caught:
        if key == "tune":
            load_section(Tune, "tune", path)
        elif key == "dataset":
            datasets.chosen(path)
        else:
            load_shared(key, path)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_good_values_are_read_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path)
    tune = load_section(Tune, "tune", path)
    assert (tune.rate, tune.rows, tune.kind, tune.shuffle) == (0.001, None, "fast", True)
    assert (load_shared("seed", path), load_shared("compress", path)) == (1, False)
    assert datasets.chosen(path) == load_shared("dataset", path) == "ml-100k"
    assert load_shared("llm", path).source == "smollm2-135m"


@pytest.mark.parametrize("written", ["1e-05", "1.0e-05", "0.00001", "1E-5"])
def test_a_small_number_is_a_number_as_dvc_writes_it(tmp_path: Path, written: str) -> None:
    assert load_section(Tune, "tune", write(tmp_path, "0.001", written)).rate == 1e-05


def test_a_section_cannot_be_changed(tmp_path: Path) -> None:
    tune = load_section(Tune, "tune", write(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        tune.rate = 2.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("found", "replacement", "expected"),
    [
        ("rate: 0.001", "rate: 0", "tune.rate = 0: input should be greater than 0"),
        ("rate: 0.001", "rate: '0.1'", "tune.rate = '0.1': input should be a valid number"),
        ("rate: 0.001", "rate: .nan", "tune.rate = nan: input should be a finite number"),
        ("rate: 0.001", "rate: .inf", "tune.rate = inf: input should be a finite number"),
        ("rate: 0.001", "rate: null", "tune.rate = None: input should be a valid number"),
        ("rate: 0.001", "rate: [0.1]", "tune.rate = [0.1]: input should be a valid number"),
        ("rows: null", "rows: 0", "tune.rows = 0: input should be greater than or equal to 1"),
        ("rows: null", "rows: 2.0", "tune.rows = 2.0: input should be a valid integer"),
        ("rows: null", "rows: true", "tune.rows = True: input should be a valid integer"),
        ("rows: null", "rows: all", "tune.rows = 'all': input should be a valid integer"),
        ("kind: fast", "kind: fats", "tune.kind = 'fats': input should be 'fast' or 'slow'"),
        ("shuffle: true", "shuffle: off", "tune.shuffle = 'off': input should be a valid boolean"),
        ("shuffle: true", "shuffle: 1", "tune.shuffle = 1: input should be a valid boolean"),
        (
            "shuffle: true",
            "shufle: true",
            "tune.shuffle is missing; tune.shufle is unknown; "
            "allowed in tune: rate, rows, kind, shuffle",
        ),
        (
            "shuffle: true",
            "shuffle: true\n  speed: 9",
            "tune.speed is unknown; allowed in tune: rate, rows, kind, shuffle",
        ),
        ("tune:", "tuna:", "section 'tune' is missing or no mapping"),
        ("tune:\n", "tune: 5\nrest:\n", "section 'tune' is missing or no mapping"),
    ],
)
def test_a_bad_section_is_told_by_key_value_and_what_is_allowed(
    tmp_path: Path, found: str, replacement: str, expected: str
) -> None:
    assert refusal(tmp_path, found, replacement) == expected


@pytest.mark.parametrize(
    ("key", "found", "replacement", "expected"),
    [
        ("seed", "seed: 1", "seed: -1", "seed = -1: input should be greater than or equal to 0"),
        ("seed", "seed: 1", "seed: 1.5", "seed = 1.5: input should be a valid integer"),
        ("seed", "seed: 1", "sed: 1", "key 'seed' is missing"),
        ("compress", "compress: false", "compress: off", "compress = 'off': input should be a"),
        ("compress", "compress: false", "compress: 0", "compress = 0: input should be a valid"),
        (
            "dataset",
            "ml-100k",
            "ml-10k",
            "dataset = 'ml-10k': input should be 'amazon-beauty-2023', 'amazon-book', ",
        ),
        ("dataset", "dataset: ml-100k", "data: ml-100k", "key 'dataset' is missing"),
        ("llm", "layers: null", "layers: 0", "llm.layers = 0: input should be greater than or"),
        ("llm", "smollm2-135m", "''", "llm.source = '': string should have at least 1 character"),
        ("llm", "revision: null", "revision: 7", "llm.revision = 7: input should be a valid str"),
        ("llm", "layers: null", "layer: 2", "llm.layers is missing"),
        (
            "llm",
            "layers: null",
            "layers: null, dtype: x",
            "llm.dtype is unknown; allowed in llm: source, revision, layers",
        ),
        ("llm", "llm: {", "llm: 5\nrest: {", "llm = 5: input should be a valid dictionary"),
    ],
)
def test_a_bad_shared_key_is_told_by_key_value_and_what_is_allowed(
    tmp_path: Path, key: str, found: str, replacement: str, expected: str
) -> None:
    assert refusal(tmp_path, found, replacement, key).startswith(expected)


# Parts of sections, values in place of others, and tables of entries.


def test_a_part_of_a_section_is_read_by_its_dotted_name(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load_section(Tune, "deep.tune", path).kind == "slow"
    assert load_key("deep.names", TypeAdapter(list[str]), path) == ["a", "b"]
    path = write(tmp_path, "rows: 3", "rows: 0")
    with pytest.raises(InputError) as caught:
        load_section(Tune, "deep.tune", path)
    expected = "deep.tune.rows = 0: input should be greater than or equal to 1"
    assert str(caught.value) == f"{path}: {expected}"


@pytest.mark.parametrize("name", ["deep.tuna", "deep.names.a", "seed.a", "rest.tune"])
def test_a_part_that_is_not_there_is_missing(tmp_path: Path, name: str) -> None:
    path = write(tmp_path)
    with pytest.raises(InputError) as caught:
        load_section(Tune, name, path)
    assert str(caught.value) == f"{path}: section {name!r} is missing or no mapping"
    with pytest.raises(InputError) as caught:
        load_key(name, TypeAdapter(list[str]), path)
    assert str(caught.value) == f"{path}: key {name!r} is missing"


def test_a_key_of_another_kind_is_told_by_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "[a, b]", "[a, 7]")
    with pytest.raises(InputError) as caught:
        load_key("deep.names", TypeAdapter(list[str]), path)
    assert str(caught.value) == f"{path}: deep.names.1 = 7: input should be a valid string"


def test_changes_take_the_place_of_values_parts_within_parts(tmp_path: Path) -> None:
    path = write(tmp_path)
    changed = load_section(Both, "deep", path, changes={"tune": {"rows": None}, "names": ["c"]})
    unchanged = load_section(Both, "deep", path)
    assert changed.names == ["c"] and unchanged.names == ["a", "b"]
    assert changed.tune.model_dump() == {**unchanged.tune.model_dump(), "rows": None}
    assert load_section(Both, "deep", path, changes={}) == unchanged


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tune": {"rate": -1}}, "sets.a.changes.tune.rate = -1: input should be greater than 0"),
        ({"tune": {"speed": 9}}, "sets.a.changes.tune.speed is unknown"),
        ({"tune": 5}, "sets.a.changes.tune = 5: input should be a valid dictionary"),
        ({"names": {"a": 1}}, "sets.a.changes.names = {'a': 1}: input should be a valid list"),
        ({"names": ["a", 7]}, "sets.a.changes.names.1 = 7: input should be a valid string"),
        ({"speed": 9}, "sets.a.changes.speed is unknown; allowed in sets.a.changes: tune, names"),
    ],
)
def test_a_bad_change_is_told_where_it_stands(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = write(tmp_path)
    with pytest.raises(InputError) as caught:
        load_section(Both, "deep", path, changes=changes, changed_in="sets.a.changes")
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{}, {"names": ["c"]}, {"tune": {"rows": 5}}])
def test_a_bad_value_beside_good_changes_is_told_where_it_stands(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = write(tmp_path, "rate: 0.5", "rate: 0")
    with pytest.raises(InputError) as caught:
        load_section(Both, "deep", path, changes=changes, changed_in="sets.a.changes")
    assert str(caught.value) == f"{path}: deep.tune.rate = 0: input should be greater than 0"


def test_entries_are_read_as_they_stand(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert entries("sets", path) == {"plain": {}, "wide_2": {"dim": 64}}
    assert list(entries("sets", path)) == ["plain", "wide_2"]
    assert known_entry("sets", "wide_2", path) == {"dim": 64}
    with pytest.raises(InputError) as caught:
        known_entry("sets", "wide", path)
    assert str(caught.value) == f"{path}: sets has no 'wide'; expected plain, wide_2"


@pytest.mark.parametrize("name", ["../wide", "Wide", "a.b", "a-b", "'a b'", "_a", "2", "''"])
def test_an_entry_whose_name_no_file_should_have_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "wide_2:", f"{name}:")
    with pytest.raises(InputError) as caught:
        entries("sets", path)
    assert str(caught.value).startswith(f"{path}: sets.") and "\n" not in str(caught.value)


@pytest.mark.parametrize("written", ["5", "[a]", "null", "{dim: 64}"])
def test_a_table_of_anything_but_entries_is_refused(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, "sets:\n  plain: {}\n  wide_2: {dim: 64}\n", f"sets: {written}\n")
    with pytest.raises(InputError) as caught:
        entries("sets", path)
    assert str(caught.value).startswith(f"{path}: sets") and "\n" not in str(caught.value)


# Broken files, and a real stage.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"tune: {rate: 1", "not valid YAML: "),
        (b"tune:\n  rate: 1\n  rate: 2\n", "not valid YAML: "),
        (b"tune:\n\trate: 1\n", "not valid YAML: "),
        (b"- a\n- b\n", "expected a mapping of sections"),
        (b"", "expected a mapping of sections"),
        (b"tune: {kind: \xff}", "cannot be read as UTF-8 text: "),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_section(Tune, "tune", path)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


LARGE = "9" * 5000
NESTED = 3000


@pytest.mark.parametrize(
    ("found", "replacement"),
    [
        ("rows: null", f"rows: {LARGE}"),
        ("rows: null", f"rows: 0x{LARGE}"),
        ("rows: null", f"rows: -{LARGE}"),
        ("rate: 0.001", f"rate: {LARGE}.5"),
        ("rate: 0.001", f"rate: 1e{LARGE}"),
        ("rate: 0.001", "rate: 2020-99-99"),
        ("rate: 0.001", "rate: 0000-01-01"),
        ("rate: 0.001", "rate: 1:99999999999:1"),
        ("kind: fast", f"kind: {'x' * 100_000}"),
        ("kind: fast", f"kind: {'[' * NESTED}{']' * NESTED}"),
        ("kind: fast", f"kind: {'{a: ' * NESTED}1{'}' * NESTED}"),
        ("kind: fast", "kind: !!python/object/apply:os.system [exit]"),
        ("kind: fast", "kind: !!binary x"),
        ("kind: fast", "kind: !!int x"),
        ("kind: fast", "kind: !!timestamp x"),
        ("kind: fast", "kind: !!set {a, b}"),
        ("kind: fast", "kind: &a [*a]"),
        ("kind: fast", "kind: *nothing"),
        ("kind: fast", 'kind: "a\\nb\\u2028c\\ud800\\0"'),
        ("kind: fast", "? [a, b]\n  : 1"),
        ("kind: fast", "? {a: b}\n  : 1"),
        ("kind: fast", "<<: 5"),
        ("kind: fast", "<<: [*x]"),
        ("kind: fast", f"{'k' * 3000}: 1"),
        ("kind: fast", '"a\\nb": 1'),
        ("seed: 1", "%YAML 9.9\n---\nseed: 1"),
        ("seed: 1", "\x00"),
    ],
)
def test_whatever_yaml_allows_is_a_short_line(tmp_path: Path, found: str, replacement: str) -> None:
    path = write(tmp_path, found, replacement)
    with pytest.raises(InputError) as caught:
        load_section(Tune, "tune", path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and len(message) <= 620
    assert message.isprintable()


def test_all_wrong_keys_of_a_section_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path, "rate: 0.001\n  rows: null\n  kind: fast", "rate: -1\n  rows: x\n  kid: 1"
    )
    with pytest.raises(InputError) as caught:
        load_section(Tune, "tune", path)
    assert str(caught.value) == (
        f"{path}: tune.rate = -1: input should be greater than 0; "
        "tune.rows = 'x': input should be a valid integer; tune.kind is missing; "
        "tune.kid is unknown; allowed in tune: rate, rows, kind, shuffle"
    )


def test_a_section_has_to_be_valid_itself_and_then_with_its_changes(tmp_path: Path) -> None:
    changes = {"tune": {"rate": 0.1, "rows": 0}}
    for replacement, fault in (
        ("rate: 0, rows: 3", "deep.tune.rate = 0: input should be greater than 0"),
        ("rate: 1, rows: 3", "sets.a.tune.rows = 0: input should be greater than or equal to 1"),
    ):
        path = write(tmp_path, "rate: 0.5, rows: 3", replacement)
        with pytest.raises(InputError) as caught:
            load_section(Both, "deep", path, changes=changes, changed_in="sets.a")
        assert str(caught.value) == f"{path}: {fault}"


def test_of_many_wrong_keys_the_rest_is_counted(tmp_path: Path) -> None:
    many = "".join(f"  k{n}: 1\n" for n in range(100))
    path = write(tmp_path, "  shuffle: true\n", f"  shuffle: true\n{many}")
    with pytest.raises(InputError, match=r"tune\.k4 is unknown; .*; and 95 more$"):
        load_section(Tune, "tune", path)


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("sed: 5", "nothing reads 'sed' (do you mean seed?); known: dataset, compress, "),
        (
            "train-lora: {}\nx: 1",
            "nothing reads 'train-lora' (do you mean train_lora?), 'x'; known:",
        ),
        ("5: 1", "nothing reads '5'; known: "),
        (
            "\n".join(f"k{n}: 1" for n in range(99)),
            "nothing reads 'k0', 'k1', 'k2', 'k3', 'k4' and 94",
        ),
    ],
)
def test_a_top_level_key_that_nothing_reads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: str, expected: str
) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(f"{text}\n{added}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for read in (lambda: load_shared("seed"), lambda: load_section(Evaluate, "evaluate")):
        with pytest.raises(InputError) as caught:
            read()
        assert str(caught.value).startswith(f"params.yaml: {expected}")
        assert len(str(caught.value)) <= 620


ODD_VALUES = (
    *("", "null", "-1", "[]", "{}", "[[", "'", '"', "&a *a", "!!x", "~", ".inf", LARGE, "1e999"),
    *("|", ">", "%", "@", "`", "\t", "\x07", "\u2028", "é", "on", "0x10", "2020-13-01"),
    *(
        "010",
        "0o17",
        "1_000",
        "+1",
        "1.",
        ".5",
        "1e-05",
        "1E5",
        "12e03",
        "1:30",
        "yes",
        "Null",
        "TRUE",
    ),
    *(
        "!!str 1",
        "!!int '1'",
        "&a 1",
        "*a",
        "<<: *a",
        "{a: 1}",
        "[1, [2]]",
        "- 1",
        "? a",
        "---",
        "...",
    ),
    *(
        "# a",
        " #a",
        "\ufeff",
        "\0",
        "'1'",
        '"\\x31"',
        "2020-01-31",
        "1 2",
        "fast",
        "false",
        "null: 1",
    ),
    *(
        "[" * 40,
        "{a: " * 40,
        "[" * 40 + "]" * 40,
        "'a\nb'",
        "=",
        "0b1",
        "-0",
        "0.0",
        "1e400",
        "-.inf",
    ),
)


def mutated(text: str, rng: random.Random) -> bytes:
    """Changes, doubles, moves or removes some characters, values or lines of a YAML file."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(lines))
        key, colon, value = lines[place].partition(": ")
        odd = rng.choice(ODD_VALUES)
        kind = rng.randrange(9)
        if kind == 0 or kind > 6:
            lines[place] = f"{key}{colon}{odd}"
        elif kind == 1:
            at = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at] + odd + lines[place][at:]
        elif kind == 2:
            lines[place] = " " * rng.randrange(5) + lines[place].lstrip()
        elif kind == 3:
            lines.insert(place, lines[rng.randrange(len(lines))])
        elif kind == 4:
            del lines[place]
        elif kind == 5:
            lines[place] = f"{key}x{colon}{value}"
        lines = lines or [""]
    if rng.random() < 0.1:
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[one:other] = [line[rng.randrange(3) :] for line in lines[one:other]]
        lines += rng.choice(([], lines, ["---", *lines], ["..."]))
    end = rng.choice(("\r\n", "\r", "\n\n", "\u2028")) if rng.random() < 0.05 else "\n"
    raw = bytearray(end.join(lines).encode("utf-8", "surrogatepass"))
    if rng.random() < 0.2 and raw:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


class Core(yaml.SafeLoader):
    """Another program's reader, told YAML 1.2's core schema, and integers as DVC reads them."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


def core(kind: str, pattern: str, first: str, construct: Callable[[str], Any]) -> None:
    tag = f"tag:yaml.org,2002:{kind}"
    Core.add_implicit_resolver(tag, re.compile(rf"({pattern})$"), [*first])
    Core.add_constructor(tag, lambda loader, node: construct(loader.construct_scalar(node)))


def whole(text: str) -> int:
    digits = text.replace("_", "")
    return int(digits, {"0x": 16, "0o": 8, "0b": 2}.get(digits.lstrip("+-")[:2], 10))


FRACTION = r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
core("null", "~|null|Null|NULL|", "~nN", lambda text: None)
Core.yaml_implicit_resolvers[""] = Core.yaml_implicit_resolvers["~"]
core("bool", "true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text[0] in "tT")
core("int", "[-+]?([0-9][0-9_]*|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)", "-+0123456789", whole)
core("float", FRACTION, "-+.0123456789", float)


def plainly(raw: bytes) -> Any:
    """Returns what the file says by the other reader; None where that does not read it."""
    try:
        return yaml.load(raw.decode("utf-8"), Core)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return None


def test_a_mutated_file_gives_the_params_that_it_holds_or_one_line(
    tmp_path: Path, fuzz_inputs: int
) -> None:
    rng, path, refused, compared = random.Random(11), tmp_path / "params.yaml", 0, 0
    readers: dict[str, Callable[[], Any]] = {
        "tune": lambda: load_section(Tune, "tune", path).model_dump(),
        "deep": lambda: load_section(
            Both, "deep", path, changes={"names": ["c"]}, changed_in="sets.a"
        ).model_dump(),
        "sets": lambda: entries("sets", path),
        "llm": lambda: load_shared("llm", path).model_dump(),
        "seed": lambda: load_shared("seed", path),
        "compress": lambda: load_shared("compress", path),
        "dataset": lambda: load_shared("dataset", path),
    }
    for number in range(fuzz_inputs):
        path.write_bytes(raw := mutated(GOOD, rng))
        said = plainly(raw)
        for key, read in readers.items():
            try:
                found = read()
            except InputError as error:
                refused += 1
                message = str(error)
                assert message.startswith(f"{path}: ") and message.isprintable(), number
                assert len(message) <= 620, number
                continue
            if said is not None:
                expected = {**said[key], "names": ["c"]} if key == "deep" else said[key]
                assert (found, type(found)) == (expected, type(expected)), raw
                compared += 1
    assert fuzz_inputs < refused < fuzz_inputs * len(readers) and compared > fuzz_inputs


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"params\.yaml: no such file; run from the project's"):
        load_section(Tune, "tune", tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("found", "replacement", "expected"),
    [
        ("level: 0.95", "level: 1.5", "evaluate.level = 1.5: input should be less than 1"),
        (
            "level: 0.95",
            "levl: 0.95",
            "evaluate.level is missing; evaluate.levl is unknown; "
            "allowed in evaluate: ndcg_k, replicates, level",
        ),
        ("seed: 1 ", "seed: -1 ", "seed = -1: input should be greater than or equal to 0"),
    ],
)
def test_a_real_stage_ends_in_one_line_with_status_2_and_writes_nothing(
    tmp_path: Path, found: str, replacement: str, expected: str
) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert found in text
    (tmp_path / "params.yaml").write_text(text.replace(found, replacement, 1))
    done = subprocess.run(
        [sys.executable, "-m", "stages.evaluate"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"error: params.yaml: {expected}\n"
    assert done.stdout == ""
    left = {path.name for path in tmp_path.rglob("*")} - {".scratch", "locks"}
    assert left == {"params.yaml", "stages.evaluate.lock"}


def test_a_test_learns_which_keys_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setenv(TRACE_VARIABLE, str(tmp_path / "trace"))
    assert load_section(Tune, "tune", path).kind == "fast"
    assert load_shared("compress", path) is False
    assert load_shared("llm", path).layers is None
    read = {json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()}
    assert read == {"tune.kind", "compress", "llm.layers"}


# The project's own file.


def project_params() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


SHARED = ("seed", "compress", "dataset", "llm", "processes", "split_weights", "live")
# Not sections: of some the parts are, of others the entries.
TABLES = ("codes", "prompts", "variants", "compare", "compare_llm")
MODELS: dict[str, type[Section]] = {
    "fetch_data": FetchData,
    "preprocess": Preprocess,
    "pretrain_hash": PretrainHash,
    "materialize_prompts": MaterializePrompts,
    "train_lora": TrainLora,
    "predict": Scoring,
    "cost": Cost,
    "evaluate": Evaluate,
    "compare_llm.protocol": Shared,
    "compare_llm.training": Training,
    **{
        f"{'compare_llm' if isinstance(method, LlmMethod) else 'compare'}.{name}": method.settings
        for name, method in ((name, methods.load(name)) for name in methods.names())
    },
    **{f"prompts.{name}": PromptsEntry for name in project_params()["prompts"]},
    **{f"variants.{name}": VariantEntry for name in project_params()["variants"]},
}


@pytest.mark.parametrize("key", SHARED)
def test_the_projects_shared_keys_are_allowed(key: Any) -> None:
    load_shared(key, ROOT / "params.yaml")


def test_the_projects_data_set_is_one_of_those_that_have_a_file() -> None:
    films = ["ml-100k", "ml-1m", "ml-20m", "ml-25m", "ml-32m", "ml-latest-small"]
    amazon = ["amazon-beauty-2023", "amazon-book", "amazon-books-2023"]
    assert datasets.names() == [*amazon, *films, "table"]
    assert datasets.chosen(ROOT / "params.yaml") in datasets.names()


@pytest.mark.parametrize("section", MODELS)
def test_each_section_of_the_project_fits_its_stages_model(section: str) -> None:
    raw: Any = project_params()
    for key in section.split("."):
        raw = raw[key]
    if section.startswith(("prompts.", "variants.")):
        raw = {"changes": {}, **raw}  # may be left out, as may a variant's seed
    if section.startswith("variants."):
        raw = {"seed": None, **raw}
    assert_same_keys(raw, load_section(MODELS[section], section, ROOT / "params.yaml"))


def assert_same_keys(raw: dict[str, Any], loaded: Section) -> None:
    """The file has exactly the model's keys, in sections within sections, too."""
    assert set(raw) == set(type(loaded).model_fields)
    for key, value in dict(loaded).items():
        if isinstance(value, Section):
            assert_same_keys(raw[key], value)


@pytest.mark.parametrize("name", project_params()["codes"])
def test_each_set_of_codes_of_the_project_changes_its_section(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(ROOT)
    params = project_params()
    assert recipe(name).model_dump() == {**params["pretrain_hash"], **params["codes"][name]}


def test_the_project_has_no_key_without_a_model() -> None:
    params = project_params()
    assert set(params) == {*SHARED, *TABLES, *(name for name in MODELS if "." not in name)}
    assert sorted(params) == sorted(TOP_LEVEL)
    parts = {f"{table}.{key}" for table in TABLES for key in params[table]}
    lists = {"compare.methods", "compare.seeds", "compare_llm.methods", "compare_llm.on_vectors"}
    codes = {f"codes.{name}" for name in params["codes"]}
    assert parts == {*lists, *codes, *(name for name in MODELS if "." in name)}


def test_entries_that_stand_in_comments_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text, n = re.subn(r"^  # (?=\w+: \{.*\}$)", "  ", text, flags=re.MULTILINE)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    read = {"codes": recipe, "prompts": prompt_settings, "variants": training_settings}
    before = project_params()
    found = {table: set(entries(table)) - set(before[table]) for table in read}
    assert sum(map(len, found.values())) == n >= 6
    assert found["variants"] == {"rates", "id_only", "intuitive", "compressed"}
    for table, names in found.items():
        for name in names:
            read[table](name)


def test_each_key_of_the_project_has_a_comment() -> None:
    """On its own line, or on the lines right above."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [place for place, line in enumerate(lines) if re.match(r" *[a-z_0-9]+: +\S", line)]
    assert len(keys) > 10
    bare = [lines[place] for place in keys if not re.search(r"  # \S", lines[place])]
    above = {lines[place] for place in keys if lines[place - 1].lstrip().startswith("# ")}
    assert [line for line in bare if line not in above] == []
