"""Evaluation: what is measured, on which rows, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from dvc_render.vega import VegaRenderer
from numpy.typing import NDArray
from sklearn.metrics import auc as area
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from stages import evaluate as stage
from stages.io import paths
from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.seeds import generator
from stages.io.tables import PREDICTIONS, write_json, write_table
from stages.measures import user_metrics as metrics_of_users
from stages.measures.bootstrap import bootstrap, draw_users, interval
from stages.measures.layout import IN_SLICES
from stages.measures.metrics.uauc import user_aucs
from stages.measures.params import Evaluate
from stages.measures.plots import MOST_POINTS, roc_curve, roc_points
from stages.measures.quality import METRICS
from stages.measures.scored_rows import ScoredRows
from stages.measures.seeds_table import all_rows_of
from stages.measures.summary import summary_table
from stages.measures.table import on_all_rows
from stages.measures.user_metrics import UserMetric, user_metrics
from tests import published as paper
from tests.scored import (
    FACTS,
    by_scikit_learn,
    outputs,
    predictions,
    write_plan,
    write_predictions,
    write_row,
    write_test_rows,
)

ROOT = Path(__file__).resolve().parent.parent
PARAMS = """\
seed: 1
dataset: ml-100k
evaluate: {ndcg_k: 5, replicates: 200, level: 0.95}
"""
METHODS = ("binmf", "text", "codes")
TITLES = {"text": "TALLRec", "codes": "BinLLM", "binmf": "BinMF"}


@pytest.fixture
def test_rows() -> pd.DataFrame:
    """Test rows of 60 users, seven rows each, some of them cold."""
    rng = np.random.default_rng(5)
    n = 60 * 7
    return pd.DataFrame(
        {
            "row": np.arange(1000, 1000 + n),
            "uid": np.repeat(np.arange(1, 61), 7),
            "iid": rng.integers(1, 90, n),
            "label": rng.integers(0, 2, n),
            "timestamp": np.arange(n),
            "history": [[] for _ in range(n)],
            "seen": (seen := rng.random(n) < 0.8),
            "warm": seen & (rng.random(n) < 0.8),
        }
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_rows: pd.DataFrame) -> Path:
    """A working folder: codes know more than text; both scored 40 users, BinMF all."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    write_test_rows(test_rows)
    rng = np.random.default_rng(6)
    knowledge = {"text": 0.2, "codes": 2.0, "binmf": 1.0}
    for method, weight in knowledge.items():
        scored = test_rows[FACTS].assign(
            score=weight * test_rows["label"] + rng.normal(size=len(test_rows))
        )
        if method != "binmf":
            scored = scored[scored["uid"] <= 40].sample(frac=1, random_state=1)
        write_row(method, scored)
    write_plan(list(METHODS))
    return tmp_path


def evaluate() -> dict[str, Any]:
    """Runs the stage; returns what git keeps of the table: each row, and how it was measured."""
    stage.main()
    found = json.loads(Path("metrics/evaluate.json").read_text())
    return {**found["methods"], "protocol": found["protocol"], "chance": found["chance"]}


def headline() -> dict[str, Any]:
    return json.loads(Path("metrics/main.json").read_text())


def written_table() -> dict[str, Any]:
    return json.loads(Path("data/evaluation/table.json").read_text())


@pytest.mark.usefixtures("folder")
def test_metrics_are_those_of_scikit_learn_on_the_rows_that_all_methods_scored() -> None:
    found = evaluate()
    rows = predictions("text")["row"]
    for method in METHODS:
        scored = predictions(method)
        scored = scored[scored["row"].isin(rows)]
        assert len(scored) == 280
        for name, value in by_scikit_learn(scored, k=5).items():
            assert found[method][name] == pytest.approx(value), (method, name)


