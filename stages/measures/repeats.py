"""A row under several root seeds: how far its figures scatter by chance of the fit alone."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.tables import REPEATS, read_table
from stages.measures.slices import sliced_metrics

METRICS = ("auc", "uauc")


def over_seeds(path: Path, scored: pa.Table, seed: int) -> dict[str, Any] | None:
    """Measures a row's scores under its first root seed and under further ones.

    Each repetition is what a run of the pipeline with that root seed would find; of methods with an
    LLM, with the first seed's test rows, vectors and step 1.

    Args:
        path: the row's scores under further seeds.
        scored: its scores under the first seed: row, uid, label and score, by ascending row.
        seed: the first seed.

    Returns:
        `rows`; `runs`, one entry per seed with seed, auc and uauc; and mean and sd (of the sample)
        of auc and of uauc. None where there is one seed only.

    Raises:
        InputError: the file is missing, or holds scores of other rows.
    """
    further = read_table(path, REPEATS)
    if not len(further):
        return None
    scores = {seed: scored["score"].to_numpy()}
    for other in pc.unique(further["seed"]).to_pylist():
        again = further.filter(pc.equal(further["seed"], other)).sort_by("row")
        if not np.array_equal(again["row"].to_numpy(), scored["row"].to_numpy()):
            raise InputError(f"{path}: seed {other} scored other rows; run `dvc repro`")
        scores[other] = again["score"].to_numpy()
    return over_scores(scored["uid"].to_numpy(), scored["label"].to_numpy(), scores)


def over_scores(uids: NDArray, labels: NDArray, scores: Mapping[int, NDArray]) -> dict[str, Any]:
    """Measures scores of the same rows under several seeds; returns what `over_seeds` does.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: root seed -> (n,) scores; two seeds at least.
    """
    runs = []
    for root, values in scores.items():
        found = sliced_metrics(uids, labels, values, {})
        runs.append({"seed": root, **{metric: found[metric] for metric in METRICS}})
    return {
        "rows": len(uids),
        "runs": runs,
        **{metric: _spread([run[metric] for run in runs]) for metric in METRICS},
    }


def _spread(values: list[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"mean": statistics.fmean(known), "sd": statistics.stdev(known)}
