"""Which compared methods run: the list in `params.yaml`, its files, and what is skipped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.choose_methods import __main__ as stage
from stages.common.chosen import METHODS, is_chosen, skipped, write_chosen
from stages.common.errors import InputError
from stages.common.tables import PREDICTIONS, read_table

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents() -> dict[str, str]:
    return {path.name: path.read_text() for path in Path("data/chosen").iterdir()}


def test_the_stage_writes_one_file_per_method_and_reads_no_other_key() -> None:
    Path("params.yaml").write_text("compare: {methods: [din, collm_mf], mf: 7}\n")
    stage.main()
    assert set(contents()) == set(METHODS)
    # CoLLM-MF is built on MF's vectors.
    assert [method for method in METHODS if is_chosen(method)] == ["mf", "din", "collm_mf"]


def test_only_the_file_of_a_method_whose_standing_changed_changes() -> None:
    write_chosen(["mf", "din"])
    before = contents()
    write_chosen(["din", "mf", "icl", "icl"])
    after = contents()
    assert {name for name in METHODS if before[name] != after[name]} == {"icl"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[mf, dim]", r"compare\.methods\.1 = 'dim': input should be 'mf', 'lightgcn'"),
        ("mf", r"compare\.methods = 'mf': input should be a valid list"),
        ("null", r"compare\.methods = None: input should be a valid list"),
    ],
)
def test_an_unknown_method_is_refused_in_one_line(written: str, expected: str) -> None:
    Path("params.yaml").write_text(f"compare: {{methods: {written}}}\n")
    with pytest.raises(InputError, match=expected) as caught:
        stage.main()
    assert "\n" not in str(caught.value)
    assert not Path("data").exists()


def test_a_chosen_method_is_not_skipped_and_nothing_is_written() -> None:
    write_chosen(["mf"])
    assert not skipped("mf")
    assert [path.name for path in Path().iterdir()] == ["data"]
    assert [path.name for path in Path("data").iterdir()] == ["chosen"]


def test_further_outputs_of_a_skipped_method_are_empty_files() -> None:
    write_chosen(["din"])
    path = Path("models/compare/mf.safetensors")
    assert not skipped("din", path) and not path.exists()
    assert skipped("mf", path) and path.read_bytes() == b""


def test_without_the_list_a_method_cannot_know() -> None:
    with pytest.raises(InputError, match=r"data/chosen/mf: no such file; run `dvc repro`"):
        skipped("mf")


def test_a_skipped_method_leaves_empty_outputs_and_never_loads_torch() -> None:
    write_chosen([])
    script = "import sys; from stages.compare.__main__ import main; main(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, "sasrec"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sasrec is not in compare.methods" in done.stdout
    assert not {"torch", "transformers"} & set(done.stdout.split())
    assert len(read_table(Path("data/predictions/sasrec.parquet"), PREDICTIONS)) == 0
    for kind in ("compare", "cost"):
        assert json.loads(Path(f"metrics/{kind}/sasrec.json").read_text()) == {}