@pytest.mark.usefixtures("folder")
def test_a_method_that_scored_more_rows_is_measured_on_all_of_them_too() -> None:
    evaluate()
    found = written_table()["methods"]
    assert [method for method in found if "all_rows" in found[method]] == ["binmf"]
    whole, scored = found["binmf"]["all_rows"], predictions("binmf").sort_values("row")
    for name, value in by_scikit_learn(scored, k=5).items():
        assert whole[name] == pytest.approx(value), name
    assert whole["rows"] == found["binmf"]["scored_rows"] == 420 > found["binmf"]["rows"] == 280
    assert whole["seen"]["rows"] + whole["cold"]["rows"] == whole["rows"]
    assert 0 < whole["ndcg"] <= 1
    # On draws of all 60 users, the same for every such method.
    uids, labels, scores = (scored[name].to_numpy() for name in ("uid", "label", "score"))
    draws = draw_users(uids, 200, generator(1, "compare"))
    spans = {"auc": interval(bootstrap(uids, labels, scores, draws).auc)}
    for name, metric in user_metrics().items():
        values = metric.of_users(uids, labels, scores, 5)
        spans[name] = interval(metric.drawn(uids, labels, values, draws))
    assert whole["intervals"] == spans
    for metric in ("auc", "uauc", "gauc", "ndcg"):
        span = whole["intervals"][metric]
        assert span["low"] < whole[metric] < span["high"]


def test_all_rows_are_sliced_by_seen_and_warm(folder: Path, test_rows: pd.DataFrame) -> None:
    params = load_section(Evaluate, "evaluate")
    found = on_all_rows("binmf", *all_rows_of("binmf", params, 1), params)
    scored = predictions("binmf")
    parts = {"seen": test_rows["seen"], "warm": test_rows["warm"], "cold": ~test_rows["seen"]}
    for name, part in parts.items():
        expected = by_scikit_learn(scored[part], k=5)
        for metric in ("rows", "auc", "uauc", "uauc_users"):
            assert found[name][metric] == pytest.approx(expected[metric]), (name, metric)


@pytest.mark.usefixtures("folder")
def test_git_keeps_the_whole_table_but_for_seconds() -> None:
    write_row("mf", predictions("binmf"))
    write_row("id_only", predictions("text"))
    write_row("wide", predictions("binmf"))
    write_plan(["mf", "binmf", "wide", "text", "id_only", "codes"])
    stage.main()
    found, whole = json.loads(Path("metrics/evaluate.json").read_text()), written_table()
    assert all(line.pop("seconds") for line in whole["methods"].values())
    assert found == whole and "seconds" not in json.dumps(found)
    assert list(found["methods"]) == ["mf", "binmf", "wide", "text", "id_only", "codes"]
    assert "seconds" not in Path("metrics/table.csv").read_text()


@pytest.mark.usefixtures("folder")
def test_the_headline_holds_what_experiments_are_compared_by_rounded() -> None:
    write_row("bias", predictions("binmf"))
    write_row("codes", predictions("codes"), valid_auc=0.71234567, tokens_per_prompt=241.0904)
    write_plan(["bias", "binmf", "text", "codes"], codes="binmf")
    users = {"codes": 60, "distinct": 0.7}
    write_json({"health": {"user": users}}, paths.code_quality("binmf"))
    found = evaluate()
    gaps = {name: found[name]["difference"]["auc"] for name in ("bias", "binmf")}
    expected = {"auc": found["codes"]["auc"], "uauc": found["codes"]["uauc"]}
    for name, gap in gaps.items():
        expected |= {name: gap["value"], f"{name}_l": gap["low"], f"{name}_h": gap["high"]}
    assert headline() == {
        **{name: round(value, 4) for name, value in expected.items()},
        "valid": 0.7123,
        "tokens": 241.1,
        "codes": 42,
    }


@pytest.mark.usefixtures("folder")
def test_the_headline_leaves_out_what_is_not_in_the_table() -> None:
    write_plan(["text", "codes"])
    stage.main()
    assert set(headline()) == {"auc", "uauc", "valid"}


