"""How methods compare over several seeds: mean, deviation, and how often their order holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from numpy.typing import NDArray

from stages.io.paths import TEST_ROWS, predictions, repeats
from stages.io.seeds import generator
from stages.measures.bootstrap import draw_users
from stages.measures.params import Evaluate
from stages.measures.planned import OURS, SIMPLEST, PlannedRow
from stages.measures.quality import METRICS, Measured, mean_of
from stages.measures.repeats import over_seeds, scores_by_seed
from stages.measures.scored_rows import ScoredRows, read_predictions, read_scored_rows


def table_of_seeds(
    rows: ScoredRows,
    draws: NDArray,
    planned: Mapping[str, PlannedRow],
    params: Evaluate,
    seed: int,
) -> dict[str, Any] | None:
    """Measures the rows of the table that ran under several seeds, on all test rows they scored.

    Args:
        rows: the test rows that BinLLM has scored, with the scores of all planned rows.
        draws: (replicates, users) of these.
        planned: the rows of the table, and their repetitions.
        params: how scores are measured.
        seed: the run's root seed.

    Returns:
        What `across_seeds` does, with the mean's differences: `above_bias`, `above_title_bias`,
        and, where it scored BinLLM's rows, `difference` (BinLLM's mean less it, where BinLLM has
        several seeds, too). None where nothing ran more than once.
    """
    ours: Measured | None = None
    found: dict[str, dict[str, Any]] = {}
    # BinLLM first: its mean is what others' are held against.
    for name in sorted(planned, key=lambda name: name != OURS):
        scores = _scores_by_seed(name, rows, planned, seed)
        if len(scores) < 2:
            continue
        beside = [it for it in SIMPLEST if it in planned and it != name]
        its_rows, its_draws = rows, draws
        if rows.n_scored[name] > len(rows.uids):
            its_rows, its_draws = all_rows_of(name, params, seed, beside)
        simplest = {it: its_rows.scores[it] for it in beside}
        by_seed = {str(root): values for root, values in scores.items()}
        measured = replace(its_rows, scores={**by_seed, **simplest}).measured(its_draws, params)
        runs = {root: measured[str(root)] for root in scores}
        mean = mean_of([*runs.values()])
        held = {f"above_{it}": (mean, measured[it]) for it in simplest}
        if name == OURS:
            ours = mean
        elif ours and its_rows is rows:
            held["difference"] = (ours, mean)
        found[name] = over_seeds(runs, held, params.level)
    return across_seeds({name: found[name] for name in planned if name in found}) if found else None


def all_rows_of(
    name: str, params: Evaluate, seed: int, beside: Sequence[str] = ()
) -> tuple[ScoredRows, NDArray]:
    """Returns all rows that a method has scored, with others' scores beside, and draws of users."""
    files = {it: predictions(it) for it in (name, *beside)}
    rows = read_scored_rows(files, TEST_ROWS, reference=name)
    # One stream for all methods: the same users are drawn, so that methods can be paired.
    return rows, draw_users(rows.uids, params.replicates, generator(seed, "compare"))


def _scores_by_seed(
    name: str, rows: ScoredRows, planned: Mapping[str, PlannedRow], seed: int
) -> dict[int, NDArray]:
    """Returns root seed -> scores; a variant's further seeds are the variants that repeat it."""
    if planned[name].repeats:
        return {}
    if planned[name].kind != "variant":
        return scores_by_seed(repeats(name), read_predictions(predictions(name)), seed)
    again = {row.seed: other for other, row in planned.items() if row.repeats == name}
    further = {root: rows.scores[other] for root, other in again.items() if root is not None}
    return {seed: rows.scores[name], **further}


def across_seeds(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Puts the methods' repeated fits side by side.

    Args:
        found: method -> what `stages.measures.repeats.over_seeds` returned, in the table's order.

    Returns:
        `methods`: for each the number of `seeds`, and what was found. `order`: `METRICS`, under
        `one`, then `other`: the share of seeds in which `one` is higher (a tie counts half); only
        for pairs fitted under the same seeds and measured on the same rows.
    """
    methods = {method: {"seeds": len(seeds["runs"]), **seeds} for method, seeds in found.items()}
    order: dict[str, Any] = {metric: {} for metric in METRICS}
    for one, other in combinations(found, 2):
        if _protocol(found[one]) != _protocol(found[other]):
            continue
        for metric in METRICS:
            share = _share_above(found[one]["runs"], found[other]["runs"], metric)
            if share is not None:
                order[metric].setdefault(one, {})[other] = share
    return {"methods": methods, "order": order}


def _protocol(seeds: Mapping[str, Any]) -> tuple[int, list[int]]:
    return seeds["rows"], sorted(run["seed"] for run in seeds["runs"])


def _share_above(
    ones: list[dict[str, Any]], others: list[dict[str, Any]], metric: str
) -> float | None:
    if any(run[metric] is None for run in (*ones, *others)):
        return None
    by_seed = {run["seed"]: run[metric] for run in others}
    pairs = [(run[metric], by_seed[run["seed"]]) for run in ones]
    return sum((one > other) + (one == other) / 2 for one, other in pairs) / len(pairs)
