"""The page as one HTML file: no script, no request to any network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stages.measures.layout import chance_line, further_metrics, metric_titles
from stages.measures.page.drawings import (
    bits_drawing,
    cost_drawing,
    methods_drawing,
    roc_drawing,
    slices_drawing,
    training_drawing,
)
from stages.measures.page.record import Record
from stages.measures.page.style import STYLE
from stages.measures.planned import OURS, SIMPLEST
from stages.measures.quality import METRICS
from stages.measures.summary import verdicts

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ title }}</title><style>{{ style }}</style></head><body>
{% block body %}{% endblock %}
</body></html>
"""

_MACROS = """
{% macro number(value, form="%.4f") %}{{ "-" if value is none else form % value }}{% endmacro %}
{% macro span(found, form="%.3f") -%}
{% if found and "low" in found %}<small>[{{ form % found.low }}, {{ form % found.high }}]</small>
{%- endif %}{%- endmacro %}
{% macro gap(found) -%}
{% if found %}<span class="{{ "better" if found.low is defined and found.low > 0 else
  "worse" if found.high is defined and found.high < 0 }}">{{ "%+.4f" % found.value }}</span>
{{- span(found, "%+.4f") }}{% else %}-{% endif %}{%- endmacro %}
{% macro heads_of_gaps(above) %}{% for title in above.values() %}<th>AUC above<br>{{ title }}</th>
<th>GAUC above<br>{{ title }}</th>{% endfor %}<th>BinLLM's AUC<br>above it</th>{% endmacro %}
{% macro gaps(it, above) %}{% for kind in above %}{% for metric in ("auc", "gauc") %}
<td>{{ gap(it.get(kind, {}).get(metric)) }}</td>{% endfor %}{% endfor %}
<td>{{ gap(it.get("difference", {}).get("auc")) }}</td>{% endmacro %}
"""

