"""The rows of the table, as `plan` has written them, and what their stages know of each."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from stages.io.paths import (
    PLOTS,
    code_quality,
    facts,
    fit_cost,
    predictions,
    repeats,
    scoring_cost,
)
from stages.io.tables import read_json

RowKind = Literal["method", "codes", "llm method", "variant"]

# The variant that is BinLLM, against which all others are held, and its step 1.
OURS, STEP_1 = "codes", "text"
# Main effects, which know no taste, without titles and with them: all other rows are held against
# them as well, where they are in the table.
BIAS, TITLE_BIAS = "bias", "title_bias"
SIMPLEST = {BIAS: "bias", TITLE_BIAS: "title bias"}  # row -> what sentences call it


@dataclass(frozen=True)
class PlannedRow:
    """A row of the table.

    Attributes:
        name: of its files.
        title: what the table calls it.
        kind: a compared method without LLM, a set of codes, a compared method with LLM, or a
            variant of BinLLM.
        published: the paper's own AUC and UAUC on this data set; None where it has none.
        prompts: of a variant, its set of prompts.
        codes: of a variant, the set of codes in its prompts; None where they hold none.
        seed: of a variant, the root seed of its training; None for the run's.
        repeats: the variant that it is but for seeds, as whose repetition it is shown, in no line
            of its own; None otherwise.
    """

    name: str
    title: str
    kind: RowKind
    published: dict[str, float] | None = None
    prompts: str | None = None
    codes: str | None = None
    seed: int | None = None
    repeats: str | None = None


@dataclass(frozen=True)
class RowFacts:
    """What is known of a row beside its scores; None where its stage does not say.

    Attributes:
        valid_auc: of the state that was chosen by it.
        parameters: trained parameters.
        fit_seconds: seconds of the fit.
        seconds_per_1000: seconds to score 1,000 rows.
        tokens: of a scored row's prompt, on average.
    """

    valid_auc: float | None = None
    parameters: int | None = None
    fit_seconds: float | None = None
    seconds_per_1000: float | None = None
    tokens: float | None = None


def rows_as_json(rows: list[PlannedRow]) -> dict[str, Any]:
    """Returns what `read_rows` reads."""
    return {row.name: {k: v for k, v in asdict(row).items() if k != "name"} for row in rows}


def read_rows(path: Path) -> dict[str, PlannedRow]:
    """Returns the rows of the table by name, in its order.

    Raises:
        InputError: `plan` has not run.
    """
    return {name: PlannedRow(name, **row) for name, row in read_json(path).items()}


def read_facts(row: str) -> RowFacts:
    """Reads what the row's stages wrote about it.

    Raises:
        InputError: a file is missing or no JSON.
    """
    known, fit, scoring = (read_json(path(row)) for path in (facts, fit_cost, scoring_cost))
    n_rows, seconds = scoring.get("rows"), scoring.get("seconds")
    return RowFacts(
        valid_auc=known.get("valid_auc"),
        parameters=known.get("parameters"),
        fit_seconds=fit.get("fit_seconds"),
        seconds_per_1000=1000 * seconds / n_rows if n_rows and seconds is not None else None,
        tokens=scoring.get("tokens_per_prompt"),
    )


def remove_other_rows(planned: Collection[str]) -> None:
    """Removes the files of rows that are not in the table, left from a run that had more.

    `evaluate` and `report` depend on their folders; with leftovers in them they would not be the
    stages that they are in a new clone. DVC's cache keeps them for a run that has the rows again.
    """
    for of_row in (predictions, repeats, facts, fit_cost, scoring_cost, code_quality):
        for path in of_row("").parent.glob("*"):
            if path.stem not in planned:
                path.unlink()
    for kind in ("bits", "training"):
        for path in PLOTS.glob(f"{kind}_*.csv"):
            if path.stem.removeprefix(f"{kind}_") not in planned:
                path.unlink()
