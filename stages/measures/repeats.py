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
from stages.measures.quality import METRICS, Measured, difference


def scores_by_seed(path: Path, scored: pa.Table, seed: int) -> dict[int, NDArray]:
    """Reads a row's scores under its first root seed and under further ones.

    Each repetition is what a run of the pipeline with that root seed would find; of methods with an
    LLM, with the first seed's test rows, vectors and step 1.

    Args:
        path: the row's scores under further seeds.
        scored: its scores under the first seed, by ascending row.
        seed: the first seed.

    Returns:
        Root seed -> (n,) scores in the order of `scored`, the first seed's first.

    Raises:
        InputError: the file is missing, or holds scores of other rows.
    """
    further = read_table(path, REPEATS)
    scores = {seed: scored["score"].to_numpy()}
    for other in pc.unique(further["seed"]).to_pylist():
        again = further.filter(pc.equal(further["seed"], other)).sort_by("row")
        if not np.array_equal(again["row"].to_numpy(), scored["row"].to_numpy()):
            raise InputError(f"{path}: seed {other} scored other rows; run `dvc repro`")
        scores[other] = again["score"].to_numpy()
    return scores


def over_seeds(
    runs: Mapping[int, Measured], held: Mapping[str, tuple[Measured, Measured]], level: float
) -> dict[str, Any]:
    """Sums up a row's scores of the same test rows under several seeds.

    Args:
        runs: root seed -> what was measured of its scores; two seeds at least.
        held: name of a difference -> the two whose difference it is, measured on the same draws.
        level: share of draws within an interval.

    Returns:
        `rows`; `runs`, one entry per seed with seed and `METRICS`; mean and sd (of the sample) of
        each of these; and the differences, with a paired interval over users. An undefined value is
        None.
    """
    figures = {root: {m: run.quality[m] for m in METRICS} for root, run in runs.items()}
    return {
        "rows": next(iter(runs.values())).quality["rows"],
        "runs": [{"seed": root, **it} for root, it in figures.items()],
        **{metric: _spread([it[metric] for it in figures.values()]) for metric in METRICS},
        **{name: difference(one, other, level) for name, (one, other) in held.items()},
    }


def _spread(values: list[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"mean": statistics.fmean(known), "sd": statistics.stdev(known)}