@pytest.mark.usefixtures("folder")
def test_where_bias_is_planned_the_record_and_the_summary_hold_differences_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_row("bias", predictions("binmf"))
    write_row("wide", predictions("binmf"))
    write_plan(["bias", "binmf", "wide", "text", "codes"])
    found, table = evaluate(), written_table()["methods"]
    for metric in ("auc", "uauc"):
        gap = found["bias"]["difference"][metric]
        assert gap["value"] == pytest.approx(found["codes"][metric] - table["bias"][metric])
        assert gap["low"] < gap["value"] < gap["high"]
    for name in ("text", "codes", "binmf", "wide"):
        assert found[name]["above_bias"] == table[name]["above_bias"]
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 110
    lines = {line.split("  ")[0]: line for line in printed}
    for title, name in (("BinLLM", "codes"), ("BinMF", "binmf"), ("codes, wide", "wide")):
        gap = table[name]["above_bias"]
        line = lines[f"{title} - bias"]
        assert f"{gap['auc']['value']:+.4f}" in line and f"{gap['uauc']['value']:+.4f}" in line
    assert printed[-4:] == [
        'By AUC and GAUC, BinLLM ranks better than TALLRec, BinMF, "codes, wide" and bias',
        "By AUC and GAUC, BinMF cannot be told from bias",
        "By AUC and GAUC, codes, wide cannot be told from bias",
        "Told by the interval of the difference: above 0, with 0 in it, or below 0",
    ]
    write_row("title_bias", predictions("codes"))
    write_plan(["bias", "title_bias", "binmf", "text", "codes"])
    evaluate()
    printed = capsys.readouterr().out.splitlines()
    lines = {line.split("  ")[0]: line for line in printed}
    gap = written_table()["methods"]["binmf"]["above_title_bias"]["auc"]["value"]
    assert f"{gap:+.4f}" in lines["BinMF - title bias"]
    assert "+0.0000" in lines["BinLLM - title bias"]


@pytest.mark.usefixtures("folder")
def test_without_bias_no_difference_to_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert not [row for row in evaluate().values() if "above_bias" in row]
    assert "bias" not in headline()
    assert "bias" not in capsys.readouterr().out


def test_slices_part_the_rows_by_seen_and_warm(folder: Path, test_rows: pd.DataFrame) -> None:
    found = evaluate()
    sampled = test_rows[test_rows["uid"] <= 40]
    scored = predictions("codes").sort_values("row")
    parts = {"seen": sampled["seen"], "warm": sampled["warm"], "cold": ~sampled["seen"]}
    for name, rows in parts.items():
        part = scored[rows.to_numpy()]
        assert found["codes"][name]["rows"] == len(part)
        assert found["codes"][name]["auc"] == pytest.approx(
            roc_auc_score(part["label"], part["score"])
        )


@pytest.mark.usefixtures("folder")
def test_the_difference_is_codes_minus_text_within_its_interval() -> None:
    found = evaluate()
    for other in ("text", "binmf"):
        for metric in ("auc", "uauc"):
            difference = found[other]["difference"][metric]
            assert difference["value"] == pytest.approx(
                found["codes"][metric] - found[other][metric]
            )
            assert difference["low"] < difference["value"] < difference["high"]
    assert found["text"]["difference"]["auc"]["low"] > 0


@pytest.mark.usefixtures("folder")
def test_equal_scores_differ_by_nothing_in_every_draw() -> None:
    """Only paired draws can say so: two independent intervals would be wide."""
    write_predictions("text", predictions("codes"))
    difference = evaluate()["text"]["difference"]
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert difference == dict.fromkeys(METRICS, nothing)


@pytest.mark.usefixtures("folder")
def test_the_order_of_rows_in_a_file_never_counts(test_rows: pd.DataFrame) -> None:
    before = evaluate()
    shuffled = test_rows.sample(frac=1, random_state=8)
    write_test_rows(shuffled)
    for method in METHODS:
        write_predictions(method, predictions(method).sample(frac=1, random_state=9))
    assert evaluate() == before


@pytest.mark.usefixtures("folder")
def test_the_same_inputs_give_the_same_bytes() -> None:
    stage.main()
    before = {path: path.read_bytes() for path in outputs()}
    assert [path.as_posix() for path in before] == [
        "data/evaluation/methods.png",
        "data/evaluation/table.json",
        "data/evaluation/table.md",
        "data/evaluation/warm_cold.png",
        "metrics/evaluate.json",
        "metrics/main.json",
        "metrics/plots/roc.csv",
        "metrics/plots/slices.csv",
        "metrics/table.csv",
    ]
    for path in before:
        path.unlink()
    stage.main()
    assert {path: path.read_bytes() for path in outputs()} == before


