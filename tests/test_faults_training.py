"""Training and scoring go on from what is whole of their checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_llm import planted, train

from stages.io.progress import Progress
from stages.llm.partial_scores import PartialScores


def cut_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has Ctrl-C come after so many steps."""
    left = iter(range(steps))

    def advance(self: Progress, n: int, note: str = "") -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", advance)


def test_a_training_whose_checkpoint_is_damaged_starts_anew_and_ends_with_the_same_adapter(
    tiny_llm_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("stages.llm.tune.CHECKPOINT_SECONDS", 0.0)
    data, few = planted(24, 0), {"epochs": 1, "batch_rows": 4, "evaluations": 1}
    whole = train(tiny_llm_folder, data, tmp_path / "whole", planted(16, 9), **few)
    for name, damaged in (("resumed", False), ("damaged", True)):
        with monkeypatch.context() as patch:
            cut_after(3, patch)
            with pytest.raises(KeyboardInterrupt):
                train(tiny_llm_folder, data, tmp_path / name, planted(16, 9), **few)
        path = tmp_path / name / "checkpoint.pt"
        if damaged:
            path.write_bytes(path.read_bytes()[:1000])
        capsys.readouterr()
        again = train(tiny_llm_folder, data, tmp_path / name, planted(16, 9), **few)
        assert (f"{path}: damaged" in capsys.readouterr().err) == damaged
        assert again.curve == whole.curve
        for key, tensor in whole.weights.items():
            assert torch.equal(again.weights[key], tensor)


@pytest.mark.parametrize("name", ["scores-0.npy", "scores-1.npy", "seconds.json"])
def test_scores_that_are_damaged_are_scored_again_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("stages.llm.partial_scores.SAVE_SECONDS", 0.0)
    first = PartialScores(tmp_path, 4)
    first.scores[:2] = [1, 2]
    first.save(first.scores)
    (tmp_path / "scores-0.npy").rename(tmp_path / "scores-1.npy")  # as of a second process
    second = PartialScores(tmp_path, 4)
    assert second.done == 2
    second.scores[2] = 3
    second.save(np.where(second.scores == 3, second.scores, np.nan).astype(np.float32))
    assert PartialScores(tmp_path, 4).done == 3
    (tmp_path / name).write_bytes(b"")
    known = PartialScores(tmp_path, 4)
    assert known.done == {"scores-0.npy": 2, "scores-1.npy": 1, "seconds.json": 3}[name]
    assert (known.seconds < 0.05) or name != "seconds.json"
