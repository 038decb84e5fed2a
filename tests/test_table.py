"""The table: one line per row, on the same test rows, in four forms, and what is refused."""

import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from stages import evaluate as stage
from stages.io import paths
from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.tables import INTERACTIONS, REPEATS, read_table, write_json, write_table
from stages.measures.layout import markdown
from stages.measures.params import Evaluate
from stages.measures.planned import PlannedRow, read_rows, rows_as_json
from stages.measures.quality import METRICS
from stages.measures.repeats import scores_by_seed
from stages.measures.scored_rows import read_predictions
from stages.measures.seeds_table import across_seeds
from stages.measures.table import FEWEST_USERS, relative_improvement, whole_table
from tests.published import TITLES
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
dataset: ml-1m
evaluate: {ndcg_k: 5, replicates: 200, level: 0.95}
"""
SHOWN = ("mf", "din", "binmf", "collm_mf", "text", "codes")
WITH_LLM = ("collm_mf", "text", "codes")
COLD_USERS = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder: 60 test users, of whom the LLM scored 40; the first few are cold."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    rng = np.random.default_rng(5)
    n = 60 * 7
    uids = np.repeat(np.arange(1, 61), 7)
    seen = uids > COLD_USERS
    rows = pd.DataFrame({"row": np.arange(n), "uid": uids, "iid": rng.integers(1, 90, n)})
    rows["label"] = rng.integers(0, 2, n)
    rows = rows.assign(timestamp=range(n), history=[[] for _ in range(n)], seen=seen, warm=seen)
    write_test_rows(rows)
    known: dict[str, dict[str, Any]] = {
        "mf": {"fit_seconds": 3.25, "rows": 420, "seconds": 0.042},
        "text": {"fit_seconds": 60.5, "parameters": 12345},
        "codes": {"fit_seconds": 60.5, "parameters": 12345},
        "collm_mf": {"valid_auc": None},
    }
    for place, method in enumerate(SHOWN):
        scored = rows[FACTS].assign(score=place / 2 * rows["label"] + rng.normal(size=n))
        if method in WITH_LLM:
            scored = scored[scored["uid"] <= 40].sample(frac=1, random_state=1)
        write_row(method, scored, **known.get(method, {}))
    write_plan(list(SHOWN), "ml-1m")
    return tmp_path


def table() -> dict[str, Any]:
    stage.main()
    return json.loads(Path("data/evaluation/table.json").read_text())


def text() -> str:
    return Path("data/evaluation/table.md").read_text()


def cells(place: int = 1) -> dict[str, list[str]]:
    """Returns the lines of a table in the Markdown, the first by default, by their first cell."""
    lines = text().split("\n\n")[place].splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {line[0]: line[1:] for line in found}


@pytest.mark.usefixtures("folder")
def test_numbers_are_those_of_scikit_learn_on_the_rows_that_binllm_scored() -> None:
    found = table()
    rows = predictions("codes")["row"]
    assert list(found["methods"]) == list(SHOWN)
    for method, it in found["methods"].items():
        scored = predictions(method)
        assert it["scored_rows"] == len(scored)
        scored = scored[scored["row"].isin(rows)]
        assert it["rows"] == len(scored) == found["protocol"]["rows"] == 280
        for name, value in by_scikit_learn(scored, k=5).items():
            assert it[name] == pytest.approx(value), (method, name)
        for metric in ("auc", "uauc", "gauc", "ndcg"):
            assert it["intervals"][metric]["low"] < it[metric] < it["intervals"][metric]["high"]


@pytest.mark.usefixtures("folder")
def test_differences_are_binllm_minus_the_other_within_their_paired_intervals() -> None:
    found = table()["methods"]
    for method in SHOWN[:-1]:
        for metric in METRICS:
            gap = found[method]["difference"][metric]
            expected = found["codes"][metric] - found[method][metric]
            assert gap["value"] == pytest.approx(expected)
            assert gap["low"] < gap["value"] < gap["high"]
    assert "difference" not in found["codes"]


def add_bias(name: str = "bias") -> None:
    """Adds the row `bias`, or `title_bias`, which knows a little of what MF knows."""
    scored = predictions("mf")
    noise = np.random.default_rng(3).normal(size=len(scored))
    write_row(name, scored.assign(score=scored["score"] + scored["label"] * 0.3 + noise))
    write_plan([name, *SHOWN], "ml-1m")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("bias", ["bias", "title_bias"])
def test_every_other_row_is_held_against_bias_too_in_every_form(bias: str) -> None:
    add_bias(bias)
    found, shown = table()["methods"], cells()
    lines = pd.read_csv("metrics/table.csv", index_col="method")
    assert f"above_{bias}" not in found[bias] and "difference" in found[bias]
    above = f"above {TITLES[bias][0].lower()}{TITLES[bias][1:]}"
    for method in SHOWN:
        for metric in METRICS:
            gap = found[method][f"above_{bias}"][metric]
            assert gap["value"] == pytest.approx(found[method][metric] - found[bias][metric])
            assert gap["low"] < gap["value"] < gap["high"]
            name = f"{metric}_above_{bias}"
            assert lines.loc[method, name] == pytest.approx(gap["value"], abs=1e-6)
            assert lines.loc[method, f"{name}_low"] == pytest.approx(gap["low"], abs=1e-6)
            assert lines.loc[method, f"{name}_high"] == pytest.approx(gap["high"], abs=1e-6)
            cell = dict(zip(shown["method"], shown[TITLES[method]], strict=True))
            expected = f"{gap['value']:+.4f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
            assert cell[f"{above}, {metric.upper()}"] == expected
    of_bias = dict(zip(shown["method"], shown[TITLES[bias]], strict=True))
    assert of_bias[f"{above}, AUC"] == of_bias[f"{above}, UAUC"] == "-"
    assert lines.loc[bias, [name for name in lines if f"above_{bias}" in name]].isna().all()


@pytest.mark.usefixtures("folder")
def test_binllm_above_bias_is_the_difference_that_stands_in_the_row_of_bias() -> None:
    add_bias()
    found = table()["methods"]
    assert found["codes"]["above_bias"] == found["bias"]["difference"]


@pytest.mark.usefixtures("folder")
def test_without_bias_in_the_table_nothing_is_held_against_it() -> None:
    assert not [it for it in table()["methods"].values() if "above_bias" in it]
    assert "bias" not in text()
    lines = pd.read_csv("metrics/table.csv")
    assert lines[[name for name in lines if "above_bias" in name]].isna().all().all()


@pytest.mark.usefixtures("folder")
def test_the_chance_level_stands_once_below_each_table() -> None:
    found = table()
    of_all = found["methods"]["mf"]["all_rows"]["chance"]
    ndcg = pytest.approx(0.627, abs=0.02)
    assert found["chance"] == {"auc": 0.5, "uauc": 0.5, "gauc": 0.5, "ndcg": ndcg}
    assert found["chance"]["ndcg"] != of_all["ndcg"]
    sentences = [line for line in text().splitlines() if line.startswith("A random order")]
    assert sentences == [
        f"A random order gives AUC 0.5000, UAUC 0.5000, GAUC 0.5000, NDCG@5 {chance['ndcg']:.4f}."
        for chance in (found["chance"], of_all)
    ]
    # Scores that say nothing find it.
    write_predictions("mf", predictions("mf").assign(score=0.0))
    mf = table()["methods"]["mf"]
    assert {name: mf[name] for name in found["chance"]} == found["chance"]


def test_relative_improvement_is_the_mean_of_both_metrics_gains() -> None:
    # (0.6 - 0.5) / 0.5 = 0.2 and (0.66 - 0.6) / 0.6 = 0.1
    gain = relative_improvement({"auc": 0.6, "uauc": 0.66}, {"auc": 0.5, "uauc": 0.6})
    assert gain == pytest.approx(0.15)
    assert relative_improvement({"auc": 0.6, "uauc": None}, {"auc": 0.5, "uauc": 0.6}) is None


@pytest.mark.usefixtures("folder")
def test_the_table_holds_relative_improvements_and_the_papers_own() -> None:
    found = table()["methods"]
    ours, mf = found["codes"], found["mf"]
    gains = [(ours[metric] - mf[metric]) / mf[metric] for metric in ("auc", "uauc")]
    assert mf["relative_improvement"] == pytest.approx(sum(gains) / 2)
    # ml-1m, by hand: (.7425 - .6482) / .6482 = 14.55 %, (.6956 - .6361) / .6361 = 9.35 %
    assert mf["published"]["auc"] == 0.6482
    assert mf["published"]["relative_improvement"] == pytest.approx(0.1195, abs=5e-5)
    assert "relative_improvement" not in ours and ours["published"] == {
        "auc": 0.7425,
        "uauc": 0.6956,
    }


@pytest.mark.usefixtures("folder")
def test_a_data_set_that_is_not_the_papers_has_no_published_figures() -> None:
    Path("params.yaml").write_text(PARAMS.replace("ml-1m", "ml-100k"))
    write_plan(list(SHOWN), "ml-100k")
    assert all("published" not in it for it in table()["methods"].values())
    assert "paper" not in text()
    head = cells()["method"]
    assert all(len(line) == len(head) for line in cells().values())


@pytest.mark.usefixtures("folder")
def test_rows_that_are_not_planned_are_left_out_whatever_lies_about() -> None:
    write_predictions("din", predictions("din")[:0])
    write_plan(["mf", "collm_mf", "text", "codes"], "ml-1m")
    assert list(table()["methods"]) == ["mf", "collm_mf", "text", "codes"]
    assert "DIN" not in text()
    write_plan(["text", "codes"], "ml-1m")
    assert list(table()["methods"]) == ["text", "codes"]


@pytest.mark.usefixtures("folder")
def test_what_an_earlier_run_left_of_rows_that_are_gone_is_removed_and_nothing_else() -> None:
    def left() -> dict[str, list[str]]:
        of_row = (paths.predictions, paths.facts, paths.fit_cost, paths.scoring_cost, paths.repeats)
        folders = [place("x").parent for place in of_row]
        return {str(it): sorted(path.stem for path in it.iterdir()) for it in folders}

    write_plan(["mf", "binmf", "text", "codes"], "ml-1m")
    Path("data/interactions/items.parquet").touch()
    table()
    assert left() == {
        "data/predictions": ["binmf", "codes", "mf", "text"],
        "metrics/rows": ["binmf", "codes", "mf", "text"],
        "data/costs/fit": ["binmf", "codes", "mf", "text"],
        "data/costs/scoring": ["binmf", "codes", "mf", "text"],
        "data/repeats": ["binmf", "mf"],
    }
    assert {path.name for path in Path("data/interactions").iterdir()} == {
        "items.parquet",
        "test.parquet",
    }


@pytest.mark.usefixtures("folder")
def test_plots_and_health_of_rows_that_are_gone_are_removed_as_well() -> None:
    """`report` depends on their folders."""
    kept = [paths.PLOTS / name for name in ("bits_binmf.csv", "training_text.csv", "cost.csv")]
    gone = [paths.PLOTS / name for name in ("bits_wide.csv", "training_id_only.csv")]
    kept.append(paths.code_quality("binmf"))
    gone.append(paths.code_quality("wide"))
    for path in (*kept, *gone):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    table()
    assert all(path.is_file() for path in kept)
    assert not any(path.exists() for path in gone)


@pytest.mark.usefixtures("folder")
def test_a_refusal_removes_nothing() -> None:
    write_plan(["mf", "binmf", "text", "codes"], "ml-1m")
    write_predictions("mf", predictions("mf")[3:])
    refuse("lacks 3 of the rows")
    assert paths.predictions("din").is_file() and paths.facts("collm_mf").is_file()


@pytest.mark.usefixtures("folder")
def test_csv_and_markdown_say_what_the_json_says() -> None:
    found = table()["methods"]
    lines = pd.read_csv("metrics/table.csv", index_col="method")
    shown_cells = cells()
    assert list(lines.index) == list(found)
    assert list(lines["title"]) == list(shown_cells)[2:] == [TITLES[method] for method in found]
    for method, it in found.items():
        line, shown = (
            lines.loc[method],
            dict(zip(shown_cells["method"], shown_cells[TITLES[method]], strict=True)),
        )
        gap = it.get("difference", {})
        expected = {
            "auc": it["auc"],
            "uauc_low": it["intervals"]["uauc"]["low"],
            "gauc_high": it["intervals"]["gauc"]["high"],
            "users": it["uauc_users"],
            "ndcg": it["ndcg"],
            "ndcg_low": it["intervals"]["ndcg"]["low"],
            "ndcg_high": it["intervals"]["ndcg"]["high"],
            "auc_difference": gap.get("auc", {}).get("value"),
            "uauc_difference_high": gap.get("uauc", {}).get("high"),
            "gauc_difference": gap.get("gauc", {}).get("value"),
            "relative_improvement": it.get("relative_improvement"),
            "valid_auc": it.get("valid_auc"),
            "parameters": it.get("parameters"),
            "scored_rows": it["scored_rows"],
            "auc_all_rows": it.get("all_rows", it)["auc"],
            "uauc_all_rows": it.get("all_rows", it)["uauc"],
            "published_uauc": it["published"]["uauc"],
        }
        for name, value in expected.items():
            if value is None:
                assert np.isnan(line[name]), (method, name)
            else:
                assert line[name] == pytest.approx(value, abs=1e-6), (method, name)
        span = it["intervals"]["auc"]
        assert shown["AUC"] == f"{it['auc']:.4f} [{span['low']:.3f}, {span['high']:.3f}]"
        assert shown["users"] == str(it["uauc_users"])
        span = it["intervals"]["ndcg"]
        assert shown["NDCG@5"] == f"{it['ndcg']:.4f} [{span['low']:.3f}, {span['high']:.3f}]"
        assert shown["trained parameters"] == f"{it['parameters']:,}"
        assert shown["paper: AUC / UAUC, rel. imp."].startswith(f"{it['published']['auc']:.4f} / ")
        if method != "codes":
            assert shown["rel. imp."] == f"{it['relative_improvement']:+.1%}"
            assert shown["BinLLM above it, AUC"].startswith(f"{gap['auc']['value']:+.4f} [")


@pytest.mark.usefixtures("folder")
def test_rows_that_scored_more_than_binllm_have_a_second_table_of_all_their_rows() -> None:
    found = table()["methods"]
    below = cells(3)
    assert below["on all rows scored"] == ["rows", "AUC", "UAUC", "GAUC", "users", "NDCG@5"]
    assert list(below)[2:] == ["MF", "DIN", "BinMF"]
    for method in ("mf", "din", "binmf"):
        whole = found[method]["all_rows"]
        shown = below[TITLES[method]]
        assert (shown[0], shown[4]) == ("420", str(whole["uauc_users"]))
        assert shown[1].startswith(f"{whole['auc']:.4f} [")
        assert shown[2].startswith(f"{whole['uauc']:.4f} [")
        assert shown[3].startswith(f"{whole['gauc']:.4f} [")
        span = whole["intervals"]["ndcg"]
        assert shown[5] == f"{whole['ndcg']:.4f} [{span['low']:.3f}, {span['high']:.3f}]"
        for name, value in by_scikit_learn(predictions(method), k=5).items():
            assert whole[name] == pytest.approx(value), (method, name)
    assert not any("all_rows" in found[method] for method in WITH_LLM)


@pytest.mark.usefixtures("folder")
def test_both_counts_of_rows_and_users_are_said() -> None:
    table()
    assert "ml-1m: 280 of 420 test rows, 40 of 60 users" in text()
    assert "Scored on all their rows and cut to these: MF, DIN, BinMF." in text()


@pytest.mark.usefixtures("folder")
def test_seconds_are_those_of_the_costs() -> None:
    found = table()["methods"]
    assert found["mf"]["seconds"] == {"fit": 3.25, "per_1000_rows": pytest.approx(0.1)}
    assert found["din"]["seconds"] == {"per_1000_rows": 4.0}
    assert found["text"]["seconds"] == {"fit": 60.5, "per_1000_rows": 4.0}


@pytest.mark.usefixtures("folder")
def test_what_a_fit_says_of_itself_stands_in_the_table() -> None:
    found = table()["methods"]
    assert (found["mf"]["valid_auc"], found["mf"]["parameters"]) == (0.6, 1000)
    assert found["codes"]["parameters"] == 12345
    assert "valid_auc" not in found["collm_mf"]


@pytest.mark.usefixtures("folder")
def test_warm_and_cold_rows_of_figure_2_are_those_of_the_table() -> None:
    found = table()["methods"]
    lines = pd.read_csv("metrics/plots/slices.csv")
    methods = 2 * ["mf", "text", "collm_mf", "binmf", "codes"]
    assert list(lines["method"]) == [TITLES[method] for method in methods]
    slices = [name for name in ("warm", "cold") for _ in range(5)]
    for (_, line), name, method in zip(lines.iterrows(), slices, methods, strict=True):
        part = found[method][name]
        assert line["slice"] == f"{name} ({part['rows']} rows)"
        assert line["auc"] == pytest.approx(part["auc"], abs=1e-6)
        if name == "warm":
            assert line["low"] == pytest.approx(part["intervals"]["auc"]["low"], abs=1e-6)
            assert line["low"] < line["auc"] < line["high"]
    assert found["mf"]["warm"]["users"] == 40 - COLD_USERS


@pytest.mark.usefixtures("folder")
def test_a_handful_of_users_gets_no_interval() -> None:
    cold = table()["methods"]["mf"]["cold"]
    assert cold["users"] == COLD_USERS < FEWEST_USERS
    assert "auc" in cold and "intervals" not in cold


@pytest.mark.usefixtures("folder")
def test_undefined_metrics_are_left_out_everywhere() -> None:
    """No row is cold and every label is 1: counts, no NaN, and pictures all the same."""
    rows = read_table(paths.TEST_ROWS, INTERACTIONS).to_pandas()
    write_test_rows(rows.assign(label=1, seen=True))
    for method in SHOWN:
        write_predictions(method, predictions(method).assign(label=1))
    found = table()["methods"]
    assert "auc" not in found["mf"] and found["mf"]["difference"] == {}
    assert "relative_improvement" not in found["mf"]
    assert found["mf"]["cold"] == {"uauc_users": 0, "rows": 0, "users": 0}
    assert cells()["MF"][:3] == ["-", "-", "-"]
    assert len(pd.read_csv("metrics/plots/slices.csv")) == 0


@pytest.mark.usefixtures("folder")
def test_the_pictures_are_pictures_of_a_readers_size() -> None:
    table()
    for name in ("methods", "warm_cold"):
        height, width, _ = matplotlib.image.imread(f"data/evaluation/{name}.png").shape
        assert 1000 <= width <= 2000 and 400 <= height <= 1500


@pytest.mark.usefixtures("folder")
def test_the_same_inputs_give_the_same_bytes_whatever_the_order_of_rows() -> None:
    def written() -> dict[Path, bytes]:
        stage.main()
        return {path: path.read_bytes() for path in outputs()}

    before = written()
    assert len(before) == 9
    for method in SHOWN:
        write_predictions(method, predictions(method).sample(frac=1, random_state=9))
    assert written() == before


# Several seeds.


def seeds(aucs: list[float], uaucs: list[float], rows: int = 10) -> dict[str, Any]:
    pairs = enumerate(zip(aucs, uaucs, strict=True), start=1)
    runs = [{"seed": n, "auc": auc, "uauc": uauc, "gauc": auc} for n, (auc, uauc) in pairs]
    spread = {"mean": float(np.mean(aucs)), "sd": float(np.std(aucs, ddof=1))}
    return {"rows": rows, "runs": runs, **dict.fromkeys(METRICS, spread)}


def write_repeats(method: str, scores: dict[int, pd.Series]) -> None:
    """Writes scores of all test rows under further seeds."""
    rows = predictions(method)["row"]
    parts = [pd.DataFrame({"seed": seed, "row": rows, "score": it}) for seed, it in scores.items()]
    write_table(pd.concat(parts), paths.repeats(method), REPEATS)


def test_the_order_of_two_methods_is_counted_seed_by_seed() -> None:
    found = across_seeds(
        {
            "mf": seeds([0.7, 0.6, 0.8, 0.5], [0.6, 0.6, 0.6, 0.6]),
            "din": seeds([0.6, 0.7, 0.7, 0.5], [0.5, 0.5, 0.5, 0.6]),
            "binmf": seeds([0.9, 0.9], [0.9, 0.9]),
            "sasrec": seeds([0.9] * 4, [0.9] * 4, rows=11),
        }
    )
    # AUC: higher, lower, higher, equal
    auc, uauc = {"mf": {"din": 2.5 / 4}}, {"mf": {"din": 3.5 / 4}}
    assert found["order"] == {"auc": auc, "uauc": uauc, "gauc": auc}
    turned = seeds([0.7, 0.6, 0.8, 0.5], [0.6, 0.6, 0.6, 0.6])
    turned["runs"] = turned["runs"][::-1]
    din = seeds([0.6, 0.7, 0.7, 0.5], [0.5, 0.5, 0.5, 0.6])
    assert across_seeds({"mf": turned, "din": din})["order"] == found["order"]
    assert found["methods"]["mf"]["seeds"] == 4
    assert found["methods"]["mf"]["auc"] == {
        "mean": pytest.approx(0.65),
        "sd": pytest.approx(0.1290994),
    }


@pytest.mark.usefixtures("folder")
def test_seeds_stand_below_the_table_where_methods_ran_more_than_once() -> None:
    assert "seeds" not in table()
    params = load_section(Evaluate, "evaluate")
    _, found = whole_table(read_rows(paths.PLANNED_ROWS), params, dataset="ml-1m", seed=1)
    assert found["seeds"] is None
    one, other = seeds([0.7, 0.6], [0.7, 0.6]), seeds([0.65, 0.5], [0.8, 0.5])
    found["seeds"] = across_seeds({"mf": one, "binmf": other})
    auc, uauc = {"mf": {"binmf": 1.0}}, {"mf": {"binmf": 0.5}}
    assert found["seeds"]["order"] == {"auc": auc, "uauc": uauc, "gauc": auc}
    written = markdown(found)
    assert f"| MF | 2 | 10 |{3 * ' 0.6500 ± 0.0707 |'} - | - |" in written
    assert "| MF | - / - / - | 100% / 50% / 100% |" in written


@pytest.mark.usefixtures("folder")
def test_further_seeds_are_measured_from_their_scores_of_all_test_rows() -> None:
    write_row("bias", predictions("mf").assign(score=0.0))
    write_plan(["bias", *SHOWN], "ml-1m")
    expected = {}
    for method, sign in (("mf", 1), ("binmf", -1)):
        scored = predictions(method)
        further = {seed: scored["score"] * sign + seed % 2 * scored["label"] for seed in (2, 3)}
        write_repeats(method, further)
        runs = [scored, *(scored.assign(score=score) for score in further.values())]
        expected[method] = [by_scikit_learn(run, k=5) for run in runs]
    found = table()["seeds"]
    assert list(found["methods"]) == ["mf", "binmf"]
    for method, it in found["methods"].items():
        assert (it["seeds"], it["rows"]) == (3, 420)
        for metric in METRICS:
            values = [run[metric] for run in expected[method]]
            assert it[metric]["mean"] == pytest.approx(np.mean(values))
            assert it[metric]["sd"] == pytest.approx(np.std(values, ddof=1))
            above = it["above_bias"][metric]  # which ranks like a coin here
            assert above["value"] == pytest.approx(np.mean(values) - 0.5)
            assert above["low"] < above["value"] < above["high"]
    for metric in METRICS:
        pairs = zip(*(expected[method] for method in ("mf", "binmf")), strict=True)
        above = [one[metric] > other[metric] for one, other in pairs]
        assert found["order"][metric] == {"mf": {"binmf": pytest.approx(np.mean(above))}}
    assert "| MF | 3 | 420 | " in text()


@pytest.mark.usefixtures("folder")
def test_a_variant_of_another_seed_stands_among_the_seeds_and_in_no_line() -> None:
    scored, rng = predictions("codes"), np.random.default_rng(3)
    write_row("bias", predictions("mf"))
    write_plan(["bias", *SHOWN], "ml-1m")
    before = table()
    again = scored.assign(score=scored["score"] + rng.normal(size=len(scored)))
    write_row("codes_2", again.sample(frac=1, random_state=2))
    write_predictions("text_2", again)
    planned = [
        *read_rows(paths.PLANNED_ROWS).values(),
        PlannedRow("codes_2", "BinLLM, codes 2", "variant", seed=0, repeats="codes"),
        PlannedRow("text_2", "TALLRec, text 2", "variant", seed=2, repeats="text"),
    ]
    write_json(rows_as_json(planned), paths.PLANNED_ROWS)
    found = table()
    assert found["methods"] == before["methods"]
    text_only, it = (found["seeds"]["methods"].pop(method) for method in ("text", "codes"))
    above, gap = it["above_bias"], text_only["difference"]
    assert not found["seeds"]["methods"] and "difference" not in it
    assert (it["seeds"], it["rows"]) == (text_only["seeds"], text_only["rows"]) == (2, 280)
    bias = before["methods"]["bias"]
    for metric in METRICS:
        runs = [by_scikit_learn(run, k=5)[metric] for run in (scored, again)]
        assert [run["seed"] for run in it["runs"]] == [1, 0]
        assert [run[metric] for run in it["runs"]] == [pytest.approx(value) for value in runs]
        assert it[metric]["mean"] == pytest.approx(np.mean(runs))
        assert above[metric]["value"] == pytest.approx(np.mean(runs) - bias[metric])
        assert above[metric]["low"] < above[metric]["value"] < above[metric]["high"]
        # Of two seeds one has the same scores in both: half of the gap is the other's.
        other = by_scikit_learn(predictions("text"), k=5)[metric]
        assert gap[metric]["value"] == pytest.approx((runs[0] - other) / 2)
    assert f"| BinLLM | 2 | 280 | {it['auc']['mean']:.4f} ± " in text()
    assert f" | {above['auc']['value']:+.4f} [" in text().split("several seeds")[1]
    assert f"| TALLRec | 2 | 280 | {text_only['auc']['mean']:.4f} ± " in text()
    assert f" | {gap['auc']['value']:+.4f} [" in text().split("several seeds")[1]
    assert "BinLLM, codes 2" not in text() + Path("metrics/plots/roc.csv").read_text()
    refused = r"data/predictions/codes_2\.parquet: "
    write_row("codes_2", again[1:])
    with pytest.raises(InputError, match=refused):
        stage.main()


@pytest.mark.usefixtures("folder")
def test_a_seed_s_run_is_what_its_scores_say_whatever_their_order() -> None:
    scored = predictions("mf")
    write_repeats("mf", {7: -scored["score"]})
    path = paths.repeats("mf")
    shuffled = read_table(path, REPEATS).to_pandas().sample(frac=1, random_state=3)
    write_table(shuffled, path, REPEATS)
    found = scores_by_seed(path, read_predictions(paths.predictions("mf")), 1)
    first = scored.sort_values("row")["score"]
    assert list(found) == [1, 7]
    assert found[1].tolist() == first.tolist() and found[7].tolist() == (-first).tolist()


@pytest.mark.usefixtures("folder")
def test_further_seeds_of_other_rows_are_refused() -> None:
    write_repeats("mf", {2: predictions("mf")["score"]})
    further = read_table(paths.repeats("mf"), REPEATS).to_pandas()
    write_table(further[1:], paths.repeats("mf"), REPEATS)
    refuse(r"data/repeats/mf\.parquet: seed 2 scored other rows; run `dvc repro`")


# The pipeline's own files.


def test_the_stage_depends_on_all_that_the_stages_of_a_row_leave_for_it() -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    made = set()
    for name, described in stages.items():
        body = described.get("do", described)
        outs = [*body.get("outs", []), *body.get("plots", [])]
        files = [Path(out if isinstance(out, str) else next(iter(out))) for out in outs]
        made |= {path.parent for path in files if "{" in path.name and name != "evaluate"}
    read = {folder("x").parent for folder in (paths.predictions, paths.repeats, paths.facts)}
    read |= {paths.fit_cost("x").parent, paths.scoring_cost("x").parent}
    assert read <= made
    deps = {Path(dep) for dep in stages["evaluate"]["deps"]}
    assert paths.PLANNED_ROWS in deps and paths.TEST_ROWS in deps
    for folder in read:
        assert deps & {folder, *folder.parents}


# What is refused: one line, and no output.


def refuse(expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        stage.main()
    assert "\n" not in str(caught.value)
    assert not outputs()


@pytest.mark.usefixtures("folder")
def test_a_method_that_lacks_rows_is_refused() -> None:
    write_predictions("din", predictions("din")[3:])
    refuse(r"din\.parquet: lacks 3 of the rows in .*codes\.parquet, row 0 first")


@pytest.mark.usefixtures("folder")
def test_a_planned_row_without_any_scores_is_refused() -> None:
    write_predictions("collm_mf", predictions("collm_mf")[:0])
    refuse(r"collm_mf\.parquet: lacks 280 of the rows")


@pytest.mark.usefixtures("folder")
def test_predictions_of_other_rows_are_refused() -> None:
    write_predictions("mf", predictions("mf").assign(iid=1))
    refuse(r"mf\.parquet: row \d+ has iid 1, but \d+ in .*test\.parquet")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "name",
    [
        "data/predictions/collm_mf.parquet",
        "data/repeats/binmf.parquet",
        "metrics/rows/mf.json",
        "data/costs/fit/text.json",
        "data/costs/scoring/codes.json",
        "data/plan/rows.json",
        "data/interactions/test.parquet",
    ],
)
def test_a_missing_file_is_refused(name: str) -> None:
    Path(name).unlink()
    refuse(rf"^{name}: no such file; run `dvc repro`$")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["metrics/rows/text.json", "data/costs/fit/mf.json"])
def test_metrics_that_are_no_json_are_refused(name: str) -> None:
    Path(name).write_text("{")
    refuse(f"{name}: damaged: no JSON")


@pytest.mark.usefixtures("folder")
def test_a_bad_value_is_refused() -> None:
    Path("params.yaml").write_text(PARAMS.replace("replicates: 200, level: 0.95}\n", "level: 1}\n"))
    refuse(r"params\.yaml: evaluate\.")