def test_the_protocol_stands_in_the_file(folder: Path, test_rows: pd.DataFrame) -> None:
    assert evaluate()["protocol"] == {
        "dataset": "ml-100k",
        "rows": 280,
        "test_rows": len(test_rows),
        "users": 40,
        "test_users": 60,
        "ndcg_k": 5,
        "replicates": 200,
        "level": 0.95,
    }


@pytest.mark.usefixtures("folder")
def test_a_wider_level_gives_a_wider_interval() -> None:
    narrow = evaluate()["codes"]["intervals"]["auc"]
    Path("params.yaml").write_text(PARAMS.replace("0.95", "0.99"))
    wide = evaluate()["codes"]["intervals"]["auc"]
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


@pytest.mark.usefixtures("folder")
def test_roc_points_lie_on_each_methods_curve() -> None:
    found = evaluate()
    points = pd.read_csv("metrics/plots/roc.csv")
    assert list(points.columns) == ["method", "fpr", "tpr"]
    assert list(points["method"].unique()) == [TITLES[method] for method in METHODS]
    for method, title in TITLES.items():
        curve = points[points["method"] == title]
        assert area(curve["fpr"], curve["tpr"]) == pytest.approx(found[method]["auc"], abs=1e-5)


def test_a_long_roc_curve_is_thinned_and_keeps_its_ends_and_area() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    scores = {method: labels + rng.normal(size=5000) for method in METHODS}
    flags = np.ones(5000, dtype=bool)
    rows = ScoredRows(np.arange(5000), labels, flags, flags, scores, {}, 5000, 5000)
    points = roc_points(rows, TITLES)
    assert list(points["method"].unique()) == list(TITLES.values())
    for (_, curve), method in zip(points.groupby("method", sort=False), TITLES, strict=True):
        assert MOST_POINTS / 2 < len(curve) <= MOST_POINTS
        assert curve["fpr"].is_monotonic_increasing and curve["tpr"].is_monotonic_increasing
        assert (curve[["fpr", "tpr"]].to_numpy()[[0, -1]] == [[0, 0], [1, 1]]).all()
        expected = roc_auc_score(labels, scores[method])
        assert area(curve["fpr"], curve["tpr"]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("distinct", [1, 2, 3, 7, 10_000])
def test_roc_curves_are_scikit_learns_point_for_point_ties_and_all(distinct: int) -> None:
    rng = np.random.default_rng(distinct)
    for n in (2, 3, 4, 50, 3000):
        labels = np.r_[0, 1, rng.integers(0, 2, n - 2)]
        scores = (rng.integers(0, distinct, n) / 7).astype(np.float32)
        expected = sklearn_roc_curve(labels, scores)[:2]
        np.testing.assert_array_equal(roc_curve(labels, scores), expected)


@pytest.mark.usefixtures("folder")
def test_slice_bars_are_the_slices_of_the_metrics() -> None:
    found = evaluate()
    bars = pd.read_csv("metrics/plots/slices.csv").set_index(["method", "slice"])["auc"]
    for name in ("warm", "cold"):
        rows = found["codes"][name]["rows"]
        assert bars["BinLLM", f"{name} ({rows} rows)"] == pytest.approx(
            found["codes"][name]["auc"], abs=1e-6
        )
    assert len(bars) == 6


def test_an_undefined_metric_is_left_out(folder: Path, test_rows: pd.DataFrame) -> None:
    """No row is cold, and every label is 1: no AUC, no ROC, no NaN, but counts."""
    write_test_rows(test_rows.assign(label=1, seen=True))
    for method in METHODS:
        write_predictions(method, predictions(method).assign(label=1))
    found = evaluate()
    assert found["codes"]["cold"] == {"uauc_users": 0, "rows": 0, "users": 0}
    assert "auc" not in found["codes"] and found["codes"]["rows"] == 280
    assert found["text"]["difference"] == {}
    assert set(headline()) == {"valid"}
    assert Path("metrics/plots/roc.csv").read_text() == "method,fpr,tpr\n"


def test_where_make_prints_the_table_the_stage_leaves_it_to_that(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "TABLE_FOLLOWS=1 dvc repro\n" in (ROOT / "Makefile").read_text()
    monkeypatch.setenv("TABLE_FOLLOWS", "1")
    evaluate()
    assert capsys.readouterr().out == "" and paths.HEADLINE.is_file()


def test_the_stage_prints_a_table_that_says_who_is_better(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate()
    printed = capsys.readouterr().out
    assert printed.isascii() and max(map(len, printed.splitlines())) <= 110
    assert "280 of 420 rows, 40 of 60 users" in printed
    for method in METHODS:
        assert f"{found[method]['auc']:.4f}" in printed
        for metric in ("auc", "uauc", "gauc"):
            span = found[method]["intervals"][metric]
            ends = [f"{span[end]:.3f}".removeprefix("0") for end in ("low", "high")]
            assert f"[{', '.join(ends)}]" in printed
    assert f"{found['text']['difference']['auc']['value']:+.4f}" in printed
    assert "By AUC and GAUC, BinLLM ranks better than TALLRec and BinMF\n" in printed


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "ranks better than TALLRec"),
        (-0.2, -0.1, "ranks worse than TALLRec"),
        (-0.1, 0.1, "cannot be told from TALLRec"),
        (None, None, "has an undefined difference to TALLRec"),
    ],
)
@pytest.mark.parametrize("metric", ["auc", "gauc"])
def test_a_verdict_follows_the_interval(
    folder: Path, metric: str, low: float | None, high: float | None, expected: str
) -> None:
    stage.main()
    table = written_table()
    difference = {} if low is None else {"value": 0.0, "low": low, "high": high}
    table["methods"]["text"]["difference"][metric] = difference
    lines = summary_table(table).splitlines()
    by, told = next(line.split(", ", 1) for line in lines if expected in line)
    assert told.startswith("BinLLM ") and "BinMF" in told
    alike = expected.startswith("ranks better")  # as by the other metric
    assert by == ("By AUC and GAUC" if alike else f"By {metric.upper()}")


