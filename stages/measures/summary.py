"""The table that ends the pipeline's output."""

from itertools import product
from typing import Any

from stages.measures.layout import chance_line, further_metrics, metric_titles
from stages.measures.planned import OURS, SIMPLEST, STEP_1
from stages.measures.quality import METRICS

_GAP = "  "
# Below so many users, an interval over draws of them is no ground for a verdict.
FEWEST_FOR_VERDICT = 30
_VERDICTS = (
    "ranks better than",
    "cannot be told from",
    "ranks worse than",
    "has an undefined difference to",
)
# In AUC it counts who is kinder than whom; GAUC compares within users alone.
_JUDGED_BY = ("auc", "gauc")
_GROUND = "Told by the interval of the difference: above 0, with 0 in it, or below 0"


def summary_table(table: dict[str, Any]) -> str:
    """Returns the table, aligned for people, with verdicts on BinLLM, its step 1 and its codes.

    Args:
        table: what `stages.measures.table.build_table` returns, or what was written of it, in
            which undefined values are absent.
    """
    protocol, methods = table["protocol"], table["methods"]
    header = ["", *(cell for metric in METRICS for cell in (metric.upper(), ""))]
    lines: list[tuple[str, ...]] = [(*header, *metric_titles(protocol["ndcg_k"]))]
    lines += [_method_line(it) for it in methods.values()]
    differences = told_differences(methods)
    lines += [
        _difference_line(f"{one} - {other}", found, len(lines[0]))
        for (one, other), found in differences.items()
    ]
    text = _aligned(lines)
    text.insert(1 + len(methods), "")
    rule = "-" * max(map(len, text))
    chance = chance_line(table["chance"], protocol["ndcg_k"])
    heading = _heading(protocol, methods[OURS]["uauc_users"])
    return "\n".join([*heading, rule, *text, rule, chance, *verdicts(table)])


def told_differences(methods: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the differences that are told, by the titles of the two rows.

    BinLLM's from its step 1 and from sets of codes; theirs from biases, where there are any.
    """
    codes = [name for name, it in methods.items() if it["kind"] == "codes"]
    ours = methods[OURS]["title"]
    found = {
        (ours, methods[other]["title"]): methods[other]["difference"]
        for other in (STEP_1, *codes)
        if other in methods
    }
    for simple, title in SIMPLEST.items():
        if simple in methods:
            for name in (OURS, *codes):
                found[methods[name]["title"], title] = methods[name][f"above_{simple}"]
    return found


def _heading(protocol: dict[str, Any], with_both: int) -> list[str]:
    return [
        f"{protocol['dataset']}, test: {protocol['rows']:,} of {protocol['test_rows']:,} rows, "
        f"{protocol['users']:,} of {protocol['test_users']:,} users, "
        f"{with_both:,} with both labels",
        f"[low, high]: {protocol['level']:.0%} interval, users drawn "
        f"{protocol['replicates']:,} times",
    ]


def _method_line(found: dict[str, Any]) -> tuple[str, ...]:
    intervals = found["intervals"]
    cells = [found["title"]]
    for metric in METRICS:
        cells += [_number(found.get(metric)), _span(intervals.get(metric))]
    return (*cells, *(_number(found.get(name)) for name in further_metrics()))


def _difference_line(title: str, found: dict[str, Any], width: int) -> tuple[str, ...]:
    cells = [title]
    for metric in METRICS:
        difference = found.get(metric) or {}
        cells += [_number(difference.get("value"), "+"), _span(difference, "+")]
    return (*cells, *[""] * (width - len(cells)))


def verdicts(table: dict[str, Any]) -> list[str]:
    """Returns a sentence per row and metric, one for both if alike, or why there is none."""
    users, of_uauc = table["protocol"]["users"], table["methods"][OURS]["uauc_users"]
    if min(users, of_uauc) < FEWEST_FOR_VERDICT:
        return [
            f"No verdict: {users:,} users, of whom {of_uauc:,} have both labels and count for "
            f"UAUC; at least {FEWEST_FOR_VERDICT} are needed"
        ]
    judged: dict[str, list[str]] = {}
    differences = told_differences(table["methods"])
    for one, metric in product(dict.fromkeys(one for one, _ in differences), _JUDGED_BY):
        others = {other: it.get(metric) for (of, other), it in differences.items() if of == one}
        sentence = f"{one} {_judged(others)}"
        judged.setdefault(sentence, []).append(metric.upper())
    sentences = [f"By {' and '.join(by)}, {sentence}" for sentence, by in judged.items()]
    return [*sentences, *([_GROUND] if sentences else [])]


def _judged(differences: dict[str, dict[str, float] | None]) -> str:
    by_verdict: dict[str, list[str]] = {verdict: [] for verdict in _VERDICTS}
    for other, found in differences.items():
        by_verdict[_verdict(found)].append(other)
    return "; ".join(f"{it} {_listed(others)}" for it, others in by_verdict.items() if others)


def _verdict(difference: dict[str, float] | None) -> str:
    better, neither, worse, undefined = _VERDICTS
    if not difference or "low" not in difference:
        return undefined
    if difference["low"] > 0:
        return better
    return worse if difference["high"] < 0 else neither


def _listed(titles: list[str]) -> str:
    names = [f'"{title}"' if "," in title else title for title in titles]
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"


def _span(found: dict[str, float] | None, sign: str = "") -> str:
    if not found or "low" not in found:
        return ""
    low, high = (f"{found[end]:{sign}.3f}".replace("0.", ".", 1) for end in ("low", "high"))
    return f"[{low}, {high}]"


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Names to the left, numbers to the right, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        _GAP.join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
