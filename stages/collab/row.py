"""Fits a row of the table that needs no LLM, once per seed, and writes what it scores and costs."""

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter

from stages.collab.interactions import Interactions
from stages.collab.method import FittedMethod
from stages.io.params import load_key
from stages.io.paths import facts, fit_cost, predictions, repeats, scoring_cost
from stages.io.tables import PREDICTIONS, REPEATS, write_json, write_table


def write_row(
    name: str, fit: Callable[[int], FittedMethod], data: Interactions, seed: int
) -> FittedMethod:
    """Writes a row's scores of the test rows, under every seed, its facts and its costs.

    Args:
        name: the row's name.
        fit: fits under a root seed.
        data: the rows.
        seed: the root seed; `compare.seeds` says under how many, from it on, the row is fitted.

    Returns:
        The fit under `seed`.
    """
    seeds = load_key("compare.seeds", TypeAdapter(Annotated[int, Field(ge=1, le=1000)]))
    start = time.perf_counter()
    fitted = fit(seed)
    after_fit = time.perf_counter()
    scores = fitted.score(data.rows["test"])
    seconds = time.perf_counter() - after_fit
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    further = [_again(root, fit, data) for root in range(seed + 1, seed + seeds)]
    write_table(pa.concat_tables([REPEATS.empty_table(), *further]), repeats(name), REPEATS)
    write_table(test.append_column("score", [scores]), predictions(name), PREDICTIONS)
    write_json({"fit_seconds": after_fit - start}, fit_cost(name))
    write_json({"rows": len(test), "seconds": seconds}, scoring_cost(name))
    course = {"parameters": fitted.parameters, "fit": dict(fitted.course)}
    write_json({"valid_auc": fitted.valid_auc, **course}, facts(name))
    return fitted


def _again(root: int, fit: Callable[[int], FittedMethod], data: Interactions) -> pa.Table:
    """What a run of the pipeline with the root seed `root` would score."""
    rows = data.splits["test"]["row"]
    scores = fit(root).score(data.rows["test"]).astype(np.float32)
    seeds = np.full(len(rows), root)
    return pa.table({"seed": seeds, "row": rows, "score": scores}, schema=REPEATS)
