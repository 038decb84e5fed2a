"""The table as text: CSV for machines and `dvc plots`, Markdown for people."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from stages.common.repeats import METRICS
from stages.report.methods import OURS, TITLES

FIGURE_2 = ("mf", "tallrec", "collm_mf", OURS)
SLICES = ("warm", "cold")
_NONE = "-"


def csv_table(table: dict[str, Any]) -> pd.DataFrame:
    """Returns one line per method with all numbers of the Markdown table; empty = undefined."""
    lines = []
    for method, it in table["methods"].items():
        line: dict[str, Any] = {"method": method, "title": TITLES[method]}
        for metric in METRICS:
            line |= {metric: it[metric], **_bounds(metric, it["intervals"][metric])}
        line |= {"users": it["uauc_users"], "ndcg": it["ndcg"]}
        for metric in METRICS:
            gap = it.get("difference", {}).get(metric) or {}
            name = f"{metric}_difference"
            line |= {name: gap.get("value"), **_bounds(name, gap)}
        published = it["published"] or {}
        line |= {
            "relative_improvement": it.get("relative_improvement"),
            "parameters": it["parameters"],
            "fit_seconds": it["seconds"]["fit"],
            "seconds_per_1000_rows": it["seconds"]["per_1000_rows"],
            "scored_rows": it["scored_rows"],
            "published_auc": published.get("auc"),
            "published_uauc": published.get("uauc"),
        }
        lines.append(line)
    # Whole numbers stay whole where a method lacks one.
    return pd.DataFrame(lines).astype({"parameters": "Int64"})


def warm_cold(table: dict[str, Any]) -> pd.DataFrame:
    """Returns AUC on warm and on cold rows of the methods of the paper's Figure 2 that ran.

    Returns:
        Columns method, slice (with its number of rows), auc, low and high of its interval, rows;
        no line where AUC is undefined.
    """
    lines = []
    for name in SLICES:
        for method in FIGURE_2:
            part = table["methods"].get(method, {}).get(name, {})
            if part.get("auc") is not None:
                title = f"{name} ({part['rows']:,} rows)"
                line = {"method": TITLES[method], "slice": title, "auc": part["auc"]}
                span = part.get("intervals", {}).get("auc") or {}
                line |= {"low": span.get("low"), "high": span.get("high"), "rows": part["rows"]}
                lines.append(line)
    return pd.DataFrame(lines, columns=["method", "slice", "auc", "low", "high", "rows"])


def markdown(table: dict[str, Any]) -> str:
    """Returns the table as Markdown, with what its numbers mean, and the seeds' table if any."""
    protocol, methods = table["protocol"], table["methods"]
    published = any(it["published"] for it in methods.values())
    head = ["method", "AUC", "UAUC", "users", f"NDCG@{protocol['ndcg_k']}"]
    head += ["BinLLM above it, AUC", "BinLLM above it, UAUC", "rel. imp.", "trained parameters"]
    head += ["fit, s", "scoring, s per 1,000 rows"] + ["paper: AUC / UAUC, rel. imp."] * published
    body = [_cells(method, it)[: len(head)] for method, it in methods.items()]
    parts = [_heading(table), _grid(head, body)]
    if table["seeds"]:
        parts.append(_seeds(table["seeds"]))
    return "\n\n".join(parts) + "\n"


def _cells(method: str, it: dict[str, Any]) -> list[str]:
    gaps = it.get("difference", {})
    cells = [TITLES[method]]
    cells += [_number(it[metric]) + _span(it["intervals"][metric]) for metric in METRICS]
    cells += [f"{it['uauc_users']:,}", _number(it["ndcg"])]
    for metric in METRICS:
        gap = gaps.get(metric)
        cells.append(f"{gap['value']:+.4f}{_span(gap, '+')}" if gap else _NONE)
    cells.append(_percent(it.get("relative_improvement")))
    cells.append(_NONE if it["parameters"] is None else f"{it['parameters']:,}")
    cells += [_seconds(it["seconds"][name]) for name in ("fit", "per_1000_rows")]
    paper = it["published"]
    if not paper:
        return [*cells, _NONE]
    gain = _percent(paper.get("relative_improvement"))
    return [*cells, f"{paper['auc']:.4f} / {paper['uauc']:.4f}, {gain}"]


def _heading(table: dict[str, Any]) -> str:
    protocol = table["protocol"]
    whole = [
        TITLES[method]
        for method, it in table["methods"].items()
        if it["scored_rows"] > protocol["rows"]
    ]
    lines = [
        f"{protocol['dataset']}: {protocol['rows']:,} of {protocol['test_rows']:,} test rows, "
        f"{protocol['users']:,} of {protocol['test_users']:,} users, the same for every method.",
        f"[low, high]: {protocol['level']:.0%} interval, users drawn "
        f"{protocol['replicates']:,} times; of differences on the same draws.",
        "rel. imp.: of BinLLM over the method, averaged over AUC and UAUC.",
    ]
    if whole:
        lines.append(f"Scored on all their rows and cut to these: {', '.join(whole)}.")
    return "\n".join(lines)


def _seeds(seeds: dict[str, Any]) -> str:
    names = list(seeds["methods"])
    head = ["several seeds", "seeds", "rows", "AUC, mean ± sd", "UAUC, mean ± sd"]
    body = []
    for method, it in seeds["methods"].items():
        spread = [f"{it[m]['mean']:.4f} ± {it[m]['sd']:.4f}" if m in it else _NONE for m in METRICS]
        body.append([TITLES[method], str(it["seeds"]), f"{it['rows']:,}", *spread])
    above = []
    for one in names:
        shares = [[seeds["order"][m].get(one, {}).get(other) for m in METRICS] for other in names]
        above.append(
            [TITLES[one], *(" / ".join(map(_share, pair)) for pair in shares)],
        )
    title = "share of seeds in which the left one is higher, AUC / UAUC"
    order = _grid([title, *(TITLES[name] for name in names)], above)
    return f"{_grid(head, body)}\n\n{order}"


def _grid(head: list[str], body: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bounds(name: str, span: dict[str, float] | None) -> dict[str, float | None]:
    return {f"{name}_{end}": (span or {}).get(end) for end in ("low", "high")}


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4f}"


def _span(span: dict[str, float] | None, sign: str = "") -> str:
    return f" [{span['low']:{sign}.3f}, {span['high']:{sign}.3f}]" if span and "low" in span else ""


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:+.1%}"


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    if value is None:
        return _NONE
    if value < 0.01:
        return "< 0.01"
    return f"{value:,.2f}" if value < 1 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
