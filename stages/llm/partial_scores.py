"""What a scoring run has so far, kept so that a cut loses seconds and not the run."""

import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.scratch import keep, kept
from stages.llm.hardware import best_device
from stages.llm.params import Score
from stages.llm.processes import ALONE, Processes

SAVE_SECONDS = 10.0


class PartialScores:
    """Scores of all rows, NaN where still to be computed, and the seconds spent on them.

    Attributes:
        scores: (n,) float32; filled in place by the scoring.
        done: rows that an earlier run had scored.
    """

    def __init__(self, folder: Path, n: int, peers: Processes = ALONE) -> None:
        """Takes up what lies in `folder`, or starts with nothing scored.

        Each process keeps what it scored in a file of its own; all start from what all had.
        """
        self._path = folder / f"scores-{peers.rank}.npy"
        self._clock = folder / "seconds.json"
        known = np.full(n, np.nan, dtype=np.float32)
        self._spent = 0.0
        if peers.rank == 0:
            seconds = kept(self._clock)
            self._spent = json.loads(bytes(seconds)) if seconds is not None else 0.0
            for path in sorted(folder.glob("scores-*.npy")):
                part = kept(path)
                if part is not None:
                    scores = np.load(io.BytesIO(part), allow_pickle=False)
                    known = np.where(np.isnan(known), scores, known)
        # One process reads, and the sum tells the others: a file may change while they look.
        shared = torch.from_numpy(known if peers.rank == 0 else np.zeros_like(known))
        self.scores: NDArray[np.float32] = peers.sum(shared.to(best_device())).cpu().numpy()
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
        content = io.BytesIO()
        np.save(content, scores)
        keep(content.getbuffer(), self._path)
        keep(json.dumps(self.seconds).encode(), self._clock)
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
