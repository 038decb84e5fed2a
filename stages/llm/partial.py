"""What a scoring run has so far, kept so that a cut loses seconds and not the run."""

import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.tables import replacing
from stages.llm.scoring import Score

SAVE_SECONDS = 10.0


class PartialScores:
    """Scores of all rows, NaN where still to be computed, and the seconds spent on them.

    Attributes:
        scores: (n,) float32; filled in place by the scoring.
        done: rows that an earlier run had scored.
    """

    def __init__(self, folder: Path, n: int) -> None:
        """Takes up what lies in `folder`, or starts with nothing scored."""
        self._path = folder / "scores.npy"
        self._clock = folder / "seconds.json"
        self.scores: NDArray[np.float32] = np.full(n, np.nan, dtype=np.float32)
        self._spent = 0.0
        if self._path.is_file() and self._clock.is_file():
            self.scores = np.load(self._path, allow_pickle=False)
            self._spent = json.loads(self._clock.read_text())
        self.done = int((~np.isnan(self.scores)).sum())
        self._start = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of scoring so far, earlier runs included."""
        return self._spent + time.monotonic() - self._start

    def save(self, scores: NDArray[np.float32]) -> None:
        """Keeps the scores, at most once in `SAVE_SECONDS`."""
        if time.monotonic() - self._saved < SAVE_SECONDS:
            return
        with replacing(self._path) as partial, partial.open("wb") as file:
            np.save(file, scores)
        with replacing(self._clock) as partial:
            partial.write_text(json.dumps(self.seconds))
        self._saved = time.monotonic()


def read_score(adapter: Path) -> Score:
    """Returns which number the adapter was trained to rank by.

    Raises:
        InputError: the adapter was not written by `train_lora`.
    """
    path = adapter / "tuning.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["score"]
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: no record of the training ({error!r}); run `dvc repro`"
        ) from None
