"""The report: one table of all methods on the same rows, in four forms, and what is refused."""

import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from stages.common.chosen import METHODS, write_chosen
from stages.common.errors import InputError
from stages.common.tables import INTERACTIONS, PREDICTIONS, read_table, write_table
from stages.evaluate import __main__ as evaluate_stage
from stages.report import __main__ as stage
from stages.report.methods import ALWAYS, TITLES, file_of
from stages.report.published import PUBLISHED
from stages.report.seeds import across_seeds
from stages.report.table import FEWEST_USERS, relative_improvement

ROOT = Path(__file__).resolve().parent.parent
PARAMS = """\
seed: 1
dataset: ml-1m
evaluate: {ndcg_k: 5, replicates: 200, level: 0.95}
report: {ndcg_k: 5, replicates: 200, level: 0.95}
"""
FACTS = ["row", "uid", "iid", "label"]
CHOSEN = ("mf", "din", "binmf", "collm_mf")
SHOWN = ("mf", "din", "binmf", "tallrec", "collm_mf", "binllm")
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
    write_table(rows, Path("data/interactions/test.parquet"), INTERACTIONS)
    for place, method in enumerate(SHOWN):
        scored = rows[FACTS].assign(score=place / 2 * rows["label"] + rng.normal(size=n))
        if method in (*ALWAYS, "collm_mf"):
            scored = scored[scored["uid"] <= 40].sample(frac=1, random_state=1)
        write_predictions(method, scored)
    write_chosen(CHOSEN)
    for method in ("mf", "din", "collm_mf"):
        write_json(f"compare/{method}", {"auc": 0.9, "parameters": 1000})
    for name in ("pretrain_hash", "train_lora/text", "train_lora/codes"):
        write_json(name, {"parameters": 12345})
    for kind in ("text", "codes"):
        write_json(f"cost/train_{kind}", {"fit_seconds": 60.5})
    for method in SHOWN:
        write_json(f"cost/{file_of(method)}", {"rows": 500, "seconds": 2.0})
    write_json("cost/mf", {"rows": 420, "seconds": 0.042, "fit_seconds": 3.25})
    return tmp_path