_RUN = """
<header><h1>{{ title }}</h1>
<p class="soft">{{ "{:,}".format(protocol.rows) }} of {{ "{:,}".format(protocol.test_rows) }} test
rows, {{ "{:,}".format(protocol.users) }} of {{ "{:,}".format(protocol.test_users) }} users, the
same for every row of the table. [low, high]: {{ "%.0f%%" % (100 * protocol.level) }} interval,
users drawn {{ "{:,}".format(protocol.replicates) }} times; of differences on the same draws.</p>
</header>
<section class="cards">
{% for card in cards %}<div class="card"><span>{{ card.title }}</span><b>{{ card.value }}</b>
<span>{{ card.note }}</span></div>{% endfor %}
</section>
{% for verdict in verdicts %}<p>{{ verdict }}.</p>{% endfor %}
<h2>All methods on the same test rows</h2>
<div class="scroll"><table><thead><tr><th>method</th>{% for it in metrics %}
<th>{{ it | upper }}</th>{% endfor %}<th>users</th>
{% for it in further %}<th>{{ it }}</th>{% endfor %}
{{ heads_of_gaps(above) }}<th>valid AUC</th>
<th>trained<br>parameters</th></tr></thead><tbody>
{% for name, it in methods.items() %}<tr{% if name == ours %} class="ours"{% endif %}>
<td>{{ it.title }}</td>
{% for key in metrics %}<td>{{ number(it.get(key)) }} {{ span(it.intervals.get(key)) }}</td>
{% endfor %}<td>{{ "{:,}".format(it.uauc_users) }}</td>
{% for key in further_keys %}<td>{{ number(it.get(key)) }} {{ span(it.intervals.get(key)) }}</td>
{% endfor %}{{ gaps(it, above) }}
<td>{{ number(it.get("valid_auc")) }}</td>
<td>{{ "{:,}".format(it.parameters) if it.parameters is defined else "-" }}</td></tr>
{% endfor %}</tbody></table></div>
<p class="soft">{{ chance }}.</p>
{% if seeds %}<h2>Under several seeds</h2>
<p class="soft">Mean ± standard deviation over seeds. Brackets are intervals over users, of the
means' differences: they leave out what other seeds would change.</p>
<div class="scroll"><table><thead><tr><th>method</th><th>seeds</th><th>rows</th>
{% for it in metrics %}<th>{{ it | upper }}</th>{% endfor %}
{{ heads_of_gaps(above) }}</tr></thead><tbody>
{% for name, it in seeds.methods.items() %}<tr{% if name == ours %} class="ours"{% endif %}>
<td>{{ methods[name].title }}</td><td>{{ it.seeds }}</td><td>{{ "{:,}".format(it.rows) }}</td>
{% for key in metrics %}<td>{% if it.get(key) %}{{ number(it[key].mean) }}
<small>± {{ number(it[key].sd) }}</small>{% else %}-{% endif %}</td>{% endfor %}
{{ gaps(it, above) }}</tr>
{% endfor %}</tbody></table></div>{% endif %}
<h2>Plots</h2>
<div class="plots">{% for plot in plots %}<figure><figcaption>{{ plot.title }}</figcaption>
{{ plot.svg }}</figure>{% endfor %}</div>
<h2>Health of the codes</h2>
<p class="soft">Codes are worth something if they tell users and items apart, and if their inner
product is more than a part of the user plus a part of the item.</p>
<div class="scroll"><table><thead><tr><th>codes</th><th>users' codes,<br>distinct</th>
<th>effective<br>bits</th><th>items' codes,<br>distinct</th><th>effective<br>bits</th>
<th>additive<br>share</th></tr></thead><tbody>
{% for title, it in health.items() %}<tr><td>{{ title }}</td>
{% for side in (it.user, it.item) %}<td>{{ "{:,}".format((side.distinct * side.codes) | round | int)
}} of {{ "{:,}".format(side.codes) }}</td><td>{{ "%.1f" % side.effective_bits }}</td>{% endfor %}
<td>{{ "-" if it.additive_share is undefined else "%.0f %%" % (100 * it.additive_share) }}</td></tr>
{% endfor %}</tbody></table></div>
<h2>Ten prompts and their scores</h2>
<p class="soft">Scored test rows, at even steps from the highest to the lowest score: the logit of
Yes, or that less the logit of No, as <code>train_lora.score</code> says.</p>
{% for it in prompts %}<div class="prompt"><b>{{ "%+.3f" % it.score }}</b> · the user
{{ "liked it" if it.label else "did not like it" }} <small>· rank {{ "{:,}".format(it.rank) }} of
{{ "{:,}".format(it.of) }}</small><pre>{{ it.text }}</pre></div>{% endfor %}
<h2>How this came about</h2>
<dl>{% for key, value in provenance.items() %}<dt>{{ key }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
<h2>Params that differ from the defaults</h2>
{% if changed is none %}<p>The defaults are those of the commit that is checked out; without git
they are not known.</p>
{% elif changed %}<div class="scroll"><table><thead><tr><th>key</th><th class="text">here</th>
<th class="text">default</th></tr></thead><tbody>
{% for key, (here, default) in changed.items() %}<tr><td>{{ key }}</td><td class="text">{{ here
}}</td><td class="text">{{ default }}</td></tr>{% endfor %}</tbody></table></div>
{% else %}<p>None: all are as in the commit that the run began from.</p>{% endif %}
<details><summary>All {{ params | length }} params</summary><div class="scroll"><table><tbody>
{% for key, value in params.items() %}<tr><td>{{ key }}</td><td class="text">{{ value }}</td></tr>
{% endfor %}</tbody></table></div></details>
"""