@pytest.mark.parametrize("users", [29, 30])
def test_fewer_than_30_users_get_numbers_but_no_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str], users: int
) -> None:
    for method in METHODS:
        table = predictions(method)
        write_predictions(method, table[table["uid"] <= users])
    found = evaluate()
    printed = capsys.readouterr().out.splitlines()
    assert f"{users} of 60 users" in printed[0]
    assert any(f"{found['text']['difference']['auc']['value']:+.4f}" in line for line in printed)
    verdicts = [line for line in printed if "ranks" in line or "told from" in line]
    refusal = (
        f"No verdict: {users} users, of whom {users} have both labels and count for UAUC; "
        "at least 30 are needed"
    )
    assert len(verdicts) == (1 if users == 30 else 0)
    assert (refusal in printed) == (users == 29)


def test_users_with_one_label_are_no_ground_for_a_verdict(
    folder: Path, capsys: pytest.CaptureFixture[str], test_rows: pd.DataFrame
) -> None:
    """Forty are drawn, but fewer than 30 of them count for UAUC."""
    one_label = {"label": test_rows["label"].where(test_rows["uid"] > 11, 1)}
    write_test_rows(test_rows.assign(**one_label))
    for method in METHODS:
        table = predictions(method)
        table["label"] = table["label"].where(table["uid"] > 11, 1)
        write_predictions(method, table)
    assert evaluate()["codes"]["uauc_users"] == 29
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("No verdict: 40 users, of whom 29 have both labels")


