"""`--help` of every stage: it says what is read, written and read of params, and runs nothing."""

import runpy
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
COMMANDS = ("measures", "recommend")


def told(
    module: str, words: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> tuple[int, list[Path]]:
    """Starts a module as `python -m` does, in an empty folder.

    Returns:
        Its exit status, and what it wrote.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [module, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"stages.{module}", run_name="__main__", alter_sys=True)
    return ended.value.code or 0, list(folder.rglob("*"))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("module", [*STAGES, *COMMANDS])
def test_help_runs_nothing(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(module, ["--help"], monkeypatch, tmp_path) == (0, [])
    assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("module", STAGES)
def test_a_stages_help_names_all_that_it_reads_and_writes_and_its_params(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(module, ["-h"], monkeypatch, tmp_path)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].values()
    bodies = [stage.get("do", stage) for stage in stages]
    ours = [body for body in bodies if f"stages.{module}" in body["cmd"].split()]
    assert ours
    for body in ours:
        named = [*body["deps"], *body.get("params", [])]
        for kind in ("outs", "metrics", "plots"):
            named += [
                out if isinstance(out, str) else next(iter(out)) for out in body.get(kind, [])
            ]
        for name in named:
            assert name.replace("${key}", "<name>").replace("${item}", "<name>") in lines


@pytest.mark.parametrize("module", ["pretrain_hash", "train_lora", "materialize_prompts"])
def test_help_of_items_names_the_section_that_shapes_them(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(module, ["--help"], monkeypatch, tmp_path)
    line = f"  {module} (as `plan` merges it with the item's own changes)"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("module", [*STAGES, "measures"])
def test_words_that_a_module_does_not_know_are_refused(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["one", "two", "--three"]
    assert told(module, words, monkeypatch, tmp_path) == (2, [])
    assert "unrecognized arguments: " in capsys.readouterr().err