_COMPARISON = """
<header><h1>{{ title }}</h1><p class="soft">{{ names }}</p></header>
<h2>Headline</h2>
<div class="scroll"><table><thead><tr><th>figure</th>{% for it in records %}<th>{{ it.name }}</th>
{% endfor %}</tr></thead><tbody>
{% for key, meaning in figures.items() %}<tr><td>{{ meaning }}</td>{% for it in records %}
<td>{{ it.headline.get(key, "-") }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% for metric in metrics %}<h2>{{ metric | upper }} of every row</h2>
<div class="scroll"><table><thead><tr><th>method</th>{% for it in records %}<th>{{ it.name }}</th>
{% endfor %}</tr></thead><tbody>{% for name, title in titles.items() %}
<tr{% if name == ours %} class="ours"{% endif %}><td>{{ title }}</td>{% for it in records %}
{% set line = it.table.methods.get(name, {}) %}<td>{{ number(line.get(metric)) }}
{{ span(line.get("intervals", {}).get(metric)) }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>{% endfor %}
<h2>Params that differ</h2>
{% if changed %}<div class="scroll"><table><thead><tr><th>key</th>{% for it in records %}
<th class="text">{{ it.name }}</th>{% endfor %}</tr></thead><tbody>{% for key in changed %}<tr>
<td>{{ key }}</td>{% for it in records %}<td class="text">{{ it.params.get(key, "-") }}</td>
{% endfor %}</tr>{% endfor %}</tbody></table></div>{% else %}<p>None.</p>{% endif %}
<h2>Plots</h2>
{% for row in plots %}<div class="plots">{% for plot in row %}<figure><figcaption>{{ plot.title }}
</figcaption>{{ plot.svg }}</figure>{% endfor %}</div><br>{% endfor %}
"""

# What the headline's short names mean.
FIGURES = {
    "auc": "BinLLM's AUC",
    "uauc": "BinLLM's UAUC",
    "bias": "AUC above user + item bias",
    "bias_l": "… lower end",
    "bias_h": "… upper end",
    "binmf": "AUC above BinMF",
    "binmf_l": "… lower end",
    "binmf_h": "… upper end",
    "valid": "validation AUC",
    "tokens": "tokens per prompt",
    "codes": "distinct codes of users",
}


@dataclass(frozen=True)
class Prompt:
    """A scored prompt.

    Attributes:
        text: the prompt.
        label: 0 or 1.
        score: the LLM's.
        rank: of the score among those of all scored rows, 1 the highest.
        of: scored rows.
    """

    text: str
    label: int
    score: float
    rank: int
    of: int


def prompts_along_the_scores(scored: pd.DataFrame, count: int = 10) -> list[Prompt]:
    """Returns prompts at even steps from the highest to the lowest score.

    Args:
        scored: text, label, score and row of every scored prompt.
        count: how many, if there are so many.
    """
    best = scored.sort_values(["score", "row"], ascending=[False, True], ignore_index=True)
    count = min(count, len(best))
    steps = [round(place * (len(best) - 1) / max(1, count - 1)) for place in range(count)]
    lines = best.iloc[steps].itertuples()
    return [
        Prompt(it.text, int(it.label), float(it.score), it.Index + 1, len(best)) for it in lines
    ]


def run_page(
    record: Record,
    prompts: Sequence[Prompt],
    provenance: Mapping[str, str],
    defaults: Mapping[str, Any] | None,
) -> str:
    """Returns the page of one run.

    Args:
        record: what git keeps of it.
        prompts: some of BinLLM's, with scores.
        provenance: data, LLM, versions and the like, by what they are called.
        defaults: params that others are held against; None where they are not known.
    """
    table, methods = record.table, record.table["methods"]
    protocol = table["protocol"]
    k = protocol["ndcg_k"]
    return _rendered(
        _RUN,
        title=f"BinLLM on {protocol['dataset']}",
        protocol=protocol,
        cards=_cards(record),
        verdicts=verdicts(table),
        methods=methods,
        ours=OURS,
        further=metric_titles(k),
        metrics=METRICS,
        further_keys=further_metrics(),
        above=_above(methods),
        seeds=table.get("seeds"),
        chance=chance_line(table["chance"], k),
        plots=_plots(record),
        health=record.health,
        prompts=prompts,
        provenance=provenance,
        changed=None if defaults is None else differing(record.params, defaults),
        params=record.params,
    )


