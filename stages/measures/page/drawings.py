"""The page's drawings: SVG that takes its colours from the page, so that it is legible in the dark.

All are as wide as a phone, so that their letters are as large there as elsewhere.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.measures.planned import OURS

_WIDTH = 4.7  # inches of 72 CSS pixels
# Drawn in these colours; the page says what each is, in light and in dark.
INK, FAINT, OURS_COLOUR = "#010203", "#040506", "#070809"
SERIES = ("#0b0b01", "#0b0b02", "#0b0b03", "#0b0b04", "#0b0b05", "#0b0b06")
_NAMES = {INK: "ink", FAINT: "faint", OURS_COLOUR: "ours"} | {
    colour: f"series-{place}" for place, colour in enumerate(SERIES, start=1)
}
_STYLES = ("-", "--", "-.", ":")
_LOOKS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is one
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def methods_drawing(table: Mapping[str, Any], metric: str) -> str:
    """A metric of all rows with intervals, BinLLM's drawn through, and the paper's if any."""
    methods = table["methods"]

    def draw(axes: Axes) -> None:
        for place, (name, it) in enumerate(methods.items()):
            if it.get(metric) is None:
                continue
            colour = OURS_COLOUR if name == OURS else INK
            span = it["intervals"].get(metric)
            if span:
                axes.plot([span["low"], span["high"]], [place, place], color=colour, linewidth=2.2)
            axes.plot(it[metric], place, "o", color=colour, markersize=6)
            if metric in (it.get("published") or {}):
                axes.plot(it["published"][metric], place, "x", color=SERIES[0], markersize=6)
        if methods[OURS].get(metric) is not None:
            axes.axvline(methods[OURS][metric], color=OURS_COLOUR, linewidth=0.7)
        axes.axvline(0.5, color=FAINT, linestyle=":", linewidth=1.2)
        axes.set_yticks(range(len(methods)), [it["title"] for it in methods.values()])
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.grid(axis="x")
        axes.set_xlabel(f"{metric.upper()}; dotted: chance")

    return _svg(f"{metric.upper()} of all methods", draw, 0.8 + 0.27 * len(methods))


def roc_drawing(roc: pd.DataFrame, ours: str) -> str:
    """ROC curves of BinLLM, its variants and its codes."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1.2)
        looks = _series(list(dict.fromkeys(roc["method"])), ours)
        for method, curve in roc.groupby("method", sort=False):
            axes.plot(curve["fpr"], curve["tpr"], **looks[str(method)], label=str(method))
        axes.set_aspect("equal")
        axes.grid()
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        if len(roc):
            axes.legend(loc="lower right")

    return _svg("ROC on the scored test rows", draw, _WIDTH)


def slices_drawing(slices: pd.DataFrame, ours: str) -> str:
    """AUC on warm and on cold rows, with intervals where users are enough (else hollow)."""
    names = list(dict.fromkeys(slices["slice"]))
    methods = list(dict.fromkeys(slices["method"]))

    def draw(axes: Axes) -> None:
        for order, (method, looks) in enumerate(_series(methods, ours).items()):
            for _, line in slices[slices["method"] == method].iterrows():
                x = names.index(line["slice"]) + (order - (len(methods) - 1) / 2) * 0.16
                known = pd.notna(line["low"])
                if known:
                    axes.plot([x, x], [line["low"], line["high"]], color=looks["color"])
                face = looks["color"] if known else "none"
                axes.plot(x, line["auc"], "o", color=looks["color"], markerfacecolor=face)
            axes.plot([], [], "o", color=looks["color"], label=method)
        axes.axhline(0.5, color=FAINT, linestyle=":", linewidth=1.2)
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, max(len(names), 1) - 0.5)
        axes.set_ylabel("AUC; dotted: chance")
        axes.grid(axis="y")
        _legend_below(axes)

    return _svg("Warm and cold rows", draw, 3.8)


def training_drawing(curves: Mapping[str, pd.DataFrame], ours: str, metric: str = "auc") -> str:
    """Validation AUC, or training loss, of each adapter by the rows it has seen."""

    def draw(axes: Axes) -> None:
        looks = _series(list(curves), ours)
        for title, curve in curves.items():
            known = curve.dropna(subset=[metric])
            points = known["rows"], known[metric]
            axes.plot(*points, marker="o", markersize=3, **looks[title], label=title)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("training rows seen")
        axes.set_ylabel("validation AUC" if metric == "auc" else "training loss")
        axes.grid()
        _legend_below(axes)

    return _svg("Training: " + ("validation AUC" if metric == "auc" else "loss"), draw, 3.4)


def bits_drawing(title: str, bits: pd.DataFrame) -> str:
    """Share of ones in each bit of a set of codes: one half says most, 0 and 1 nothing."""

    def draw(axes: Axes) -> None:
        for place, (side, values) in enumerate(bits.groupby("side", sort=False)):
            axes.plot(
                values["bit"],
                values["balance"],
                "o",
                color=SERIES[place],
                markersize=4,
                label=f"{side}s",
            )
        axes.axhline(0.5, color=FAINT, linestyle=":", linewidth=1.2)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("bit")
        axes.set_ylabel("share of ones")
        axes.grid(axis="y")
        _legend_below(axes)

    return _svg(f"Bits of {title}", draw, 3.0)


def cost_drawing(cost: pd.DataFrame) -> str:
    """Tokens of a prompt without codes, with bits and with dot-decimal codes."""

    def draw(axes: Axes) -> None:
        axes.barh(cost["codes"], cost["tokens_per_prompt"], color=SERIES[0], height=0.55)
        for place, tokens in enumerate(cost["tokens_per_prompt"]):
            axes.annotate(
                f"{tokens:.0f} ",
                (tokens, place),
                ha="left",
                va="center",
                xytext=(4, 0),
                textcoords="offset points",
            )
        axes.set_xlim(0, 1.15 * cost["tokens_per_prompt"].max())
        axes.invert_yaxis()
        axes.set_xlabel("tokens of a prompt")
        axes.grid(axis="x")

    return _svg("What codes cost", draw, 2.0)


def _series(titles: Sequence[str], ours: str) -> dict[str, dict[str, Any]]:
    """Returns each one's colour, BinLLM's the same everywhere; beyond the colours other strokes."""
    others = [title for title in titles if title != ours]
    looks = {
        title: {"color": SERIES[n % len(SERIES)], "linestyle": _STYLES[n // len(SERIES) % 4]}
        for n, title in enumerate(others)
    }
    looks[ours] = {"color": OURS_COLOUR, "linestyle": "-"}
    return {title: {**looks[title], "linewidth": 1.8} for title in titles}


def _legend_below(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _svg(title: str, draw: Callable[[Axes], None], height: float) -> str:
    """Returns a drawing as an SVG element: same data, same bytes.

    Args:
        title: what it shows, for those who cannot see it.
        draw: draws into axes.
        height: inches.
    """
    looks: dict[Any, Any] = {**_LOOKS, "svg.hashsalt": title}
    with mpl.rc_context(looks):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", text)
    text = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    for colour, name in _NAMES.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1).strip()