@pytest.mark.usefixtures("folder")
def test_a_further_metric_is_measured_and_stands_in_every_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in the folder of metrics is all that it takes."""

    def firsts(uids: NDArray, labels: NDArray, scores: NDArray, k: int) -> NDArray:
        users = len(user_aucs(uids, labels, scores)[0])
        return np.r_[0.25, np.full(users - 2, 0.375), 0.5]

    further = ModuleType("stages.measures.metrics.first")
    first = UserMetric("first of {k}", firsts)
    monkeypatch.setattr(further, "METRIC", first, raising=False)
    monkeypatch.setitem(sys.modules, further.__name__, further)
    names = ["auc", "first", "gauc", "ndcg", "uauc"]
    monkeypatch.setattr(metrics_of_users, "modules_below", lambda package: names)
    found = evaluate()
    for method in METHODS:
        assert found[method]["first"] == written_table()["methods"][method]["first"] == 0.375
        span = found[method]["intervals"]["first"]
        assert 0.25 < span["low"] < 0.375 < span["high"] < 0.5
    assert found["chance"]["first"] == 0.375
    assert written_table()["methods"]["binmf"]["all_rows"]["first"] == 0.375
    assert (pd.read_csv("metrics/table.csv")["first"] == 0.375).all()
    assert "| first of 5 | NDCG@5 |" in Path("data/evaluation/table.md").read_text()
    heading, *lines = capsys.readouterr().out.splitlines()[3:7]
    assert heading.split()[-3:] == ["of", "5", "NDCG@5"]
    assert all(line.split()[-2] == "0.3750" for line in lines)


@pytest.mark.usefixtures("folder")
def test_every_row_that_is_drawn_has_a_colour() -> None:
    """A scale with a fixed domain draws nothing for what is not in it."""
    write_row("id_only", predictions("text"))
    write_row("wide", predictions("binmf"))
    write_plan(["binmf", "wide", "text", "id_only", "codes"])
    stage.main()
    drawn = list(pd.read_csv("metrics/plots/roc.csv")["method"].unique())
    assert drawn == ["BinMF", "codes, wide", "TALLRec", "BinLLM, ID-only", "BinLLM"]
    roc = json.loads((ROOT / ".dvc/plots/roc.json").read_text())["layer"][-1]["encoding"]["color"]
    assert "domain" not in roc["scale"]
    assert roc["sort"] == ["TALLRec", "BinLLM", "BinMF"], "so that these keep their colours"
    slices = json.loads((ROOT / ".dvc/plots/slices.json").read_text())["spec"]["encoding"]["color"]
    assert slices["scale"]["domain"] == [paper.TITLES[method] for method in IN_SLICES]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("template", "file", "x", "y"),
    [
        ("roc", "plots/roc.csv", "fpr", "tpr"),
        ("slices", "plots/slices.csv", "slice", "auc"),
        ("methods", "table.csv", "auc", "title"),
    ],
)
def test_dvc_fills_the_plots_templates(template: str, file: str, x: str, y: str) -> None:
    stage.main()
    check_filled(template, x, y, pd.read_csv(f"metrics/{file}").fillna(""))


@pytest.mark.parametrize(
    ("template", "x", "y"), [("training", "rows", "auc"), ("bits", "bit", "balance")]
)
def test_dvc_fills_the_other_stages_templates(template: str, x: str, y: str) -> None:
    table = {"rows": [50, 100], "loss": [0.7, 0.6], "auc": [0.5, 0.6]}
    bits = {"side": ["user", "item"], "bit": [0, 0], "balance": [0.4, 0.5], "entropy": [0.9, 1.0]}
    check_filled(template, x, y, pd.DataFrame(bits if template == "bits" else table))


def check_filled(template: str, x: str, y: str, points: pd.DataFrame) -> None:
    """Asserts that DVC's own renderer finds a place for all it has to say."""
    records = points.assign(rev="workspace").to_dict("records")
    place = {"template": template, "template_dir": str(ROOT / ".dvc/plots")}
    filled = VegaRenderer(records, template, x=x, y=y, **place).get_filled_template()
    assert filled["data"]["values"] == records
    assert "DVC_METRIC" not in json.dumps(filled)


# What is refused: one line, and no output.