def comparison_page(records: Sequence[Record]) -> str:
    """Returns a page with several runs side by side."""
    titles = {
        name: it["title"] for record in records for name, it in record.table["methods"].items()
    }
    keys = dict.fromkeys(key for record in records for key in record.params)
    missing = object()
    changed = [key for key in keys if len({str(it.params.get(key, missing)) for it in records}) > 1]
    kinds = (
        ("AUC", lambda it: methods_drawing(it.table, "auc")),
        ("ROC", lambda it: roc_drawing(it.roc, titles[OURS])),
        ("loss in training", lambda it: training_drawing(it.training, titles[OURS], "loss")),
    )
    plots = [
        [{"title": f"{it.name}: {what}", "svg": Markup(draw(it))} for it in records]
        for what, draw in kinds
    ]
    return _rendered(
        _COMPARISON,
        title=f"{len(records)} runs side by side",
        names=", ".join(it.name for it in records),
        records=records,
        figures=FIGURES,
        metrics=METRICS,
        titles=titles,
        ours=OURS,
        changed=changed,
        plots=plots,
    )


def differing(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, tuple]:
    """Returns the keys whose values differ, with the value here and the default; - for none."""
    keys = dict.fromkeys([*params, *defaults])
    return {
        key: (params.get(key, "-"), defaults.get(key, "-"))
        for key in keys
        if key not in params or key not in defaults or params[key] != defaults[key]
    }


def _above(methods: Mapping[str, Any]) -> dict[str, str]:
    """Returns under which names rows hold their differences to the simplest ones, and to which."""
    names = {f"above_{name}": title for name, title in SIMPLEST.items()}
    return {key: title for key, title in names.items() if any(key in it for it in methods.values())}


def _cards(record: Record) -> list[dict[str, str]]:
    ours = record.table["methods"][OURS]
    found = {metric: ours[metric] for metric in METRICS if metric in ours} | record.headline
    cards = []

    def add(title: str, key: str, note: str, form: str = "{:.4f}") -> None:
        if key in found:
            cards.append({"title": title, "value": form.format(found[key]), "note": note})

    for metric in METRICS:
        span = ours["intervals"].get(metric)
        note = f"[{span['low']:.3f}, {span['high']:.3f}]" if span else "no interval"
        add(f"BinLLM's {metric.upper()}", metric, note)
    for other, title in (("bias", "above user + item bias"), ("binmf", "above BinMF")):
        ends = [found.get(f"{other}_{end}") for end in "lh"]
        known = [end for end in ends if end is not None]
        note = f"[{', '.join(f'{end:+.4f}' for end in known)}]" if known else "no interval"
        add(f"AUC {title}", other, note, "{:+.4f}")
    add("Validation AUC", "valid", "of the checkpoint that was kept")
    add("Tokens per prompt", "tokens", "on average, scored rows", "{:.0f}")
    add("Distinct codes", "codes", "of users, in these prompts", "{:,}")
    return cards


def _plots(record: Record) -> list[dict[str, Any]]:
    ours = record.table["methods"][OURS]["title"]
    drawn = [
        ("AUC of all methods", methods_drawing(record.table, "auc")),
        ("UAUC: the mean over users of their own AUC", methods_drawing(record.table, "uauc")),
        ("GAUC: the same, a user counting by their rows", methods_drawing(record.table, "gauc")),
        ("ROC on the scored test rows", roc_drawing(record.roc, ours)),
        ("Warm and cold rows (the paper's Figure 2)", slices_drawing(record.slices, ours)),
        *(
            [("Training: validation AUC", training_drawing(record.training, ours))]
            if any(it["auc"].count() > 1 for it in record.training.values())
            else []  # measured at the end alone
        ),
        ("Training: loss", training_drawing(record.training, ours, "loss")),
        *((f"Bits of {title}", bits_drawing(title, it)) for title, it in record.bits.items()),
        ("What codes cost in the prompt", cost_drawing(record.cost)),
    ]
    return [{"title": title, "svg": Markup(svg)} for title, svg in drawn]


def _rendered(body: str, *, title: str, **values: Any) -> str:
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = page.from_string(_MACROS + _PAGE.replace("{% block body %}{% endblock %}", body))
    return text.render(title=title, style=Markup(STYLE), **values).strip() + "\n"
