"""The table and the paper's Figure 2 as PNG pictures."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.common.repeats import METRICS
from stages.report.layout import FIGURE_2, SLICES
from stages.report.methods import OURS, TITLES

# Okabe and Ito's colours, told apart without red-green vision; shapes say the same again.
_MARKS = {
    "mf": ("#E69F00", "o"),
    "tallrec": ("#56B4E9", "s"),
    "collm_mf": ("#009E73", "D"),
    OURS: ("#D55E00", "^"),
}
_INK, _CHANCE = "#333333", "#999999"


def draw_methods(table: dict[str, Any], path: Path) -> None:
    """Draws AUC and UAUC of every method with their intervals, one line per method."""
    methods = table["methods"]
    figure = Figure(figsize=(9, 1.6 + 0.34 * len(methods)), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), METRICS, strict=True):
        for place, (method, it) in enumerate(methods.items()):
            colour = _MARKS[OURS][0] if method == OURS else _INK
            _point(axes, it, metric, place, colour, "o", upright=False)
        axes.set_yticks(range(len(methods)), [TITLES[method] for method in methods])
        axes.axvline(0.5, color=_CHANCE, linestyle=":", linewidth=1)
        axes.set_xlabel(f"{metric.upper()} (0.5 = chance)")
        axes.grid(axis="x", alpha=0.3)
        _bare(axes)
    figure.axes[0].invert_yaxis()
    figure.suptitle(_caption(table), fontsize=10)
    _save(figure, path)


def draw_warm_cold(table: dict[str, Any], path: Path) -> None:
    """Draws AUC on warm and on cold rows of the methods of the paper's Figure 2 that ran."""
    methods = [method for method in FIGURE_2 if method in table["methods"]]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(SLICES):
        for shift, method in enumerate(methods):
            x = place + (shift - (len(methods) - 1) / 2) * 0.18
            part = table["methods"][method][name]
            colour, shape = _MARKS[method]
            label = TITLES[method] if place == 0 else None
            _point(axes, part, "auc", x, colour, shape, upright=True, label=label)
            if part["auc"] is not None:
                axes.annotate(
                    f"{part['auc']:.3f}",
                    (x, part["auc"]),
                    xytext=(7, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
    axes.set_xticks(range(len(SLICES)), [_slice_title(table, name) for name in SLICES])
    axes.set_xlim(-0.5, len(SLICES) - 0.4)
    axes.set_ylim(0, 1)
    axes.axhline(0.5, color=_CHANCE, linestyle=":", linewidth=1, label="chance")
    axes.set_ylabel("AUC")
    axes.grid(axis="y", alpha=0.3)
    _bare(axes)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(_caption(table), fontsize=10)
    _save(figure, path)


def _point(
    axes: Axes,
    it: dict[str, Any],
    metric: str,
    place: float,
    colour: str,
    shape: str,
    *,
    upright: bool,
    label: str | None = None,
) -> None:
    """A mark with its interval; nothing where the metric is undefined."""
    if it[metric] is None:
        return
    span = it.get("intervals", {}).get(metric)
    if span:
        ends = [span["low"], span["high"]]
        line = ([place, place], ends) if upright else (ends, [place, place])
        axes.plot(*line, color=colour, linewidth=1.8, alpha=0.7)
    at = ([place], [it[metric]]) if upright else ([it[metric]], [place])
    axes.plot(*at, color=colour, marker=shape, markersize=7, linestyle="", label=label)


def _slice_title(table: dict[str, Any], name: str) -> str:
    part = table["methods"][OURS][name]
    meaning = {"warm": "user and item each have > 3 train rows", "cold": "user or item has none"}
    return f"{name}: {meaning[name]}\n{part['rows']:,} rows, {part['users']:,} users"


def _caption(table: dict[str, Any]) -> str:
    protocol = table["protocol"]
    return (
        f"{protocol['dataset']}: {protocol['rows']:,} of {protocol['test_rows']:,} test rows, "
        f"{protocol['users']:,} users; lines: {protocol['level']:.0%} intervals over users"
    )


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)


def _save(figure: Figure, path: Path) -> None:
    """Without the program's version among the metadata: same inputs, same bytes."""
    figure.savefig(path, dpi=150, metadata={"Software": None})
