"""The table and the paper's Figure 2 as PNG pictures."""

from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.measures.layout import IN_SLICES, SLICES
from stages.measures.planned import OURS, STEP_1
from stages.measures.quality import METRICS

# Okabe and Ito's colours, told apart without red-green vision; shapes say the same again.
_MARKS = {
    "mf": ("#E69F00", "o"),
    STEP_1: ("#0072B2", "s"),
    "collm_mf": ("#009E73", "D"),
    "binmf": ("#CC79A7", "v"),
    OURS: ("#D55E00", "^"),
}
_OTHERS = ("#444444", "o")
_CHANCE: dict[str, Any] = {"color": "#999999", "linestyle": ":", "linewidth": 1.2}
_BESIDE: dict[str, Any] = {"xytext": (7, 0), "va": "center"}
_ABOVE: dict[str, Any] = {"xytext": (0, 5), "ha": "center"}
_MEANING = {
    "warm": "user and item each in > 3 train rows",
    "cold": "user or item in no train row",
}


def draw_methods(table: dict[str, Any], path: Path) -> None:
    """Draws `METRICS` of every method with intervals, and the paper's own where it has any."""
    methods = table["methods"]
    figure = Figure(figsize=(4 + 3 * len(METRICS), 1.7 + 0.36 * len(methods)), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS), sharey=True), METRICS, strict=True):
        for place, (method, it) in enumerate(methods.items()):
            mark = _MARKS[OURS] if method == OURS else _OTHERS
            _point(axes, it, metric, place, mark, upright=False)
            if it["published"] and metric in it["published"]:
                axes.plot(
                    it["published"][metric], place + 0.22, "x", color="#0072B2", label="paper"
                )
        if methods[OURS][metric] is not None:
            axes.axvline(methods[OURS][metric], color=_MARKS[OURS][0], linewidth=0.8, alpha=0.5)
        axes.axvline(0.5, **_CHANCE, label="chance")
        axes.set_yticks(range(len(methods)), [it["title"] for it in methods.values()])
        axes.set_ylim(len(methods) - 0.4, -0.7)
        users = f" (mean over {methods[OURS]['uauc_users']:,} users)" if metric != "auc" else ""
        axes.set_xlabel(metric.upper() + users)
        _plain(axes, "x")
    _finish(figure, table, "All methods on the same test rows", path)


def draw_warm_cold(table: dict[str, Any], path: Path) -> None:
    """Draws AUC on warm and on cold rows of the methods of the paper's Figure 2 that ran."""
    methods = [method for method in IN_SLICES if method in table["methods"]]
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(SLICES):
        for shift, method in enumerate(methods):
            x = place + (shift - (len(methods) - 1) / 2) * 0.18
            part = table["methods"][method][name]
            label = table["methods"][method]["title"]
            _point(axes, part, "auc", x, _MARKS[method], upright=True, label=label)
    axes.axhline(0.5, **_CHANCE, label="chance")
    axes.set_xticks(range(len(SLICES)), [_slice_title(table, name) for name in SLICES])
    axes.set_xlim(-0.5, len(SLICES) - 0.5)
    axes.set_ylabel("AUC")
    _plain(axes, "y")
    _finish(figure, table, "Warm and cold rows", path)


def _point(
    axes: Axes,
    it: dict[str, Any],
    metric: str,
    place: float,
    mark: tuple[str, str],
    *,
    upright: bool,
    label: str | None = None,
) -> None:
    """A mark with its number and interval; nothing where the metric is undefined."""
    value = it[metric]
    if value is None:
        return
    colour, shape = mark
    span = it.get("intervals", {}).get(metric)
    if span:
        ends, middle = [span["low"], span["high"]], [place, place]
        line = (middle, ends) if upright else (ends, middle)
        axes.plot(*line, color=colour, linewidth=2, alpha=0.55)
    at = (place, value) if upright else (value, place)
    # Hollow where there is no interval: a mark that nothing vouches for.
    face = colour if span else "white"
    axes.plot(*at, shape, color=colour, markerfacecolor=face, markersize=7, label=label)
    where = _BESIDE if upright else _ABOVE
    axes.annotate(f"{value:.3f}", at, textcoords="offset points", fontsize=8, **where)


def _slice_title(table: dict[str, Any], name: str) -> str:
    part = table["methods"][OURS][name]
    count = f"{part['rows']:,} rows, {part['users']:,} users"
    few = "" if "intervals" in part else "; too few for intervals"
    return f"{name}: {_MEANING[name]}\n{count}{few}"


def _plain(axes: Axes, values: Literal["x", "y"]) -> None:
    axes.grid(axis=values, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def _finish(figure: Figure, table: dict[str, Any], title: str, path: Path) -> None:
    """Adds legend and caption, and saves without the program's version: same inputs, same bytes."""
    protocol = table["protocol"]
    caption = (
        f"{protocol['dataset']}: {protocol['rows']:,} of {protocol['test_rows']:,} test rows, "
        f"{protocol['users']:,} users; lines: {protocol['level']:.0%} intervals, users drawn"
    )
    figure.suptitle(f"{title}\n{caption}", fontsize=10)
    marks: dict[str, Any] = {}
    for axes in figure.axes:
        for mark, label in zip(*axes.get_legend_handles_labels(), strict=True):
            marks.setdefault(label, mark)
    figure.legend(
        list(marks.values()), list(marks), loc="outside lower center", ncols=5, frameon=False
    )
    figure.savefig(path, dpi=150, metadata={"Software": None})