def refuse(expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        stage.main()
    assert "\n" not in str(caught.value)
    assert not outputs()


@pytest.mark.usefixtures("folder")
def test_text_and_codes_on_different_rows_are_refused() -> None:
    text = predictions("text")
    write_predictions("text", text[text["uid"] != 3])
    refuse(r"text\.parquet: lacks 7 of the rows in .*codes\.parquet, row 1014 first")
    codes = predictions("codes")
    write_predictions("text", codes)
    write_predictions("codes", codes[codes["uid"] != 3])
    refuse(r"text\.parquet: 7 rows that .*codes\.parquet lacks; expected the same rows in both")


@pytest.mark.usefixtures("folder")
def test_part_of_a_users_rows_is_refused() -> None:
    for method in ("text", "codes"):
        table = predictions(method).sort_values("row")
        write_predictions(method, table[1:])
    refuse("6 of user 1's 7 test rows are scored; UAUC needs all rows")


@pytest.mark.usefixtures("folder")
def test_a_row_that_binmf_lacks_is_refused() -> None:
    write_predictions("binmf", predictions("binmf")[1:])
    refuse(r"binmf\.parquet: lacks 1 of the rows in .*codes\.parquet, row 1000 first")


@pytest.mark.usefixtures("folder")
def test_rows_that_are_no_test_rows_are_refused() -> None:
    for method in METHODS:
        table = predictions(method)
        write_predictions(method, table.assign(row=table["row"] + 50_000))
    refuse(r"test\.parquet: lacks 280 of the rows")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("column", ["uid", "iid", "label"])
def test_predictions_of_another_data_set_are_refused(column: str) -> None:
    table = predictions("codes").sort_values("row")
    table.loc[table.index[0], column] = 1 - table.loc[table.index[0], column]
    write_predictions("codes", table)
    refuse(rf"codes\.parquet: row 1000 has {column} .*, but .* in .*test\.parquet")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(score: float) -> None:
    table = pq.read_table("data/predictions/codes.parquet").sort_by("row").to_pandas()
    scores = table["score"].to_numpy().copy()
    scores[2] = score
    # A Parquet file may hold NaN; pandas would hand it to Arrow as a null.
    arrow = pq.read_table("data/predictions/codes.parquet").sort_by("row")
    arrow = arrow.set_column(4, PREDICTIONS.field("score"), [scores])
    write_table(arrow, Path("data/predictions/codes.parquet"), PREDICTIONS)
    refuse(r"codes\.parquet: row 1002 has score .* \(and 0 more such\)")


@pytest.mark.usefixtures("folder")
def test_a_row_scored_twice_is_refused() -> None:
    table = predictions("text")
    write_predictions("text", pd.concat([table, table[:1]]))
    refuse(r"text\.parquet: row \d+ stands there twice")


@pytest.mark.usefixtures("folder")
def test_no_rows_at_all_are_refused() -> None:
    for method in ("text", "codes"):
        write_predictions(method, predictions(method)[:0])
    refuse(r"codes\.parquet: holds no rows")


def test_a_missing_file_ends_the_stage_in_one_line_with_status_2(folder: Path) -> None:
    Path("data/predictions/codes.parquet").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "stages.evaluate"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == ("error: data/predictions/codes.parquet: no such file; run `dvc repro`\n")
    assert not outputs()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ndcg_k", 0),
        ("replicates", 1),
        ("replicates", 200.5),
        ("level", 1),
        ("level", 0),
        ("level", "high"),
    ],
)
def test_a_bad_value_is_refused(key: str, value: Any) -> None:
    good = {"ndcg_k": 5, "replicates": 200, "level": 0.95}
    section = json.dumps({**good, key: value})
    Path("params.yaml").write_text(f"seed: 1\ndataset: ml-100k\nevaluate: {section}\n")
    refuse(rf"params\.yaml: evaluate\.{key} = {value!r}: ")


@pytest.mark.usefixtures("folder")
def test_a_missing_key_is_refused() -> None:
    Path("params.yaml").write_text(PARAMS.replace("replicates: 200, level: 0.95}", "level: 0.5}"))
    refuse(r"params\.yaml: evaluate\.replicates is missing")
