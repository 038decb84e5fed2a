"""The page of a run: what it says, that it asks no network, how it looks in a browser."""

import base64
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from stages import evaluate, report
from stages.io import paths
from stages.io.errors import InputError
from stages.io.tables import (
    INTERACTIONS,
    PROMPTS,
    REPEATS,
    read_table,
    write_csv,
    write_json,
    write_table,
)
from stages.measures import __main__ as command
from stages.measures.page.html import differing, prompts_along_the_scores
from stages.measures.page.record import flat_params, from_folder, read_record
from tests.scored import FACTS, predictions, write_plan, write_row, write_test_rows

ROOT = Path(__file__).resolve().parent.parent
ROWS = ("bias", "title_bias", "mf", "binmf", "text", "codes")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
NASTY = 'The "<b>$5 & 10%</b>" Film'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which a run has left its record, and the page of it."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copy(ROOT / "params.yaml", folder)
        git("init", "-q", "-b", "main")
        git("add", "-A")
        git("commit", "-qm", "start")
        params = Path("params.yaml").read_text()
        Path("params.yaml").write_text(params.replace("compress: false", "compress: true", 1))
        write_run()
        evaluate.main()
        report.main()
    return folder


def git(*words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_run() -> None:
    """Writes what `evaluate` and `report` read, of 60 users."""
    rng = np.random.default_rng(5)
    n = 60 * 7
    test = pd.DataFrame({"row": np.arange(n), "uid": np.repeat(np.arange(1, 61), 7)})
    test = test.assign(iid=rng.integers(1, 90, n), label=rng.integers(0, 2, n), timestamp=range(n))
    test = test.assign(history=[[] for _ in range(n)], seen=rng.random(n) < 0.8)
    write_test_rows(test.assign(warm=test["seen"]))
    for row in ROWS:
        scored = test[FACTS].assign(score=test["label"] + rng.normal(size=n))
        write_row(row, scored, tokens_per_prompt=241.0)
    write_plan(list(ROWS), codes="binmf")
    side = {"codes": 60, "distinct": 0.5, "effective_bits": 13.2, "lopsided": 0.1}
    write_json({"health": {"user": side, "item": side}}, paths.code_quality("binmf"))
    bits = {"side": ["user", "item"], "bit": [0, 0], "balance": [0.4, 0.9], "entropy": [0.9, 0.5]}
    write_csv(pd.DataFrame(bits), paths.PLOTS / "bits_binmf.csv")
    curve = pd.DataFrame({"rows": [25, 50, 100], "loss": [0.7, None, 0.6], "auc": [None, 0.5, 0.6]})
    for variant in ("text", "codes"):
        write_csv(curve, paths.PLOTS / f"training_{variant}.csv")
    cost = {"codes": ["no codes", "bits"], "tokens_per_prompt": [165.0, 239.0]}
    write_csv(pd.DataFrame(cost), paths.PLOTS / "cost.csv")
    split = {"rows": 420, "positive_share": 0.5}
    data = {"dataset": "ml-100k", "rows": 1260, "users": 60, "items": 90}
    write_json({**data, "train": split, "valid": split, "test": split}, paths.METRICS / "data.json")
    llm = {"source": "smollm2-135m", "layers": 30, "parameters": 134_515_008, "sha256": "ab" * 32}
    write_json(llm, paths.LLM_FOLDER / "llm.json")
    written = test[["row", "uid", "iid", "label"]].assign(teacher=0.5, n_tokens=9)
    written["prefix"] = [f'Items the user liked: "{NASTY}"' for _ in range(n)]
    written["suffix"] = [f"\nItem: {row}\nAnswer:" for row in written["row"]]
    write_table(written, paths.prompts_folder("codes") / "test.parquet", PROMPTS)


def page(run: Path) -> str:
    return (run / "data/report/report.html").read_text()


class Elements(HTMLParser):
    """All tags with their attributes, and whether each that opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(text)
    assert not parser.open
    return parser.found


def test_the_page_is_one_file_that_names_nothing_outside_itself(run: Path) -> None:
    assert [path.name for path in (run / "data/report").iterdir()] == ["report.html"]
    text = page(run)
    for tag, attributes in elements(text):
        assert tag not in ("script", "img", "iframe", "object", "embed", "base")
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert not re.search(r"https?://|@import|url\((?!#)", text)


def test_every_row_stands_in_the_table_with_its_intervals(run: Path) -> None:
    table = json.loads((run / "metrics/evaluate.json").read_text())["methods"]
    text = page(run).split("<h2>Plots</h2>")[0]
    for row in ROWS:
        found = table[row]
        (line,) = re.findall(
            rf"<td>{re.escape(html.escape(found['title']))}</td>.*?</tr>", text, re.S
        )
        for metric in ("auc", "uauc", "ndcg"):
            span = found["intervals"][metric]
            assert f"{found[metric]:.4f}" in line
            assert f"[{span['low']:.3f}, {span['high']:.3f}]" in line
        for simplest in {"bias", "title_bias"} - {row}:
            for metric in ("auc", "gauc"):
                assert f"{found[f'above_{simplest}'][metric]['value']:+.4f}" in line


def test_without_several_seeds_there_is_no_table_of_them(run: Path) -> None:
    assert "Under several seeds" not in page(run)


def test_what_ran_under_several_seeds_has_mean_deviation_and_differences(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    again = predictions("mf").assign(seed=2)[["seed", "row", "score"]]
    again["score"] += np.random.default_rng(6).normal(size=len(again))
    write_table(again, paths.repeats("mf"), REPEATS)
    evaluate.main()
    report.main()
    found = json.loads(paths.TABLE.read_text())["seeds"]["methods"]["mf"]
    (line,) = re.findall(r"<td>MF</td>.*?</tr>", page(Path()).split("Under several seeds")[1], re.S)
    for metric in ("auc", "uauc", "gauc"):
        assert f"{found[metric]['mean']:.4f}" in line and f"± {found[metric]['sd']:.4f}" in line
    for simplest in ("bias", "title_bias"):
        gap = found[f"above_{simplest}"]["gauc"]
        assert f"{gap['value']:+.4f}" in line and f"[{gap['low']:+.4f}, {gap['high']:+.4f}]" in line


def test_the_headline_of_the_page_is_that_of_the_metrics(run: Path) -> None:
    found = json.loads((run / "metrics/main.json").read_text())
    shown = re.findall(r"<b>([^<]+)</b>", page(run).split("</section>")[0])
    ours = json.loads((run / "metrics/evaluate.json").read_text())["methods"]["codes"]
    expected = [f"{it:.4f}" for it in (found["auc"], found["uauc"], ours["gauc"])]
    expected += [f"{found[name]:+.4f}" for name in ("bias", "binmf")]
    assert shown == [*expected, f"{found['valid']:.4f}", "241", "30"]


def test_all_plots_are_drawn(run: Path) -> None:
    labels = [of["aria-label"] for tag, of in elements(page(run)) if tag == "svg"]
    assert labels == [
        *("AUC of all methods", "UAUC of all methods", "GAUC of all methods"),
        *("ROC on the scored test rows", "Warm and cold rows"),
        *("Training: validation AUC", "Training: loss"),
        *("Bits of BinMF", "What codes cost"),
    ]
    ids = re.findall(r'href="#([^"]+)"', page(run))
    assert ids and all(f'id="{name}"' in page(run) for name in ids)


def test_validation_auc_is_drawn_where_it_has_more_than_its_last_point(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for variant in ("text", "codes"):
        path = paths.PLOTS / f"training_{variant}.csv"
        write_csv(pd.read_csv(path)[[True, False, True]], path)
    report.main()
    text = page(tmp_path / "copy")
    assert "Training: validation AUC" not in text and "Training: loss" in text


def test_drawings_take_their_colours_from_the_page(run: Path) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", page(run), re.S))
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) <= {"#ffffff", "#000000"}
    assert "var(--ink)" in drawings and "var(--ours)" in drawings


def test_ten_prompts_stand_with_scores_from_the_highest_to_the_lowest(run: Path) -> None:
    text = page(run)
    scores = [float(it) for it in re.findall(r'<div class="prompt"><b>([^<]+)</b>', text)]
    assert len(scores) == 10 and scores == sorted(scores, reverse=True)
    scored = pd.read_parquet(run / "data/predictions/codes.parquet")["score"]
    assert scores[0] == pytest.approx(scored.max(), abs=5e-4)
    assert scores[-1] == pytest.approx(scored.min(), abs=5e-4)
    assert text.count(str(escape(NASTY))) == 10
    assert NASTY not in text


def test_fewer_prompts_than_ten_are_all_shown_once() -> None:
    scored = pd.DataFrame({"text": ["a", "b", "c"], "label": [1, 0, 1], "row": [1, 2, 3]})
    found = prompts_along_the_scores(scored.assign(score=[0.5, 2.0, 0.5]))
    assert [(it.text, it.rank) for it in found] == [("b", 1), ("a", 2), ("c", 3)]


def test_params_that_differ_from_the_commits_are_told_and_the_commit_is_named(run: Path) -> None:
    text = page(run).split("Params that differ from the defaults")[1]
    rows = re.findall(
        r"<tr><td>([^<]+)</td><td class=\"text\">([^<]+)</td>", text.split("<details>")[0]
    )
    assert rows == [("compress", "True")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run)
        assert f"{git('rev-parse', '--short=10', 'HEAD')} and uncommitted changes" in page(run)


def test_without_git_the_page_says_that_defaults_are_not_known(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    report.main()
    text = page(tmp_path / "copy")
    assert "not known (no git here)" in text and "without git" in text


def test_the_same_record_gives_the_same_page(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    before = page(run)
    report.main()
    assert page(run) == before


def test_keys_have_dots_between_their_parts_and_lists_are_values() -> None:
    assert flat_params("a: {b: 1, c: {}}\nd: [x, y]\n") == {"a.b": 1, "a.c": {}, "d": ["x", "y"]}
    assert differing({"a": 1, "b": 2}, {"a": 1, "c": 3}) == {"b": (2, "-"), "c": ("-", 3)}


def test_a_missing_file_of_the_record_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    with pytest.raises(
        InputError, match=r"^metrics/evaluate\.json: no such file; run `dvc repro`$"
    ):
        read_record("this run", from_folder)


@pytest.mark.parametrize("text", ["", '{"methods": ', "[1]", "null"])
def test_a_damaged_file_of_the_record_is_told(text: str) -> None:
    with pytest.raises(InputError, match=r"^metrics/evaluate\.json: no JSON object, as a run"):
        read_record("this run", lambda path: text)


def test_where_nothing_can_be_measured_there_is_a_page_all_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All items are liked, two rows are in the table, and prompts hold no codes."""
    shutil.copytree(run, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    test = read_table(paths.TEST_ROWS, INTERACTIONS).to_pandas().assign(label=1)
    write_test_rows(test)
    for row in ("text", "codes"):
        write_row(row, test[FACTS].assign(score=0.0), valid_auc=None)
    write_plan(["text", "codes"])
    evaluate.main()
    report.main()
    text = page(Path())
    assert re.search(r"<td>BinLLM</td>\s*<td>- </td>\s*<td>- </td>", text)
    assert "No verdict: 60 users, of whom 0 have both labels" in text
    assert text.count('<div class="prompt">') == 10
    elements(text)


# Several runs side by side.


@pytest.fixture
def committed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run as a branch, and as an experiment whose params and figures differ."""
    folder = tmp_path / "committed"
    shutil.copytree(run, folder)
    monkeypatch.chdir(folder)
    git("add", "-A", "metrics", "params.yaml")
    git("commit", "-qm", "run")
    table = json.loads(paths.TABLE.read_text())
    table["methods"]["codes"]["auc"] = 0.9876
    paths.TABLE.write_text(json.dumps(table))
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("seed: 1 ", "seed: 7 ", 1))
    git("commit", "-qam", "experiment")
    git("update-ref", "refs/exps/ab/cdef/seventh-seed", "HEAD")
    git("reset", "-q", "--hard", "HEAD~1")
    return folder


def compare(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["measures", "--compare", *words])
    command.main()


def test_revisions_and_experiments_stand_side_by_side(
    committed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(monkeypatch, "main", "seventh-seed", "--out", "both.html")
    text = (committed / "both.html").read_text()
    elements(text)
    (line,) = re.findall(r"<td>BinLLM</td>.*?</tr>", text.split("UAUC of every row")[0], re.S)
    auc = json.loads(paths.TABLE.read_text())["methods"]["codes"]["auc"]
    assert re.findall(r"<td>(0\.\d{4})", line) == [f"{auc:.4f}", "0.9876"]
    changed = text.split("Params that differ")[1].split("<h2>")[0]
    assert re.findall(r"<td[^>]*>([^<]+)</td>", changed) == ["seed", "1", "7"]
    assert text.count("<svg") == 6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no-such", "'no-such': no commit, branch, tag or experiment"),
        ("HEAD~1", r"metrics/evaluate\.json is not in 'HEAD~1'"),
    ],
)
def test_a_revision_that_is_none_or_has_no_run_is_refused(
    committed: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        compare(monkeypatch, "main", name, "--out", "both.html")
    assert not (committed / "both.html").exists()


# In a browser.


def seen(folder: Path, text: str, width: int, *switches: str) -> dict[str, Any]:
    """Opens the page in a frame of that width; returns what a script finds in it."""
    script = """
    const inside = document.querySelector("iframe").contentWindow, page = inside.document;
    const told = { width: page.documentElement.scrollWidth, title: page.title,
      room: page.documentElement.clientWidth,
      requests: inside.performance.getEntriesByType("resource").map(it => it.name),
      paper: inside.getComputedStyle(page.body).backgroundColor,
      ink: inside.getComputedStyle(page.querySelector("svg text")).fill,
      drawings: [...page.querySelectorAll("svg")].map(it => it.getBoundingClientRect().width),
      letters: Math.min(...[...page.querySelectorAll("svg text")].map(
        it => it.getBoundingClientRect().height)) };
    document.body.innerHTML = "<pre>" + btoa(JSON.stringify(told)) + "</pre>";
    """
    frame = f'<iframe style="width:{width}px;border:0" srcdoc="{html.escape(text)}"></iframe>'
    wrapper = folder / f"frame{width}.html"
    wrapper.write_text(f'<meta charset="utf-8">{frame}<script>onload = () => {{{script}}}</script>')
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000"]
    words += [f"--user-data-dir={folder / 'profile'}", "--dump-dom", *switches, f"file://{wrapper}"]
    done = subprocess.run(
        [BROWSER, *words], capture_output=True, text=True, timeout=300, check=True
    )
    (coded,) = re.findall(r"<pre>([^<]+)</pre>", done.stdout)
    return json.loads(base64.b64decode(coded))


def brightness(colour: str) -> float:
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


@pytest.mark.skipif(not BROWSER, reason="no chromium, chromium-browser or google-chrome here")
def test_in_a_browser_the_page_fits_a_phone_and_asks_nothing(run: Path, tmp_path: Path) -> None:
    found = seen(tmp_path, page(run), 390)
    assert found["title"] == "BinLLM on ml-100k"
    assert found["requests"] == []
    # Nothing but tables scrolls sideways, and these by themselves.
    assert found["width"] == found["room"] <= 390
    assert len(found["drawings"]) == 9 and min(found["drawings"]) > 300
    assert found["letters"] >= 9
    assert brightness(found["paper"]) > 0.9 and brightness(found["ink"]) < 0.2


@pytest.mark.skipif(not BROWSER, reason="no chromium, chromium-browser or google-chrome here")
def test_in_the_dark_letters_are_light_in_text_and_drawings(run: Path, tmp_path: Path) -> None:
    dark = seen(tmp_path, page(run), 1200, "--blink-settings=preferredColorScheme=0")
    assert brightness(dark["paper"]) < 0.15 and brightness(dark["ink"]) > 0.8
