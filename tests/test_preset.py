"""Presets: each is taken by the pipeline as a whole, and none leaves a trace of another."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from changed_params import ROOT
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML

from stages.io.errors import InputError, run_stage
from stages.io.params import load_section
from stages.llm.params import Scoring, TrainLora
from stages.llm.variants import training_settings
from stages.plan import main as plan
from stages.preset.__main__ import main
from stages.preset.overlay import DEFAULT, apply, described, known, values

PARAMS = Path("params.yaml")
FOLDER = ROOT / "presets"
NAMES = known(FOLDER)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the project's params, presets and sources."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_bytes((ROOT / PARAMS).read_bytes())
    for name in ("presets", "stages"):
        Path(name).symlink_to(ROOT / name)


def loaded(path: Path) -> dict[str, Any]:
    return dict(values(YAML(typ="safe").load(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("names", [*([name] for name in NAMES), ["paper", "gpu-7b"]])
def test_the_plan_accepts_every_preset_and_every_one_says_what_it_is_for(names: list[str]) -> None:
    apply([DEFAULT, *names], PARAMS, FOLDER)
    found = loaded(PARAMS)
    for name in names:
        assert {key: found[key] for key in loaded(FOLDER / f"{name}.yaml")}.items() <= found.items()
        assert len(described(FOLDER, name)) > 20
    assert found.items() >= loaded(FOLDER / f"{names[-1]}.yaml").items()
    plan()
    assert Path("data/plan/rows.json").is_file()
    for variant in ("text", "codes"):
        assert training_settings(variant).section.train_rows
    load_section(Scoring, "predict")


def test_the_default_preset_is_the_projects_own_params_and_undoes_all_others() -> None:
    """Where this fails after an edit of params.yaml, presets/laptop.yaml lacks the same edit."""
    before = PARAMS.read_bytes()
    default = loaded(FOLDER / f"{DEFAULT}.yaml")
    assert default.items() <= loaded(ROOT / PARAMS).items()
    others = [loaded(FOLDER / f"{name}.yaml") for name in NAMES if name != DEFAULT]
    assert set(default) == {key for other in others for key in other}
    for name in NAMES:
        apply([DEFAULT, name], PARAMS, FOLDER)
    apply([DEFAULT], PARAMS, FOLDER)
    assert PARAMS.read_bytes() == before


def test_only_values_of_the_preset_change_and_comments_stay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = PARAMS.read_text(encoding="utf-8").splitlines()
    monkeypatch.setattr(sys, "argv", ["preset", "smoke"])
    main()
    told = capsys.readouterr().out.splitlines()
    after = PARAMS.read_text(encoding="utf-8").splitlines()
    changed = [(b, a) for b, a in zip(lines, after, strict=True) if b != a]
    assert len(changed) == len(told) - 1
    assert "llm.layers: null -> 2" in told
    assert told[-1] == f"params.yaml: {len(changed)} values changed; run `dvc repro`"
    for before, now in changed:
        assert before.partition("  #")[2] == now.partition("  #")[2]
        assert before.partition(":")[0] == now.partition(":")[0]


def test_own_edits_of_other_keys_stay_and_lists_that_dvc_wrote_are_taken_back() -> None:
    before = PARAMS.read_text(encoding="utf-8")
    text = before.replace("dim: 32  # width", "dim: 64  # width").replace("dataset: ", "dataset : ")
    assert text != before
    start = text.index("  fields: [titles, rates, codes]")
    PARAMS.write_text(text[:start] + "  fields:\n  - codes\n" + text[text.index("\n", start) + 1 :])
    told = apply([DEFAULT], PARAMS, FOLDER)
    assert told == {"materialize_prompts.fields": ('["codes"]', '["titles", "rates", "codes"]')}
    assert PARAMS.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", NAMES)
def test_params_that_dvc_wrote_anew_become_what_they_become_from_our_own(name: str) -> None:
    apply([DEFAULT, name], PARAMS, FOLDER)
    expected = loaded(PARAMS)
    PARAMS.write_bytes((ROOT / PARAMS).read_bytes())
    with modify_yaml(str(PARAMS)) as params:  # as `dvc exp run -S` does
        params["compress"] = not params["compress"]
    assert "learning_rate: 1.4e-3}}" not in PARAMS.read_text(encoding="utf-8"), (
        "a line broken in two"
    )
    apply([DEFAULT, name], PARAMS, FOLDER)
    assert loaded(PARAMS) == expected | {"compress": True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train_lora: {rate: 3}", "train_lora.rate: params.yaml has no such key"),
        ("variants:\n  third: {prompts: text}", "variants.third: params.yaml has no such key"),
        ("train_lora: 3", "train_lora: params.yaml has no such key, or keys below it"),
        ("seed:\n  - 1", "seed: expected its value on the same line"),
        ("- 1", "expected a mapping of sections"),
        ("a: [", "not valid YAML"),
        ("seed: 2020-13-41", "cannot be read as YAML"),
        ("a: " + 3000 * "[", "bad.yaml: "),
    ],
)
def test_a_preset_that_does_not_fit_changes_nothing(
    tmp_path: Path, content: str, message: str
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "bad.yaml").write_text(content + "\n")
    before = PARAMS.read_bytes()
    with pytest.raises(InputError) as caught:
        apply(["bad"], PARAMS, folder)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert PARAMS.read_bytes() == before


def test_params_that_are_no_utf_8_text_are_one_line_and_a_date_among_them_does_no_harm() -> None:
    text = PARAMS.read_text(encoding="utf-8")
    PARAMS.write_bytes(text.encode() + b"# \xfc\n")
    with pytest.raises(InputError, match=r"params.yaml: cannot be read as UTF-8 text"):
        apply(["smoke"], PARAMS, FOLDER)
    PARAMS.write_text(text.replace("  rows: 2000  #", "  rows: 2020-01-01  #"))
    assert apply([DEFAULT], PARAMS, FOLDER) == {"predict.rows": ('"2020-01-01"', "2000")}


def test_an_unknown_name_is_told_which_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["preset", "huge"])
    with pytest.raises(SystemExit) as caught:
        run_stage(main)
    assert caught.value.code == 2
    assert (
        capsys.readouterr().err
        == f"error: presets: no preset 'huge'; expected {', '.join(NAMES)}\n"
    )


def test_the_list_has_a_line_per_preset() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stages.preset", "--list"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == NAMES
    assert {"smoke", "laptop", "ml-1m", "paper", "gpu-7b"} == set(NAMES)


def test_the_papers_preset_has_the_papers_adapter_and_learning_rates() -> None:
    apply([DEFAULT, "paper"], PARAMS, FOLDER)
    steps = [training_settings(name) for name in ("text", "codes")]
    assert [step.section.learning_rate for step in steps] == [1e-3, 1e-4]
    assert [step.phases() for step in steps] == [{"train": None}, {"train": None}]
    lora = load_section(TrainLora, "train_lora").lora
    assert (lora.rank, lora.alpha, lora.dropout) == (8, 16, 0.05)
    assert lora.targets == ["q_proj", "v_proj"]
    assert steps[1].start is not None and "rates" not in steps[1].shown
