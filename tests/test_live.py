"""Training watched while it runs: what the libraries are told, and what happens without them."""

import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from stages.io.errors import InputError
from stages.llm.live import LIVE, nobody, watch

TOLD = ((30.0, {"loss": 0.7}), (60.0, {"loss": 0.6, "AUC": 0.55}), (60.0, {"validation AUC": 0.58}))


def tell(kind: str, folder: Path) -> Path:
    """Tells the library of two steps and an evaluation; returns the run's own folder."""
    log = watch("train_lora codes", kind, folder)
    for rows, values in TOLD:
        log(rows, values)
    (found,) = (folder / kind).iterdir()
    assert found.name.startswith("train_lora-codes-")
    return found


def test_where_nothing_is_asked_for_nothing_is_written(tmp_path: Path) -> None:
    assert watch("train_lora codes", None, tmp_path) is nobody
    nobody(1.0, {"loss": 0.5})
    assert not list(tmp_path.iterdir())


def test_git_ignores_what_is_written() -> None:
    root = Path(__file__).resolve().parent.parent
    ignored = (root / ".gitignore").read_text().splitlines()
    assert f"/{LIVE.parent}/" in ignored


@pytest.mark.parametrize("kind", ["tensorboard", "dvclive", "wandb"])
def test_a_missing_library_is_one_line_with_what_to_do(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (kind, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as caught:
        watch("train_lora codes", kind, tmp_path)
    assert str(caught.value).startswith(f"params.yaml: live = '{kind}': ")
    assert f"`pip install {kind}`" in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_spec("dvclive") is None, reason="no dvclive here")
def test_dvclive_has_losses_and_both_aucs_and_leaves_the_pipeline_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = tell("dvclive", tmp_path / "live")
    assert json.loads((found / "metrics.json").read_text()) == {
        **{"loss": 0.6, "AUC": 0.55, "validation AUC": 0.58},
        "step": 60,
    }
    lines = (found / "plots/metrics/loss.tsv").read_text().splitlines()
    assert [line.split("\t") for line in lines] == [["step", "loss"], ["30", "0.7"], ["60", "0.6"]]
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="no tensorboard here")
def test_tensorboard_has_losses_and_both_aucs(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tell("tensorboard", tmp_path)))
    events.Reload()

    def points(name: str) -> list[tuple[int, float]]:
        return [(it.step, pytest.approx(it.value)) for it in events.Scalars(name)]

    assert points("loss") == [(30, 0.7), (60, 0.6)]
    assert points("AUC") == [(60, 0.55)] and points("validation AUC") == [(60, 0.58)]


def test_wandb_is_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in: the real one asks for an account."""
    told: list[tuple[int, Mapping[str, float]]] = []

    class Run:
        def log(self, values: Mapping[str, float], step: int) -> None:
            told.append((step, values))

    class Library:
        @staticmethod
        def init(*, project: str, name: str, dir: str, reinit: str) -> Run:
            assert (project, name) == ("binllm", "train_lora-codes") and Path(dir).is_dir()
            assert reinit == "finish_previous"  # further seeds have runs of their own
            return Run()

    monkeypatch.setitem(sys.modules, "wandb", Library)
    tell("wandb", tmp_path)
    assert told == [(int(rows), values) for rows, values in TOLD]
