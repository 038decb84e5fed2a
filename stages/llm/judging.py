"""How a compared method with an LLM is scored and measured, and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.quality import Measures, measure_splits
from stages.common.seeds import generator
from stages.common.tables import INTERACTIONS, PREDICTIONS, read_table, write_json, write_table
from stages.llm.model import Llm
from stages.llm.predicting import score_rows
from stages.llm.prompts import PromptSet
from stages.llm.scoring import Score

JUDGED: tuple[Literal["valid"], Literal["test"]] = ("valid", "test")


@dataclass(frozen=True)
class Fitted:
    """How training went.

    Attributes:
        best: `rows` seen until the best state, with their `loss` and validation `auc`.
        seconds: of the training.
        parameters: that were trained.
    """

    best: dict[str, float]
    seconds: float
    parameters: int


def facts_of(rows: Mapping[str, PromptSet], interactions: Path) -> dict[str, pa.Table]:
    """Returns validation and test rows with `seen` and `warm` of the interactions they stem from.

    Args:
        rows: `valid` and `test`.
        interactions: folder of the interactions.

    Raises:
        InputError: the interactions are others.
    """
    return {s: _with_facts(rows[s].keys, interactions / f"{s}.parquet") for s in JUDGED}


def judge(
    method: str,
    llm: Llm,
    rows: Mapping[str, PromptSet],
    facts: Mapping[str, pa.Table],
    fitted: Fitted,
    *,
    score: Score,
    token_budget: int,
    measures: Measures,
    seed: int,
    scratch: Path,
) -> None:
    """Scores validation and test rows; writes test scores, metrics and cost.

    Args:
        method: the method's name.
        llm: the LLM in the state to be judged.
        rows: `valid` and `test`.
        facts: see `facts_of`.
        fitted: how training went.
        score: the number that ranks.
        token_budget: see `stages.llm.scoring.score_prompts`.
        measures: how scores are measured.
        seed: the root seed.
        scratch: where a cut run finds what it had.
    """
    scored = {
        split: score_rows(
            llm,
            rows[split],
            score=score,
            token_budget=token_budget,
            scratch=scratch / split,
            title=f"score {method} {split}",
        )
        for split in JUDGED
    }
    scores: dict[str, NDArray[np.float32]] = {split: found for split, (found, _) in scored.items()}
    # The stream of `compare`: on equal rows equal users are drawn, so that methods can be paired.
    quality = measure_splits(
        facts,
        scores,
        ndcg_k=measures.ndcg_k,
        replicates=measures.replicates,
        level=measures.level,
        rng=generator(seed, "compare"),
    )
    quality |= {"parameters": fitted.parameters, "fit": fitted.best}
    predicted = rows["test"].keys.append_column("score", pa.array(scores["test"]))
    _, seconds = scored["test"]
    cost = {
        "rows": len(predicted),
        "fit_seconds": fitted.seconds,
        "seconds": seconds,
        "rows_per_second": len(predicted) / seconds,
    }
    write_table(predicted, Path(f"data/predictions/{method}.parquet"), PREDICTIONS)
    write_json(quality, Path(f"metrics/compare/{method}.json"))
    write_json(cost, Path(f"metrics/cost/{method}.json"))


def _with_facts(keys: pa.Table, path: Path) -> pa.Table:
    known = read_table(path, INTERACTIONS, [*keys.column_names, "seen", "warm"])
    found = known.filter(pc.is_in(known["row"], keys["row"].combine_chunks()))
    if not found.select(keys.column_names).equals(keys):
        raise InputError(f"{path}: its rows are others than those of the prompts; run `dvc repro`")
    return found
