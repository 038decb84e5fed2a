"""The table: each method on the same test rows, held against BinLLM and against plain biases."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.io.paths import TEST_ROWS, predictions
from stages.io.seeds import generator
from stages.measures.bootstrap import bootstrap, draw_users, interval
from stages.measures.params import Evaluate
from stages.measures.planned import BIAS, OURS, SIMPLEST, PlannedRow, RowFacts, read_facts
from stages.measures.quality import chance_levels, difference
from stages.measures.scored_rows import ScoredRows, read_scored_rows
from stages.measures.seeds_table import all_rows_of, table_of_seeds

FEWEST_USERS = 10


def build_table(
    rows: ScoredRows,
    planned: Mapping[str, PlannedRow],
    facts: Mapping[str, RowFacts],
    *,
    dataset: str,
    params: Evaluate,
    draws: NDArray,
) -> dict[str, Any]:
    """Measures all rows of the table on the same test rows and the same draws of users.

    The same draws are used for every method, so that an interval of a difference is a paired one:
    what makes a draw of users easy or hard cancels out.

    Args:
        rows: the test rows, with every method's scores under its name.
        planned: the rows of the table.
        facts: what their own stages know of them.
        dataset: the data set's name.
        params: how scores are measured.
        draws: (replicates, users); see `stages.measures.bootstrap.draw_users`.

    Returns:
        `protocol`; `chance`, what a random order gives, by metric; `methods`, each with title,
        kind, auc, uauc, uauc_users, rows, seen, warm, cold (with users and intervals), the other
        metrics, intervals, scored_rows, difference (BinLLM - it, paired), above_bias and
        above_title_bias (it - bias, paired; where that is in the table), relative_improvement (of
        BinLLM over it), valid_auc, parameters, tokens (of a prompt), seconds and published. An
        undefined value is None.
    """
    measured = rows.measured(draws, params)
    ours, lines = measured[OURS], {}
    for method, found in measured.items():
        if planned[method].repeats:
            continue
        for name, part in rows.slices.items():
            spread = slice_spread(rows, rows.scores[method], part, draws, params.level)
            found.quality[name] |= spread
        known = facts[method]
        lines[method] = {
            "title": planned[method].title,
            "kind": planned[method].kind,
            **found.quality,
            "scored_rows": rows.n_scored[method],
            **_against(ours.quality, found.quality, method),
            "valid_auc": known.valid_auc,
            "parameters": known.parameters,
            "tokens": known.tokens,
            "seconds": {"fit": known.fit_seconds, "per_1000_rows": known.seconds_per_1000},
            "published": _published(planned, method),
        }
        if method != OURS:
            lines[method]["difference"] = difference(ours, found, params.level)
        for simple in SIMPLEST:
            if simple != method and simple in measured:
                gap = difference(found, measured[simple], params.level)
                lines[method][f"above_{simple}"] = gap
    return {
        "protocol": {"dataset": dataset, **rows.protocol(params)},
        "chance": chance_levels(rows.uids, rows.labels, params.ndcg_k),
        "methods": lines,
    }


def whole_table(
    planned: Mapping[str, PlannedRow], params: Evaluate, *, dataset: str, seed: int
) -> tuple[ScoredRows, dict[str, Any]]:
    """Reads what there is of the planned rows and measures it.

    Returns:
        The test rows that BinLLM has scored, with all scores; and what `build_table` returns, with
        `all_rows` for methods that scored more than these, and `seeds` where methods were fitted
        more than once.

    Raises:
        InputError: a file is missing, or rows differ.
    """
    files = {name: predictions(name) for name in planned}
    variants = [name for name, row in planned.items() if row.kind == "variant"]
    rows = read_scored_rows(files, TEST_ROWS, reference=OURS, alike=variants)
    facts = {name: read_facts(name) for name, row in planned.items() if not row.repeats}
    draws = draw_users(rows.uids, params.replicates, generator(seed, "evaluate"))
    table = build_table(rows, planned, facts, dataset=dataset, params=params, draws=draws)
    for name, line in table["methods"].items():
        if line["scored_rows"] > len(rows.uids):
            its_rows, its_draws = all_rows_of(name, params, seed)
            line["all_rows"] = on_all_rows(name, its_rows, its_draws, params)
    table["seeds"] = table_of_seeds(rows, draws, planned, params, seed)
    return rows, table


def recorded(table: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the table as git keeps it: without seconds, which differ from run to run."""
    methods = {
        name: {key: value for key, value in line.items() if key != "seconds"}
        for name, line in table["methods"].items()
    }
    return {**table, "methods": methods}


