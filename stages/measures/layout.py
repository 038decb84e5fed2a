"""The table as text: CSV for machines and `dvc plots`, Markdown for people."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pandas as pd

from stages.measures.planned import OURS, STEP_1
from stages.measures.quality import METRICS
from stages.measures.user_metrics import user_metrics

# The paper's Figure 2, and the codes alone.
IN_SLICES = ("mf", STEP_1, "collm_mf", "binmf", OURS)
SLICES = ("warm", "cold")
# Paired differences: in the table's JSON and in names of columns, and what the Markdown calls them.
_ABOVE = {
    "above_bias": "above user + item bias",
    "above_title_bias": "above user + item + title bias",
}
_GAPS = {"difference": "BinLLM above it", **_ABOVE}
_TITLES = tuple(metric.upper() for metric in METRICS)
_NONE = "-"


def csv_table(table: dict[str, Any]) -> pd.DataFrame:
    """Returns one line per method with the Markdown table's numbers, seconds left out."""
    lines = []
    for method, it in table["methods"].items():
        line: dict[str, Any] = {"method": method, "title": it["title"]}
        for metric in METRICS:
            line |= {metric: it[metric], **_bounds(metric, it["intervals"][metric])}
        line |= {"users": it["uauc_users"]}
        for name in further_metrics():
            line |= {name: it[name], **_bounds(name, it["intervals"][name])}
        for kind, metric in product(_GAPS, METRICS):
            gap = it.get(kind, {}).get(metric) or {}
            name = f"{metric}_{kind}"
            line |= {name: gap.get("value"), **_bounds(name, gap)}
        published = it["published"] or {}
        line |= {
            "relative_improvement": it.get("relative_improvement"),
            "valid_auc": it["valid_auc"],
            "parameters": it["parameters"],
            "scored_rows": it["scored_rows"],
            **{f"{metric}_all_rows": it.get("all_rows", it)[metric] for metric in METRICS},
            "published_auc": published.get("auc"),
            "published_uauc": published.get("uauc"),
        }
        lines.append(line)
    # Whole numbers stay whole where a method lacks one.
    return pd.DataFrame(lines).astype({"parameters": "Int64"})


def slice_bars(table: dict[str, Any]) -> pd.DataFrame:
    """Returns AUC on warm and on cold rows of the methods of the paper's Figure 2 that ran.

    Returns:
        Columns method, slice (with its number of rows), auc, low and high of its interval, rows;
        no line where AUC is undefined.
    """
    lines = []
    for name in SLICES:
        for method in IN_SLICES:
            part = table["methods"].get(method, {}).get(name, {})
            if part.get("auc") is not None:
                title = f"{name} ({part['rows']:,} rows)"
                shown_as = table["methods"][method]["title"]
                line = {"method": shown_as, "slice": title, "auc": part["auc"]}
                span = part.get("intervals", {}).get("auc") or {}
                line |= {"low": span.get("low"), "high": span.get("high"), "rows": part["rows"]}
                lines.append(line)
    return pd.DataFrame(lines, columns=["method", "slice", "auc", "low", "high", "rows"])


def markdown(table: dict[str, Any]) -> str:
    """Returns the table as Markdown, with what its numbers mean, and the seeds' table if any."""
    protocol, methods = table["protocol"], table["methods"]
    k = protocol["ndcg_k"]
    published = any(it["published"] for it in methods.values())
    gaps = [kind for kind in _GAPS if any(kind in it for it in methods.values())]
    head = ["method", *_TITLES, "users", *metric_titles(k)]
    head += [f"{_GAPS[kind]}, {title}" for kind, title in product(gaps, _TITLES)]
    head += ["rel. imp.", "trained parameters", "fit, s", "scoring, s per 1,000 rows"]
    head += ["paper: AUC / UAUC, rel. imp."] * published
    body = [_cells(it, gaps)[: len(head)] for it in methods.values()]
    parts = [_heading(table), _grid(head, body), chance_line(table["chance"], k) + "."]
    more = {name: it for name, it in methods.items() if it["scored_rows"] > protocol["rows"]}
    if more:
        parts.append(_all_rows(more, k))
        # All of them have scored the whole test set.
        parts.append(chance_line(next(iter(more.values()))["all_rows"]["chance"], k) + ".")
    if table["seeds"]:
        parts += [it(table["seeds"], methods) for it in (seeds_grid, _order_grid)]
    return "\n\n".join(parts) + "\n"