def write_json(name: str, content: dict[str, Any]) -> None:
    path = Path(f"metrics/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_predictions(method: str, table: pd.DataFrame) -> None:
    write_table(table, Path(f"data/predictions/{file_of(method)}.parquet"), PREDICTIONS)


def predictions(method: str) -> pd.DataFrame:
    path = Path(f"data/predictions/{file_of(method)}.parquet")
    return read_table(path, PREDICTIONS).to_pandas()


def report() -> dict[str, Any]:
    stage.main()
    return json.loads(Path("metrics/table.json").read_text())


def cells() -> dict[str, list[str]]:
    """Returns the lines of the Markdown's first table by their first cell."""
    lines = Path("data/report/table.md").read_text().split("\n\n")[1].splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {line[0]: line[1:] for line in found}


@pytest.mark.usefixtures("folder")
def test_numbers_are_those_of_scikit_learn_on_the_rows_that_binllm_scored() -> None:
    found = report()
    rows = predictions("binllm")["row"]
    assert list(found["methods"]) == list(SHOWN)
    for method, it in found["methods"].items():
        scored = predictions(method)
        assert it["scored_rows"] == len(scored)
        scored = scored[scored["row"].isin(rows)]
        assert it["rows"] == len(scored) == found["protocol"]["rows"] == 280
        assert it["auc"] == pytest.approx(roc_auc_score(scored["label"], scored["score"]))
        of_users = [
            roc_auc_score(user["label"], user["score"])
            for _, user in scored.groupby("uid")
            if user["label"].nunique() == 2
        ]
        assert it["uauc"] == pytest.approx(np.mean(of_users))
        assert it["uauc_users"] == len(of_users)
        for metric in ("auc", "uauc"):
            assert it["intervals"][metric]["low"] < it[metric] < it["intervals"][metric]["high"]


@pytest.mark.usefixtures("folder")
def test_evaluate_finds_the_same_metrics_intervals_and_paired_differences() -> None:
    found = report()["methods"]
    evaluate_stage.main()
    expected = json.loads(Path("metrics/evaluate.json").read_text())
    for method in ("tallrec", "binllm", "binmf"):
        for key in ("auc", "uauc", "uauc_users", "ndcg", "intervals"):
            assert found[method][key] == expected[file_of(method)][key]
    assert found["tallrec"]["difference"] == expected["difference"]
    assert found["binmf"]["difference"] == expected["difference_to_binmf"]
    assert "difference" not in found["binllm"]


def test_relative_improvement_is_the_mean_of_both_metrics_gains() -> None:
    # (0.6 - 0.5) / 0.5 = 0.2 and (0.66 - 0.6) / 0.6 = 0.1
    gain = relative_improvement({"auc": 0.6, "uauc": 0.66}, {"auc": 0.5, "uauc": 0.6})
    assert gain == pytest.approx(0.15)
    assert relative_improvement({"auc": 0.6, "uauc": None}, {"auc": 0.5, "uauc": 0.6}) is None


@pytest.mark.usefixtures("folder")
def test_the_table_holds_relative_improvements_and_the_papers_own() -> None:
    found = report()["methods"]
    ours, mf = found["binllm"], found["mf"]
    gains = [(ours[metric] - mf[metric]) / mf[metric] for metric in ("auc", "uauc")]
    assert mf["relative_improvement"] == pytest.approx(sum(gains) / 2)
    # ml-1m, by hand: (.7425 - .6482) / .6482 = 14.55 %, (.6956 - .6361) / .6361 = 9.35 %
    assert mf["published"]["auc"] == 0.6482
    assert mf["published"]["relative_improvement"] == pytest.approx(0.1195, abs=5e-5)
    assert "relative_improvement" not in ours and ours["published"] == {
        "auc": 0.7425,
        "uauc": 0.6956,
    }


def test_the_paper_has_figures_for_every_method_on_its_data_sets() -> None:
    for figures in PUBLISHED.values():
        # Of compressed codes it gives the time alone.
        assert list(figures) == [method for method in TITLES if method != "binllm_compressed"]
    assert set(TITLES) == {*METHODS, "binllm"}


@pytest.mark.usefixtures("folder")
def test_a_data_set_that_is_not_the_papers_has_no_published_figures() -> None:
    Path("params.yaml").write_text(PARAMS.replace("ml-1m", "ml-100k"))
    assert all("published" not in it for it in report()["methods"].values())
    assert "paper" not in Path("data/report/table.md").read_text()
    head = cells()["method"]
    assert all(len(line) == len(head) for line in cells().values())


@pytest.mark.usefixtures("folder")
def test_methods_that_are_not_chosen_are_left_out_whatever_lies_about() -> None:
    for method in ("din", "binmf"):
        write_predictions(method, predictions(method)[:0])
    write_chosen(["collm_mf"])
    assert list(report()["methods"]) == ["mf", "tallrec", "collm_mf", "binllm"]
    assert "DIN" not in Path("data/report/table.md").read_text()
    write_chosen([])
    assert list(report()["methods"]) == list(ALWAYS)


@pytest.mark.usefixtures("folder")
def test_csv_and_markdown_say_what_the_json_says() -> None:
    found = report()["methods"]
    lines = pd.read_csv("metrics/table.csv", index_col="method")
    text = cells()
    assert list(lines.index) == list(found)
    assert list(text)[2:] == [TITLES[method] for method in found]
    for method, it in found.items():
        line, shown = (
            lines.loc[method],
            dict(zip(text["method"], text[TITLES[method]], strict=True)),
        )
        gap = it.get("difference", {})
        expected = {
            "auc": it["auc"],
            "uauc_low": it["intervals"]["uauc"]["low"],
            "users": it["uauc_users"],
            "auc_difference": gap.get("auc", {}).get("value"),
            "uauc_difference_high": gap.get("uauc", {}).get("high"),
            "relative_improvement": it.get("relative_improvement"),
            "parameters": it.get("parameters"),
            "seconds_per_1000_rows": it["seconds"]["per_1000_rows"],
            "fit_seconds": it["seconds"].get("fit"),
            "scored_rows": it["scored_rows"],
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
        assert shown["trained parameters"] == f"{it['parameters']:,}"
        assert shown["paper: AUC / UAUC, rel. imp."].startswith(f"{it['published']['auc']:.4f} / ")
        if method != "binllm":
            assert shown["rel. imp."] == f"{it['relative_improvement']:+.1%}"
            assert shown["BinLLM above it, AUC"].startswith(f"{gap['auc']['value']:+.4f} [")


@pytest.mark.usefixtures("folder")
def test_both_counts_of_rows_and_users_are_said() -> None:
    report()
    text = Path("data/report/table.md").read_text()
    assert "ml-1m: 280 of 420 test rows, 40 of 60 users" in text
    assert "Scored on all their rows and cut to these: MF, DIN, BinMF." in text


@pytest.mark.usefixtures("folder")
def test_seconds_are_those_of_the_costs() -> None:
    found = report()["methods"]
    assert found["mf"]["seconds"] == {"fit": 3.25, "per_1000_rows": pytest.approx(0.1)}
    assert found["din"]["seconds"] == {"per_1000_rows": 4.0}
    assert found["tallrec"]["seconds"] == {"fit": 60.5, "per_1000_rows": 4.0}


@pytest.mark.usefixtures("folder")
def test_warm_and_cold_rows_of_figure_2_are_those_of_the_table() -> None:
    found = report()["methods"]
    lines = pd.read_csv("metrics/plots/warm_cold.csv")
    assert list(lines["method"]) == 2 * ["MF", "TALLRec", "CoLLM-MF", "BinLLM"]
    slices = [name for name in ("warm", "cold") for _ in range(4)]
    methods = 2 * ["mf", "tallrec", "collm_mf", "binllm"]
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
    cold = report()["methods"]["mf"]["cold"]
    assert cold["users"] == COLD_USERS < FEWEST_USERS
    assert "auc" in cold and "intervals" not in cold


@pytest.mark.usefixtures("folder")
def test_undefined_metrics_are_left_out_everywhere() -> None:
    """No row is cold and every label is 1: counts, no NaN, and pictures all the same."""
    path = Path("data/interactions/test.parquet")
    rows = read_table(path, INTERACTIONS).to_pandas()
    write_table(rows.assign(label=1, seen=True), path, INTERACTIONS)
    for method in SHOWN:
        write_predictions(method, predictions(method).assign(label=1))
    found = report()["methods"]
    assert "auc" not in found["mf"] and found["mf"]["difference"] == {}
    assert "relative_improvement" not in found["mf"]
    assert found["mf"]["cold"] == {"uauc_users": 0, "rows": 0, "users": 0}
    assert cells()["MF"][:2] == ["-", "-"]
    assert len(pd.read_csv("metrics/plots/warm_cold.csv")) == 0


@pytest.mark.usefixtures("folder")
def test_the_pictures_are_pictures_of_a_readers_size() -> None:
    report()
    for name in ("methods", "warm_cold"):
        height, width, _ = matplotlib.image.imread(f"data/report/{name}.png").shape
        assert 1000 <= width <= 2000 and 400 <= height <= 1500


@pytest.mark.usefixtures("folder")
def test_the_same_inputs_give_the_same_bytes_whatever_the_order_of_rows() -> None:
    def outputs() -> dict[Path, bytes]:
        stage.main()
        paths = [Path("metrics/table.json"), Path("metrics/table.csv")]
        paths += [Path("metrics/plots/warm_cold.csv"), *sorted(Path("data/report").iterdir())]
        return {path: path.read_bytes() for path in paths}

    before = outputs()
    assert len(before) == 6
    for method in SHOWN:
        write_predictions(method, predictions(method).sample(frac=1, random_state=9))
    assert outputs() == before


# Several seeds.


def seeds(aucs: list[float], uaucs: list[float], rows: int = 10) -> dict[str, Any]:
    pairs = zip(aucs, uaucs, strict=True)
    runs = [{"seed": 1 + n, "auc": auc, "uauc": uauc} for n, (auc, uauc) in enumerate(pairs)]
    spread = {"mean": float(np.mean(aucs)), "sd": float(np.std(aucs, ddof=1))}
    return {"rows": rows, "runs": runs, "auc": spread, "uauc": spread}


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
    assert found["order"] == {"auc": {"mf": {"din": 2.5 / 4}}, "uauc": {"mf": {"din": 3.5 / 4}}}
    assert found["methods"]["mf"]["seeds"] == 4
    assert found["methods"]["mf"]["auc"] == {
        "mean": pytest.approx(0.65),
        "sd": pytest.approx(0.1290994),
    }


@pytest.mark.usefixtures("folder")
def test_seeds_stand_below_the_table_where_methods_ran_more_than_once() -> None:
    assert "seeds" not in report()
    one, other = seeds([0.7, 0.6], [0.7, 0.6]), seeds([0.65, 0.5], [0.8, 0.5])
    write_json("compare/mf", {"parameters": 1000, "seeds": one})
    write_json("pretrain_hash", {"parameters": 7, "seeds": other})
    found = report()["seeds"]
    assert list(found["methods"]) == ["mf", "binmf"]
    assert found["order"] == {"auc": {"mf": {"binmf": 1.0}}, "uauc": {"mf": {"binmf": 0.5}}}
    text = Path("data/report/table.md").read_text()
    assert "| MF | 2 | 10 | 0.6500 ± 0.0707 | 0.6500 ± 0.0707 |" in text
    assert "| MF | - / - | 100% / 50% |" in text


# The pipeline's own files.


def test_the_stage_depends_on_the_predictions_of_every_method_that_the_pipeline_makes() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    stages = YAML(typ="safe").load(text)["stages"]
    made = set()
    for stage_ in stages.values():
        items = list(stage_.get("foreach", [None]))
        for item in items:
            for out in stage_.get("do", stage_).get("outs", []):
                made.add(out.replace("${item}", str(item)).replace("${key}", str(item)))
    made = {out for out in made if out.startswith("data/predictions/")}
    assert {d for d in stages["report"]["deps"] if d.startswith("data/predictions/")} == made
    known = {f"data/predictions/{file_of(method)}.parquet" for method in TITLES}
    assert made <= known


# What is refused: one line, and no output.


def refuse(expected: str) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        stage.main()
    assert "\n" not in str(caught.value)
    assert not Path("metrics/table.json").exists() and not Path("data/report").exists()


@pytest.mark.usefixtures("folder")
def test_a_method_that_lacks_rows_is_refused() -> None:
    write_predictions("din", predictions("din")[3:])
    refuse(r"din\.parquet: lacks 3 of the rows in .*codes\.parquet, row 0 first")


@pytest.mark.usefixtures("folder")
def test_a_chosen_method_without_any_rows_is_refused() -> None:
    write_predictions("collm_mf", predictions("collm_mf")[:0])
    refuse(r"collm_mf\.parquet: lacks 280 of the rows")


@pytest.mark.usefixtures("folder")
def test_predictions_of_other_rows_are_refused() -> None:
    write_predictions("mf", predictions("mf").assign(iid=1))
    refuse(r"mf\.parquet: row \d+ has iid 1, but \d+ in .*test\.parquet")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("data/predictions/collm_mf.parquet", r"collm_mf\.parquet: no such file"),
        ("metrics/compare/mf.json", r"metrics/compare/mf\.json: no such file"),
        ("metrics/cost/codes.json", r"metrics/cost/codes\.json: no such file"),
        ("data/chosen/icl", "data/chosen/icl: no such file"),
    ],
)
def test_a_missing_file_is_refused(name: str, expected: str) -> None:
    Path(name).unlink()
    refuse(expected)


@pytest.mark.usefixtures("folder")
def test_metrics_that_are_no_json_are_refused() -> None:
    Path("metrics/train_lora/text.json").write_text("{")
    refuse(r"metrics/train_lora/text\.json: no JSON")


@pytest.mark.usefixtures("folder")
def test_a_bad_value_is_refused() -> None:
    Path("params.yaml").write_text(PARAMS.replace("replicates: 200, level: 0.95}\n", "level: 1}\n"))
    refuse(r"params\.yaml: report\.")