def headline(table: Mapping[str, Any], distinct_codes: int | None) -> dict[str, Any]:
    """Returns the figures that experiments are compared by, few enough for a terminal's width.

    DVC prints the file as one line, whose columns are as wide as their names: so these are short.

    Args:
        table: what `build_table` returns.
        distinct_codes: how many different codes the users have in BinLLM's prompts.

    Returns:
        BinLLM's `auc` and `uauc`; `bias` and `binmf`, its AUC less theirs, with `_l` and `_h`, the
        ends of the paired interval; `valid`, its AUC on validation rows; `tokens` of a prompt;
        `codes`. What is undefined, or not in the table, is None.
    """
    methods = table["methods"]
    ours = methods[OURS]
    figures = {"auc": ours["auc"], "uauc": ours["uauc"]}
    for other in (BIAS, "binmf"):
        gap = methods.get(other, {}).get("difference", {}).get("auc") or {}
        ends = {f"{other}_l": gap.get("low"), f"{other}_h": gap.get("high")}
        figures |= {other: gap.get("value"), **ends}
    figures["valid"] = ours["valid_auc"]
    # Adding 0 makes -0.0 a 0.0.
    rounded = {name: None if it is None else round(it, 4) + 0.0 for name, it in figures.items()}
    tokens = None if ours["tokens"] is None else round(ours["tokens"], 1)
    return {**rounded, "tokens": tokens, "codes": distinct_codes}


def distinct_codes(quality: Mapping[str, Any]) -> int:
    """Returns how many different codes a set's users have; see `code_quality`."""
    users = quality["health"]["user"]
    return round(users["distinct"] * users["codes"])


def on_all_rows(method: str, rows: ScoredRows, draws: NDArray, params: Evaluate) -> dict[str, Any]:
    """Measures a method on all rows it has scored, which may be more than BinLLM has.

    Args:
        method: its name.
        rows: these rows, with its scores.
        draws: (replicates, users); see `stages.measures.bootstrap.draw_users`.
        params: how scores are measured.

    Returns:
        What is measured of them, and `chance`, what a random order of them gives.
    """
    chance = chance_levels(rows.uids, rows.labels, params.ndcg_k)
    return {**rows.measured(draws, params)[method].quality, "chance": chance}


def relative_improvement(ours: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """How much better `ours` is, relative to `other`, averaged over AUC and UAUC (paper, Table 2).

    Returns:
        The mean of (ours - other) / other, 0.1 meaning 10 % better; None where undefined.
    """
    gains = []
    for metric in ("auc", "uauc"):
        if ours[metric] is None or not other[metric]:
            return None
        gains.append((ours[metric] - other[metric]) / other[metric])
    return float(np.mean(gains))


def slice_spread(
    rows: ScoredRows, scores: NDArray, part: NDArray, draws: NDArray, level: float
) -> dict[str, Any]:
    """Users of a slice of the rows, and intervals of AUC and UAUC within it on the same draws.

    No intervals below `FEWEST_USERS` users: drawing a handful again and again says little.

    Args:
        rows: (n) rows.
        scores: (n,) one method's scores.
        part: (n,) bool, the rows of the slice.
        draws: (replicates, users) how often each of all users is drawn.
        level: share of replicates within an interval.
    """
    users = np.unique(rows.uids[part])
    if len(users) < FEWEST_USERS:
        return {"users": len(users)}
    of_part = draws[:, np.isin(np.unique(rows.uids), users)]
    drawn = bootstrap(rows.uids[part], rows.labels[part], scores[part], of_part)
    spans = {"auc": interval(drawn.auc, level), "uauc": interval(drawn.uauc, level)}
    return {"users": len(users), "intervals": spans}


def _against(ours: Mapping[str, Any], it: Mapping[str, Any], method: str) -> dict[str, Any]:
    return {} if method == OURS else {"relative_improvement": relative_improvement(ours, it)}


def _published(planned: Mapping[str, PlannedRow], method: str) -> dict[str, Any] | None:
    figures, ours = planned[method].published, planned[OURS].published
    if figures is None or ours is None:
        return None
    return {**figures, **_against(ours, figures, method)}