def metric_titles(k: int) -> list[str]:
    """Returns what the table calls the metrics beside `METRICS`."""
    return [user_metrics()[name].title.format(k=k) for name in further_metrics()]


def chance_line(chance: dict[str, float | None], k: int) -> str:
    """Returns what a random order gives, for people: the level above which something is known."""
    titles = dict(zip((*METRICS, *further_metrics()), (*_TITLES, *metric_titles(k)), strict=True))
    levels = [f"{title} {_number(chance.get(name))}" for name, title in titles.items()]
    return f"A random order gives {', '.join(levels)}"


def further_metrics() -> list[str]:
    """Returns the names of the metrics beside `METRICS`: no differences are told of them."""
    return [name for name in user_metrics() if name not in METRICS]


def _all_rows(methods: dict[str, Any], k: int) -> str:
    """The methods that scored more rows than BinLLM, on all of theirs."""
    head = ["on all rows scored", "rows", *_TITLES, "users", *metric_titles(k)]
    body = []
    for it in methods.values():
        whole = it["all_rows"]
        cells = [_number(whole[m]) + _span(whole["intervals"][m]) for m in METRICS]
        further = [
            _number(whole[name]) + _span(whole["intervals"][name]) for name in further_metrics()
        ]
        rows = f"{it['scored_rows']:,}"
        body.append([it["title"], rows, *cells, f"{whole['uauc_users']:,}", *further])
    return _grid(head, body)


def _cells(it: dict[str, Any], gaps: list[str]) -> list[str]:
    told, further = (
        [_number(it[name]) + _span(it["intervals"][name]) for name in names]
        for names in (METRICS, further_metrics())
    )
    cells = [it["title"], *told, f"{it['uauc_users']:,}", *further]
    for kind, metric in product(gaps, METRICS):
        cells.append(_gap(it.get(kind, {}).get(metric)))
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
        it["title"] for it in table["methods"].values() if it["scored_rows"] > protocol["rows"]
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


def seeds_grid(seeds: dict[str, Any], methods: dict[str, Any]) -> str:
    """Returns mean and deviation of what ran under several seeds, as a table in Markdown.

    Args:
        seeds: what `stages.measures.seeds_table.across_seeds` returned.
        methods: all rows of the table.
    """
    head = ["several seeds", "seeds", "rows", *(f"{title}, mean ± sd" for title in _TITLES)]
    head += [f"{title}, mean {m}" for title, m in product(_GAPS.values(), _TITLES)]
    body = []
    for method, it in seeds["methods"].items():
        spread = [_spread(it.get(m)) for m in METRICS]
        gaps = [_gap(it.get(kind, {}).get(m)) for kind, m in product(_GAPS, METRICS)]
        title = methods[method]["title"]
        body.append([title, str(it["seeds"]), f"{it['rows']:,}", *spread, *gaps])
    return _grid(head, body)


def _spread(found: dict[str, float] | None) -> str:
    return f"{found['mean']:.4f} ± {found['sd']:.4f}" if found else _NONE


def _order_grid(seeds: dict[str, Any], methods: dict[str, Any]) -> str:
    titles = {name: methods[name]["title"] for name in seeds["methods"]}
    above = []
    for one in titles:
        shares = [[seeds["order"][m].get(one, {}).get(other) for m in METRICS] for other in titles]
        above.append([titles[one], *(" / ".join(map(_share, pair)) for pair in shares)])
    title = f"share of seeds in which the left one is higher, {' / '.join(_TITLES)}"
    return _grid([title, *titles.values()], above)


def _grid(head: list[str], body: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bounds(name: str, span: dict[str, float] | None) -> dict[str, float | None]:
    return {f"{name}_{end}": (span or {}).get(end) for end in ("low", "high")}


def _gap(gap: dict[str, float] | None) -> str:
    return f"{gap['value']:+.4f}{_span(gap, '+')}" if gap else _NONE


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
