"""What `evaluate` finds in its working folder, written by hand: planned rows and their scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import ndcg_score, roc_auc_score

from stages.io import paths
from stages.io.tables import INTERACTIONS, PREDICTIONS, REPEATS, read_table, write_json, write_table
from stages.measures.planned import PlannedRow, RowKind, rows_as_json
from tests.published import PUBLISHED, TITLES

FACTS = ["row", "uid", "iid", "label"]
KINDS: dict[str, RowKind] = {
    "bias": "method",
    "title_bias": "method",
    "mf": "method",
    "din": "method",
    "binmf": "codes",
    "wide": "codes",
    "collm_mf": "llm method",
    "text": "variant",
    "id_only": "variant",
    "codes": "variant",
    "codes_2": "variant",
}


def write_plan(rows: list[str], dataset: str = "ml-100k", codes: str | None = None) -> None:
    """Writes which rows the table has, as `plan` does.

    Args:
        rows: their names.
        dataset: of whose figures the paper's are.
        codes: the set of codes in BinLLM's prompts.
    """
    planned = []
    for row in rows:
        figures = PUBLISHED.get(dataset, {}).get(row)
        pair = {"auc": figures[0], "uauc": figures[1]} if figures else None
        title = TITLES.get(row, f"codes, {row}")
        prompts = {"prompts": row, "codes": codes} if row == "codes" else {}
        planned.append(PlannedRow(row, title, KINDS[row], pair, **prompts))
    write_json(rows_as_json(planned), paths.PLANNED_ROWS)


def write_row(row: str, scored: pd.DataFrame, **known: Any) -> None:
    """Writes all that a row's stages leave for the table: scores, facts, costs, no further seeds.

    Args:
        row: the row.
        scored: `FACTS` and `score`.
        known: facts and costs that differ from the usual ones; None leaves one out.
    """
    usual = {"valid_auc": 0.6, "parameters": 1000, "fit_seconds": None, "rows": 500, "seconds": 2.0}
    it = {**usual, "tokens_per_prompt": None, **known}
    write_predictions(row, scored)
    write_json({"valid_auc": it["valid_auc"], "parameters": it["parameters"]}, paths.facts(row))
    write_json({"fit_seconds": it["fit_seconds"]}, paths.fit_cost(row))
    cost = {name: it[name] for name in ("rows", "seconds", "tokens_per_prompt")}
    write_json(cost, paths.scoring_cost(row))
    if KINDS[row] != "variant":
        write_table(REPEATS.empty_table(), paths.repeats(row), REPEATS)


def write_predictions(row: str, table: pd.DataFrame) -> None:
    """Writes a row's scores."""
    write_table(table, paths.predictions(row), PREDICTIONS)


def predictions(row: str) -> pd.DataFrame:
    """Returns a row's scores."""
    return read_table(paths.predictions(row), PREDICTIONS).to_pandas()


def write_test_rows(table: pd.DataFrame) -> None:
    """Writes the test set."""
    write_table(table, paths.TEST_ROWS, INTERACTIONS)


def outputs() -> list[Path]:
    """Returns all files that `evaluate` has written."""
    named = [paths.HEADLINE, paths.TABLE, paths.METRICS / "table.csv"]
    folders = [paths.PLOTS, paths.EVALUATION]
    found = [*named, *(path for folder in folders for path in folder.glob("*"))]
    return sorted(path for path in found if path.is_file())


def by_scikit_learn(scored: pd.DataFrame, k: int) -> dict[str, Any]:
    """Returns rows, auc, uauc, uauc_users, gauc and ndcg (of k places) of rows with scores."""
    both = [user for _, user in scored.groupby("uid") if user["label"].nunique() == 2]
    aucs = [roc_auc_score(user["label"], user["score"]) for user in both]
    return {
        "rows": len(scored),
        "auc": roc_auc_score(scored["label"], scored["score"]),
        "uauc": np.mean(aucs),
        "uauc_users": len(both),
        "gauc": np.average(aucs, weights=[len(user) for user in both]),
        "ndcg": np.mean([ndcg_score([user["label"]], [user["score"]], k=k) for user in both]),
    }
