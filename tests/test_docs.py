"""What the documentation says is what committed files say; its links and commands hold."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from ruamel.yaml import YAML

from benchmarks import search_levels, search_prompts, search_steps
from benchmarks.search_codes import markdown
from stages.measures.code_quality import health_line
from stages.measures.layout import seeds_grid
from stages.measures.quality import METRICS
from stages.measures.summary import summary_table
from tests.changed_params import ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def flowing(name: str) -> str:
    """Returns a document without its line breaks, as its sentences are looked for."""
    return " ".join(read(name).split())


def recorded(name: str) -> dict[str, Any]:
    return json.loads(read(name))


def documents() -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    found = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in found.stdout.splitlines() if (ROOT / name).is_file()]


# Figures.


def test_the_table_of_codes_is_that_of_the_committed_search() -> None:
    assert markdown(recorded("benchmarks/searches/codes.json")) in read("docs/hash-search.md")


def test_the_table_of_ways_to_write_codes_is_that_of_the_committed_search() -> None:
    found = recorded("benchmarks/searches/prompts.json")
    assert search_prompts.markdown(found) in read("docs/prompts.md")


def test_the_table_of_levels_is_that_of_the_committed_search() -> None:
    found = recorded("benchmarks/searches/levels.json")
    assert search_levels.markdown(found) in read("docs/prompts.md")


def test_the_table_of_popularity_is_that_of_the_committed_runs() -> None:
    found, document = recorded("benchmarks/searches/popularity.json"), read("docs/prompts.md")
    for run in found["ml-100k"].values():
        valid = _short(run["valid_auc_of_300_rows"])
        assert all(cell in document for cell in (_pair(run["codes"]), valid, _pair(run["taste"])))
    assert all(_pair(run["codes"]) in document for run in found["ml-1m"].values())


def _pair(row: dict[str, float]) -> str:
    return f"{_short(row['auc'])} / {_short(row['uauc'])}"


def test_the_table_of_steps_is_that_of_the_committed_search() -> None:
    found = recorded("benchmarks/searches/steps.json")
    assert search_steps.markdown(found) in read("benchmarks/README.md")


@pytest.mark.parametrize("data", ["ml-100k", "ml-1m"])
def test_the_table_of_seeds_and_each_seeds_figures_are_those_of_the_committed_run(
    data: str,
) -> None:
    found = recorded(f"docs/{data}/seeds.json")
    part = read("docs/seeds.md").split("\n## ")[1 + ["ml-100k", "ml-1m"].index(data)]
    assert part.startswith(data) and seeds_grid(found["seeds"], found["methods"]) in part
    for method, it in found["seeds"]["methods"].items():
        runs = sorted(it["runs"], key=lambda run: run["seed"])
        told = [f"seed {run['seed']} {_pair(run)}" for run in runs]
        line = f"- {found['methods'][method]['title']}, AUC / UAUC: {'; '.join(told)}.\n"
        assert line in part
    beside = (("bias", "`bias`"), ("taste", "codes of taste"), ("binmf", "BinMF"))
    for method, title in beside:
        assert f"{title} {_pair(found['methods'][method])}" in part


def test_the_table_of_another_machine_is_that_of_the_committed_runs() -> None:
    """And the README's and seeds.md's sentences on it: there, BinLLM ranks below its codes."""
    found, document = recorded("benchmarks/searches/onset.json"), read("docs/table.md")
    for run in found["runs"]:
        cells = [
            run["machine"],
            f"{run['learning_rate']:.0e}".replace("e-0", "e-"),
            f"{run['train_rows']:,}",
            str(run["seed"]),
            *(f"{loss:.3f}".removeprefix("0") for loss in run["losses"]),
            *(f"{run[metric]:.4f}" for metric in METRICS),
            *(gap_cell(run[above]["auc"]) for above in ("above_codes", "above_bias")),
        ]
        assert f"| {' | '.join(cells)} |\n" in document
    record, *there = found["runs"]
    ours = recorded("metrics/evaluate.json")["methods"]["codes"]
    assert {m: record[m] for m in METRICS} == {m: round(ours[m], 4) for m in METRICS}
    default = [run for run in there if (run["learning_rate"], run["train_rows"]) == (1e-3, 2301)]
    assert default[0]["above_codes"]["auc"]["high"] < 0 < -default[1]["above_codes"]["auc"]["value"]
    low, high = sorted(f"{-run['above_codes']['auc']['value']:.3f}"[1:] for run in default)
    assert f"ended {low} and {high} AUC below their codes" in flowing("docs/seeds.md")
    assert "the same seed ended below its codes" in flowing("README.md")
    (more,) = (run for run in there if run["train_rows"] == 4600)
    assert includes_0(more["above_codes"]["auc"]) and more["above_bias"]["auc"]["low"] > 0
    assert f"{in_words(more['above_bias']['auc'])} above `bias`" in flowing("docs/table.md")


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def test_the_readmes_table_is_what_make_show_prints() -> None:
    printed = summary_table(recorded("metrics/evaluate.json"))
    block = read("README.md").split("```\n")[1]
    assert block == printed + "\n", "paste what `make show` prints"


ABOVE = ("above_bias", "above_title_bias")


def includes_0(gap: dict[str, float]) -> bool:
    return gap["low"] < 0 < gap["high"]


def in_words(gap: dict[str, float]) -> str:
    """Returns a difference with its interval, all above 0, as sentences have it."""
    value, low, high = (f"{gap[key]:.3f}".removeprefix("0") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


# What the README says in words of its table -> whether the recorded figures bear it out.
SAID: dict[str, Callable[[dict[str, Any]], bool]] = {
    "in AUC and, within users, in GAUC they rank above both biases": lambda it: all(
        it["taste"][above][metric]["low"] > 0 for above in ABOVE for metric in ("auc", "gauc")
    ),
    "In UAUC nothing can be seen": lambda it: all(
        includes_0(it["taste"][above]["uauc"]) for above in ABOVE
    ),
    "BinLLM ranks better than BinMF and than both biases": lambda it: all(
        gap[metric]["low"] > 0
        for gap in (it["binmf"]["difference"], *(it["codes"][above] for above in ABOVE))
        for metric in ("auc", "gauc")
    ),
    "and cannot be told from its own codes": lambda it: all(
        includes_0(it["taste"]["difference"][metric]) for metric in METRICS
    ),
    "BinLLM's AUC is far above that of titles alone": lambda it: (
        it["text"]["difference"]["auc"]["low"] > 0.02
    ),
    "Item kNN has the highest AUC, not told from BinLLM's": lambda it: (
        max(it, key=lambda name: it[name]["auc"]) == "item_knn"
        and includes_0(it["item_knn"]["difference"]["auc"])
    ),
}


def test_what_the_readme_says_of_three_seeds_is_so() -> None:
    seeds = recorded("docs/ml-100k/seeds.json")["seeds"]["methods"]
    gaps = seeds["codes"]["above_bias"], seeds["rates"]["difference"]
    assert seeds["codes"]["seeds"] == seeds["rates"]["seeds"] == 3
    above_bias, without_codes = (in_words(gap["auc"]) for gap in gaps)
    said = (
        f"above `bias` in AUC, by {above_bias}, and by {without_codes} above prompts without codes"
    )
    assert f"{said}; both within users, too, in GAUC" in flowing("README.md")
    assert all(gap["gauc"]["low"] > 0 and includes_0(gap["uauc"]) for gap in gaps)


@pytest.mark.parametrize("said", SAID)
def test_what_the_readme_says_of_its_table_is_so(said: str) -> None:
    assert said in flowing("README.md")
    assert SAID[said](recorded("metrics/evaluate.json")["methods"])


def test_the_readmes_headline_is_what_dvc_metrics_shows() -> None:
    found = recorded("metrics/main.json")
    header, values = (
        re.search(rf"^    {start} .*$", read("README.md"), re.M)
        for start in ("Path", "metrics/main.json")
    )
    assert header and values
    names = sorted(found)
    assert header[0].split() == ["Path", *names]
    assert values[0].split() == ["metrics/main.json", *(str(found[name]) for name in names)]


def test_the_figures_of_all_test_rows_are_those_of_the_committed_metrics() -> None:
    for method in recorded("metrics/evaluate.json")["methods"].values():
        if method["kind"] == "variant":
            continue
        found = method.get("all_rows", method)
        cells = [
            method["title"],
            *(with_interval(found, metric) for metric in ("auc", "uauc")),
            f"{found['uauc_users']} | {found['ndcg']:.4f} | {method['valid_auc']:.4f}",
            f"{method['parameters']:,}",
        ]
        assert f"| {' | '.join(cells)} |\n" in read("docs/compare.md")


def with_interval(found: dict[str, Any], metric: str) -> str:
    low, high = (found["intervals"][metric][end] for end in ("low", "high"))
    return f"{found[metric]:.4f} [{low:.3f}, {high:.3f}]"


def gap_cell(gap: dict[str, float]) -> str:
    return f"{gap['value']:+.4f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"


@pytest.mark.parametrize(
    ("data", "name", "differences"),
    [
        ("ml-100k", "seeds", ("above_bias", "difference")),
        ("ml-1m", "seeds", ("above_bias", "difference")),
        ("ml-1m", "all_rows", ABOVE),
    ],
)
def test_tables_of_all_methods_are_those_of_their_files(
    data: str, name: str, differences: tuple[str, str]
) -> None:
    document = read(f"docs/{data}/README.md")
    methods = recorded(f"docs/{data}/{name}.json")["methods"]
    for it in methods.values():
        cells = [with_interval(it, metric) for metric in METRICS]
        for gap in differences:
            cells += [gap_cell(it[gap][m]) if gap in it else "-" for m in ("auc", "gauc")]
        assert re.search(
            rf"^\|[* ]+{re.escape(it['title'])}[* ]+\| {re.escape(' | '.join(cells))} \|",
            document,
            re.M,
        ), it["title"]


def test_all_rows_of_ml_1m_are_all() -> None:
    protocol = recorded("docs/ml-1m/all_rows.json")["protocol"]
    assert protocol["rows"] == protocol["test_rows"] == 7331


def test_what_is_said_of_all_rows_of_ml_1m_is_so() -> None:
    """BinLLM and ID-only are above `bias`; few rows are not enough, and codes add a little."""
    document = flowing("docs/ml-1m/README.md")
    found = recorded("docs/ml-1m/all_rows.json")
    methods, seeds = found["methods"], found["seeds"]["methods"]
    for name in ("codes", "id_only_few_rows"):
        auc, gauc = (seeds[name]["above_bias"][metric] for metric in ("auc", "gauc"))
        assert min(auc["low"], gauc["low"]) > 0
        said = " GAUC" if name == "id_only_few_rows" else " GAUC, under seed 1"
        assert f"{in_words(auc)} AUC and {in_words(gauc)}{said}" in document
        spread = (
            f"{_short(seeds[name][m]['mean'])} ± {_short(seeds[name][m]['sd'])}"
            for m in ("auc", "uauc")
        )
        assert " AUC and ".join(spread) in document
        for it in (seeds[name], methods[name]):
            assert all(includes_0(it["above_title_bias"][metric]) for metric in METRICS)
    told = [methods["codes"]["above_bias"], methods["binmf"]["difference"]]
    for auc, gauc in ((gap["auc"], gap["gauc"]) for gap in told):
        assert f"{in_words(auc)} AUC and {in_words(gauc)} GAUC" in document
    for name in ("taste", "title_bias", "title_knn", "id_only", "id_only_few_rows"):
        assert all(includes_0(methods[name]["difference"][metric]) for metric in METRICS), name
    for name in ("rates", "few_rows"):
        gap = methods[name]["difference"]["auc"]
        assert gap["low"] > 0 and in_words(gap) in document
    few = methods["few_rows"]
    assert includes_0(few["above_bias"]["auc"]) and few["above_title_bias"]["auc"]["high"] < 0
    assert max(methods, key=lambda name: methods[name]["auc"]) == "title_knn"
    above_bias = in_words(seeds["codes"]["above_bias"]["auc"])
    assert f"above `bias`, by {above_bias}, and not told" in flowing("README.md")


def test_what_is_said_of_ml_1m_s_rows_is_so() -> None:
    """No LLM is above `bias`; who is told from BinLLM is listed, and over seeds what codes add."""
    document, found = (
        flowing("docs/ml-1m/README.md"),
        recorded("docs/ml-1m/seeds.json"),
    )
    methods, seeds = found["methods"], found["seeds"]["methods"]
    assert "No row with an LLM is above `bias` by an interval" in document
    with_llm = [it for it in methods.values() if it["kind"] in ("variant", "llm method")]
    assert all(it["above_bias"][m]["low"] <= 0 for it in with_llm for m in METRICS)
    alike = {"item_mean", "bias", "title_bias", "item_knn", "title_knn"}
    alike |= {"sasrec", "din", "taste", "binmf"}
    above = {"mf", "lightgcn", "text", "collm_din", "ctrl", "prompt4nr", "personprompt", "icl"}
    for names, told in ((alike | {"collm_mf"}, False), (above, True)):
        for name in names:
            gap = methods[name]["difference"]["gauc"]
            assert (not includes_0(gap)) == told, name
    gap = seeds["rates"]["difference"]
    assert f"by {in_words(gap['auc'])} AUC and {in_words(gap['uauc'])} UAUC" in document


def test_what_is_said_of_ml_100k_s_rows_is_so() -> None:
    document = flowing("docs/ml-100k/README.md")
    found = recorded("docs/ml-100k/seeds.json")
    methods, seeds = found["methods"], found["seeds"]["methods"]
    assert max(methods, key=lambda name: methods[name]["auc"]) == "item_knn"
    for name in ("item_knn", "taste"):
        assert all(methods[name]["above_bias"][m]["low"] > 0 for m in ("auc", "gauc"))
    further = {f"{name}_nine_levels" for name in ("id_only", "intuitive")}
    alike = {"item_knn", "mf", "lightgcn", "din", "ctrl", "taste", "nine_levels", *further}
    above = {"bias", "title_bias", "item_mean", "title_knn", "sasrec", "binmf", "text"}
    above |= {"collm_mf", "collm_din", "compressed_nine_levels", "rates"}
    above |= {"icl", "prompt4nr", "personprompt"}
    assert alike | above | {"codes"} == set(methods)
    for name in alike | above:
        gap = methods[name]["difference"]["auc"]
        assert (gap["low"] > 0) == (name in above) and (includes_0(gap) or gap["low"] > 0), name
    within_users = ("bias", "title_bias", "mf", "lightgcn", "din", "ctrl")
    assert all(methods[name]["difference"]["gauc"]["low"] > 0 for name in within_users)
    assert all(includes_0(methods["taste"]["difference"][metric]) for metric in METRICS)
    assert all(includes_0(methods["nine_levels"]["above_bias"][m]) for m in METRICS)
    with_llm = [name for name, it in methods.items() if it["kind"] in ("variant", "llm method")]
    told = [name for name in with_llm if methods[name]["above_bias"]["auc"]["low"] > 0]
    assert sorted(told) == ["codes", *sorted(further)]
    below = [seeds[name]["above_bias"]["auc"]["high"] for name in ("collm_mf", "collm_din")]
    assert max(below) < 0
    for gap in (
        *(methods[name]["above_bias"]["auc"] for name in further),
        *(methods["codes"]["above_bias"][metric] for metric in ("auc", "gauc")),
        *(methods["codes"]["above_title_bias"][metric] for metric in ("auc", "gauc")),
        seeds["nine_levels"]["difference"]["gauc"],
        seeds["collm_mf"]["difference"]["auc"],
        seeds["collm_din"]["difference"]["auc"],
    ):
        assert in_words(gap) in document


def test_what_codes_cost_is_what_the_stage_measured() -> None:
    found, document = recorded("metrics/cost.json"), read("docs/cost.md")
    for way in ("no codes", "digits", "words", "dot-decimal"):
        it = found[way]
        tokens = f"{it['tokens_per_prompt']:.0f} | {it['tokens_computed']:.0f}"
        rates = f"{it['seconds']:.2f} | {it['rows_per_second']:.1f}"
        assert f"| {way} | {tokens} | {rates} |\n" in document
    saved = found["saved_by_compression"]
    told = (
        f"Dot-decimal codes save {saved['tokens_per_prompt']:.0%} of the tokens of digits, "
        f"and {saved['seconds']:.0%} of the time here."
    )
    assert told.replace("%", " %") in " ".join(document.split())


def test_the_lines_on_the_codes_health_are_those_of_the_committed_metrics() -> None:
    for name in ("taste", "binmf"):
        line = health_line(name, recorded(f"metrics/pretrain_hash/{name}.json"))
        assert f"{line}\n" in read("docs/hash-search.md")


@pytest.mark.parametrize(
    ("document", "method", "data"),
    [
        ("docs/ml-1m/README.md", "item_mean", "ml-1m"),
        ("docs/ml-1m/README.md", "bias", "ml-1m"),
        ("docs/compare.md", "title_bias", "ml-1m"),
        ("docs/compare.md", "title_bias", "ml-100k"),
        ("docs/compare.md", "title_knn", "ml-1m"),
        ("docs/compare.md", "title_knn", "ml-100k"),
        ("docs/hash-search.md", "item_knn", "ml-1m"),
        ("docs/hash-search.md", "item_knn", "ml-100k"),
    ],
)
def test_the_simplest_rows_are_those_of_the_committed_search(
    document: str, method: str, data: str
) -> None:
    settings = YAML(typ="safe").load(read("params.yaml"))["compare"][method]
    runs = recorded("benchmarks/searches/main_effects.json")[method]
    (test,) = (run[data]["test"] for run in runs if run["settings"] == settings)
    assert " / ".join(f"{it:.4f}".removeprefix("0") for it in test) in read(document)


# Links and commands.


def anchors(document: str) -> set[str]:
    """Returns the anchors that GitHub makes of a document's headings."""
    text = re.sub(r"^```.*?^```", "", read(document), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", it.lower()).replace(" ", "-") for it in headings}


@pytest.mark.parametrize("document", documents())
def test_every_link_within_the_project_leads_somewhere(document: str) -> None:
    text = re.sub(r"^```.*?^```", "", read(document), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


def test_the_index_names_every_document() -> None:
    index = re.findall(r"\]\(([^)#\s]+)\)", read("docs/README.md"))
    named = {(ROOT / "docs" / link).resolve() for link in index}
    wanted = {ROOT / name for name in documents() if name.startswith("docs/")}
    assert wanted - {ROOT / "docs/README.md"} <= named


def test_every_key_set_in_a_documented_command_is_one_of_params_yaml() -> None:
    params = YAML(typ="safe").load(read("params.yaml"))
    parser = OverridesParser.create()
    found = []
    for document in documents():
        for quoted, plain in re.findall(r"-S (?:'([^']+)'|([^\s'`]+))", read(document)):
            override = parser.parse_override(quoted or re.sub("<.*", "x", plain))
            found.append(override.key_or_group)
            *outer, last = override.key_or_group.split(".")
            section = params
            for part in outer:
                section = section[part]
            assert override.is_add() != (last in section), f"{document}: {quoted or plain}"
    assert len(found) > 50


def test_every_module_run_in_a_documented_command_is_there() -> None:
    for document in documents():
        for name in re.findall(
            r"python -m ((?:stages|benchmarks)(?:\.\w+)*)(?!\.<)", read(document)
        ):
            path = Path(ROOT, *name.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(read("README.md").splitlines()) < 200
