"""`params.yaml`: what is read, and that every bad value ends in one line that helps."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from stages.common.errors import InputError
from stages.common.params import TRACE_VARIABLE, Section, load_section, load_shared

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
"""


class Tune(Section):
    """A section with every kind of value."""

    rate: float = Field(gt=0)
    rows: int | None = Field(ge=1)
    kind: Literal["fast", "slow"]
    shuffle: bool


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
    assert load_shared("dataset", path) == "ml-100k"
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
        ("shuffle: true", "shufle: true", "tune.shuffle is missing"),
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
        ("dataset", "ml-100k", "ml-10k", "dataset = 'ml-10k': input should be 'ml-100k', 'ml-1m'"),
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


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"params\.yaml: no such file; run from the project's"):
        load_section(Tune, "tune", tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("found", "replacement", "expected"),
    [
        ("level: 0.95", "level: 1.5", "evaluate.level = 1.5: input should be less than 1"),
        ("level: 0.95", "levl: 0.95", "evaluate.level is missing"),
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
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


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


@pytest.mark.parametrize("key", ["seed", "compress", "dataset", "llm"])
def test_the_projects_shared_keys_are_allowed(key: Any) -> None:
    load_shared(key, ROOT / "params.yaml")


@pytest.mark.parametrize(
    "section",
    [name for name, value in project_params().items() if isinstance(value, dict) and name != "llm"],
)
def test_each_section_of_the_project_fits_its_stages_model(section: str) -> None:
    module = importlib.import_module(f"stages.{section}.params")
    model = getattr(module, section.title().replace("_", ""))
    loaded = load_section(model, section, ROOT / "params.yaml")
    assert set(project_params()[section]) == set(type(loaded).model_fields)


def test_each_key_of_the_project_has_a_comment() -> None:
    """On its own line, or on the lines right above."""
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [place for place, line in enumerate(lines) if re.match(r" *[a-z_0-9]+: +\S", line)]
    assert len(keys) > 10
    bare = [lines[place] for place in keys if not re.search(r"  # \S", lines[place])]
    above = {lines[place] for place in keys if lines[place - 1].lstrip().startswith("# ")}
    assert [line for line in bare if line not in above] == []
