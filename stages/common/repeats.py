"""A method under several root seeds: how far its figures scatter by chance of the fit alone."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, Field

from stages.common.params import Section

METRICS = ("auc", "uauc")


class Repeats(Section):
    """The key `compare.seeds` of `params.yaml`, and no other of that section."""

    model_config = ConfigDict(extra="ignore")

    seeds: int = Field(ge=1, le=1000)


def over_seeds(
    first: Mapping[str, Any], seed: int, count: int, again: Callable[[int], Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Repeats a fit under the root seeds `seed + 1`, …, `seed + count - 1`.

    Each repetition is what a run of the pipeline with that root seed would find.

    Args:
        first: test metrics under `seed`: auc, uauc (None where undefined) and rows.
        seed: the root seed.
        count: how many seeds there are, `seed` included.
        again: fits and measures under another root seed; returns the same metrics.

    Returns:
        `rows`; `runs`, one entry per seed with seed, auc and uauc; and mean and sd (of the sample)
        of auc and of uauc. None where there is one seed only.
    """
    if count == 1:
        return None
    found = {seed: first, **{other: again(other) for other in range(seed + 1, seed + count)}}
    runs = [{"seed": root, **{m: test[m] for m in METRICS}} for root, test in found.items()]
    return {
        "rows": first["rows"],
        "runs": runs,
        **{metric: _spread([run[metric] for run in runs]) for metric in METRICS},
    }


def _spread(values: list[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {"mean": statistics.fmean(known), "sd": statistics.stdev(known)}
