"""How methods compare over several seeds: mean, deviation, and how often their order holds."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from stages.measures.repeats import METRICS


def across_seeds(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Puts the methods' repeated fits side by side.

    Args:
        found: method -> what `stages.measures.repeats.over_seeds` returned, in the table's order.

    Returns:
        `methods`: for each the number of `seeds`, and what was found. `order`: auc and uauc, under
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
    return seeds["rows"], [run["seed"] for run in seeds["runs"]]


def _share_above(
    ones: list[dict[str, Any]], others: list[dict[str, Any]], metric: str
) -> float | None:
    if any(run[metric] is None for run in (*ones, *others)):
        return None
    pairs = [(one[metric], other[metric]) for one, other in zip(ones, others, strict=True)]
    return sum((one > other) + (one == other) / 2 for one, other in pairs) / len(pairs)
