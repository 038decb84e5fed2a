"""The plan: the rows of the table, the settings in each item's key file, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import methods, plan
from stages.io import paths
from stages.io.errors import InputError
from stages.io.params import load_section
from stages.measures import papers_rows
from stages.prompts.settings import MaterializePrompts
from tests.changed_params import ROOT, write_params
from tests.published import PUBLISHED, TITLES

# All that the paper's tables have rows for, and the methods that it does not compare.
EVERYTHING: dict[str, Any] = {
    "compare.methods": [
        *("item_mean", "bias", "title_bias", "item_knn", "title_knn"),
        *("mf", "lightgcn", "sasrec", "din", "ctrl"),
    ],
    "compare_llm.methods": ["icl", "prompt4nr", "personprompt"],
    "compare_llm.on_vectors": ["mf", "din"],
    "prompts.id_only": {"content": "codes/taste", "changes": {"fields": ["codes"]}},
    "prompts.compressed": {"content": "codes/taste", "changes": {"compress": True}},
    "variants.id_only": {"prompts": "id_only", "start": "llm"},
    "variants.intuitive": {"prompts": "codes", "start": "llm"},
    "variants.compressed": {"prompts": "compressed", "start": "adapters/text"},
}
# Further sets of codes, one of each recipe.
FURTHER_CODES: dict[str, Any] = {
    "codes.wide": {"dim": 64},
    "codes.wide_paper": {"recipe": "paper", "dim": 64},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Plans with the project's params but for some keys; returns the rows of the table."""
    write_params(changes or {})
    plan.main()
    return json.loads(Path("data/plan/rows.json").read_text())


def key_files() -> dict[str, str]:
    """Returns the text of each file of the plan."""
    files = [path for path in paths.PLAN.rglob("*") if path.is_file()]
    return {path.relative_to(paths.PLAN).as_posix(): path.read_text() for path in files}


def settings_in(key_file: str) -> dict[str, Any]:
    return json.loads((paths.PLAN / key_file).read_text())["settings"]


# The rows of the table.


def test_a_run_has_these_rows_anyway() -> None:
    assert planned() == {
        "item_mean": {"title": "Item mean", "kind": "method"},
        "bias": {"title": "User + item bias", "kind": "method"},
        "title_bias": {"title": "User + item + title bias", "kind": "method"},
        "item_knn": {"title": "Item kNN", "kind": "method"},
        "mf": {"title": "MF", "kind": "method"},
        "lightgcn": {"title": "LightGCN", "kind": "method"},
        "sasrec": {"title": "SASRec", "kind": "method"},
        "din": {"title": "DIN", "kind": "method"},
        "taste": {"title": "codes of taste", "kind": "codes"},
        "binmf": {"title": "BinMF", "kind": "codes"},
        "text": {"title": "TALLRec", "kind": "variant", "prompts": "text"},
        "codes": {"title": "BinLLM", "kind": "variant", "prompts": "codes", "codes": "taste"},
    }


def test_rows_stand_kind_by_kind_in_the_order_of_params_and_binllm_last() -> None:
    rows = planned(EVERYTHING)
    assert {name: row["title"] for name, row in rows.items()} == TITLES
    assert list(rows) == list(TITLES)
    kinds = [row["kind"] for row in rows.values()]
    assert kinds == ["method"] * 10 + ["codes"] * 2 + ["llm method"] * 5 + ["variant"] * 5


def test_the_lists_say_the_order() -> None:
    changes = {"compare.methods": ["din", "mf"], "compare_llm.on_vectors": ["mf", "din"]}
    rows = planned({**EVERYTHING, **changes, "compare_llm.methods": ["prompt4nr", "icl"]})
    assert list(rows)[:2] == ["din", "mf"]
    assert list(rows)[4:8] == ["prompt4nr", "icl", "collm_mf", "collm_din"]


def test_without_compared_methods_binllm_its_step_1_and_its_codes_remain() -> None:
    assert list(planned({"compare.methods": []})) == ["taste", "binmf", "text", "codes"]


def test_ones_own_sets_and_variants_are_called_by_their_names() -> None:
    changes = {
        "codes.wide": {"dim": 64},
        "prompts.wide_codes": {"content": "codes/wide"},
        "variants.my_way": {"prompts": "wide_codes", "start": "adapters/text"},
        "compare_llm.on_vectors": ["lightgcn"],
        "dataset": "ml-1m",
    }
    rows = planned(changes)
    assert rows["wide"] == {"title": "codes, wide", "kind": "codes"}
    assert rows["my_way"] == {
        "title": "BinLLM, my way",
        "kind": "variant",
        "prompts": "wide_codes",
        "codes": "wide",
    }
    assert rows["collm_lightgcn"] == {"title": "CoLLM-LightGCN", "kind": "llm method"}


LARGER_STEPS = {"batch_rows": 12, "learning_rate": 1.4e-3}
TEXT_2 = {"prompts": "text", "start": "llm", "changes": LARGER_STEPS, "seed": 2}
AGAIN = {
    "variants.text_2": TEXT_2,
    "variants.codes_2": {"prompts": "codes", "start": "adapters/text_2", "seed": 2},
    "variants.codes_3": {"prompts": "codes", "start": "adapters/text", "seed": 3},
}


def test_a_variant_of_another_seed_repeats_the_one_that_it_is_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    others = {
        "variants.wide": {"prompts": "text", "start": "llm", "changes": {"epochs": 2}, "seed": 2},
        "variants.on_wide": {"prompts": "codes", "start": "adapters/wide", "seed": 2},
        "variants.alone": {"prompts": "codes", "start": "llm", "seed": 2},
        "compare.methods": [],
    }
    rows = planned({**AGAIN, **others})
    found = {name: (row["seed"], row.get("repeats")) for name, row in rows.items() if "seed" in row}
    assert found == {
        "text_2": (2, "text"),
        "codes_2": (2, "codes"),
        "codes_3": (3, "codes"),
        **dict.fromkeys(("wide", "on_wide", "alone"), (2, None)),
    }
    assert capsys.readouterr().out == (
        "7 rows in the table: codes of taste, BinMF, TALLRec, BinLLM, wide, BinLLM, on wide, "
        "BinLLM, alone, BinLLM; 3 repetitions\n"
    )


def test_repetitions_are_binllms_own_whatever_else_is_alike() -> None:
    twin = {"prompts": "codes", "start": "adapters/text"}
    changes = {"variants.a_twin": twin, "variants.on_2": {**twin, "start": "adapters/text_2"}}
    rows = planned({**changes, **AGAIN})
    assert {row.get("repeats") for name, row in rows.items() if name in ("codes_2", "codes_3")} == {
        "codes"
    }
    assert not {"seed", "repeats"} & {*rows["a_twin"], *rows["on_2"]}


def test_the_order_of_keys_within_changes_makes_no_other_variant() -> None:
    one, other = {"rank": 8, "alpha": 16}, {"alpha": 16, "rank": 8}
    entry = {"prompts": "codes", "start": "llm"}
    changes = {
        "variants.small": {**entry, "changes": {"lora": one}},
        "variants.small_2": {**entry, "changes": {"lora": other}, "seed": 2},
    }
    assert planned(changes)["small_2"]["repeats"] == "small"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variants.codes": {"prompts": "codes", "start": "adapters/text", "seed": 2}},
            "variants.codes.seed = 2: its seed is the run's, the key seed; expected none here",
        ),
        (
            {"codes.bias": {}, "compare.methods": []},
            "codes.bias: a compared method is called so; expected another name",
        ),
        (
            {"variants.mf": {"prompts": "text", "start": "llm"}, "compare.methods": []},
            "variants.mf: a compared method is called so; expected another name",
        ),
    ],
)
def test_an_entry_that_would_take_the_place_of_another_row_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        planned(changes)


# The paper's figures.


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_every_figure_of_the_papers_tables_stands_in_its_row(dataset: str) -> None:
    rows = planned({**EVERYTHING, "dataset": dataset})
    found = {name: row.get("published") for name, row in rows.items()}
    # It gives the time alone of the one and does not compare the others.
    for name in ("compressed", "item_mean", "bias", "title_bias", "item_knn", "title_knn", "taste"):
        assert found.pop(name) is None
    assert found == {
        name: {"auc": auc, "uauc": uauc} for name, (auc, uauc) in PUBLISHED[dataset].items()
    }


@pytest.mark.parametrize("dataset", ["ml-100k", "table"])
def test_the_paper_has_no_figures_for_other_data_sets(dataset: str) -> None:
    rows = planned({**EVERYTHING, "dataset": dataset})
    assert not [name for name, row in rows.items() if "published" in row]


def test_no_figure_is_said_that_the_papers_tables_do_not_have() -> None:
    said: dict[str, Any] = {name: figures for name, (_, figures) in papers_rows.VARIANTS.items()}
    said |= {name: figures for name, (_, figures) in papers_rows.CODES.items()}
    for name in methods.names():
        published = methods.load(name).published or {}
        by_row = name == "collm" or "ml-1m" not in published
        said |= published if by_row else {name: published}
    for dataset, expected in PUBLISHED.items():
        found = {name: figures[dataset] for name, figures in said.items() if dataset in figures}
        assert found == expected
    assert {dataset for figures in said.values() for dataset in figures} == set(PUBLISHED)


# The key files.


def test_each_stage_and_each_item_of_params_has_a_key_file_with_its_sources() -> None:
    planned({**EVERYTHING, **FURTHER_CODES})
    files = key_files()
    stages = ["fetch_data", "fetch_llm", "preprocess", "export_codes", "predict", "cost"]
    items = {
        "pretrain_hash": ["taste", "binmf", "wide", "wide_paper"],
        "materialize_prompts": ["text", "codes", "id_only", "compressed"],
        "train_lora": ["text", "codes", "id_only", "intuitive", "compressed"],
        "compare": EVERYTHING["compare.methods"],
        "compare_llm": [*EVERYTHING["compare_llm.methods"], "collm_mf", "collm_din"],
    }
    expected = {f"{stage}/{item}" for stage, names in items.items() for item in names}
    assert set(files) == {"rows.json", "evaluate", "report", *stages, *expected}
    for name, text in files.items():
        stage, _, item = name.partition("/")
        if stage != "rows.json":
            assert f"stages/{stage}.py" in json.loads(text)["sources"]
        if stage in ("compare", "compare_llm"):
            module = item.partition("_")[0] if item.startswith("collm") else item
            assert f"stages/methods/{module}.py" in json.loads(text)["sources"]


def test_a_data_sets_own_file_counts_for_the_chosen_one_and_a_metrics_file_for_evaluate() -> None:
    planned({"dataset": "ml-1m"})
    for stage in ("fetch_data", "preprocess"):
        sources = json.loads(key_files()[stage])["sources"]
        named = [Path(path).stem for path in sources if Path(path).parent.name == "datasets"]
        assert named == ["__init__", "ml_1m"]
    assert "stages/measures/metrics/ndcg.py" in json.loads(key_files()["evaluate"])["sources"]


RECIPE_OF_TASTE = ("recipe", "dim", "taste")


def test_a_key_holds_exactly_the_settings_of_its_item() -> None:
    planned({**EVERYTHING, **FURTHER_CODES})
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    section = load_section(MaterializePrompts, "materialize_prompts").model_dump()
    with_codes = {**section, "form": "words", "seed": 1}
    of_codes = {"untrained_codes": "learned", "flip_bits": 0.0, "form": "words"}
    del with_codes["bits"], with_codes["wording"]  # the form says the one; null is no wording
    of_shown = {*of_codes, "rate_levels"}
    general = {name: value for name, value in with_codes.items() if name not in of_shown}
    assert settings_in("materialize_prompts/text") == {**general, "fields": ["titles"]}
    assert settings_in("materialize_prompts/codes") == with_codes
    assert settings_in("materialize_prompts/id_only") == {
        **of_codes,
        "max_tokens": None,
        "fields": ["codes"],
    }
    assert settings_in("materialize_prompts/compressed") == {**with_codes, "form": "dotted"}
    codes = params["pretrain_hash"]
    assert settings_in("pretrain_hash/taste") == {key: codes[key] for key in RECIPE_OF_TASTE}
    assert settings_in("pretrain_hash/binmf") == {
        key: value for key, value in (codes | {"recipe": "paper"}).items() if key != "taste"
    }
    for name, of in (("wide", "taste"), ("wide_paper", "binmf")):
        assert settings_in(f"pretrain_hash/{name}") == {
            **settings_in(f"pretrain_hash/{of}"),
            "dim": 64,
        }
    parts = {"own", "protocol", "scoring"}
    assert set(settings_in("compare_llm/icl")) == parts
    assert set(settings_in("compare_llm/prompt4nr")) == parts | {"training", "lora"}
    assert set(settings_in("compare_llm/collm_mf")) == parts | {"training"}
    assert settings_in("compare_llm/prompt4nr") == {
        "own": params["compare_llm"]["prompt4nr"],
        "protocol": params["compare_llm"]["protocol"],
        "training": params["compare_llm"]["training"],
        "lora": params["train_lora"]["lora"],
        "scoring": params["predict"],
    }


def test_a_variants_key_holds_its_own_rows_its_start_and_a_new_adapters_settings_alone() -> None:
    planned(EVERYTHING)
    general = {
        *("epochs", "batch_rows", "weight_decay", "warmup", "floor", "evaluations", "micro_tokens"),
        *("valid_rows", "learning_rate", "score", "share_prefix", "precision"),
        *("rows", "order", "labels", "prompts", "start", "seed"),
    }
    for name in ("text", "id_only", "intuitive"):
        assert set(settings_in(f"train_lora/{name}")) == {*general, "lora"}
        assert settings_in(f"train_lora/{name}")["start"] is None
    for name in ("codes", "compressed"):
        assert set(settings_in(f"train_lora/{name}")) == general
        assert settings_in(f"train_lora/{name}")["start"] == "models/adapters/text"
    assert settings_in("train_lora/text")["rows"] == {"train_titles": 4000, "train": 300}
    assert settings_in("train_lora/codes")["rows"] == {"train_ids": 1800, "train": 500}


PROMPTS_WITH_CODES = {f"materialize_prompts/{name}" for name in ("codes", "id_only", "compressed")}
# Their rows, or what teaches them.
PROMPTS_WITH_RATES = {f"materialize_prompts/{name}" for name in ("text", "codes", "compressed")}
VARIANTS_WITH_CODES = {
    f"train_lora/{name}" for name in ("codes", "id_only", "intuitive", "compressed")
}
VARIANTS = {"train_lora/text", *VARIANTS_WITH_CODES}
TRAINED = {f"compare_llm/{name}" for name in ("prompt4nr", "personprompt", "collm_mf", "collm_din")}
WITH_LLM = {"compare_llm/icl", *TRAINED}
TASTE_CODES = {"pretrain_hash/taste", "pretrain_hash/wide"}
PAPER_CODES = {"pretrain_hash/binmf", "pretrain_hash/wide_paper"}
# What is asked of the plan -> the files that differ then.
CHANGES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"compress": True}, {"materialize_prompts/codes", "materialize_prompts/id_only"}),
    (
        {"materialize_prompts.fields": ["codes"]},
        {"materialize_prompts/codes", "materialize_prompts/compressed"},
    ),
    (
        {"materialize_prompts.fields": ["titles"]},
        {
            *("materialize_prompts/codes", "materialize_prompts/compressed"),
            *("train_lora/codes", "train_lora/intuitive", "train_lora/compressed"),
        },
    ),
    ({"materialize_prompts.rate_c": 1.0}, PROMPTS_WITH_RATES),
    ({"materialize_prompts.rate_title_weight": 0.5}, PROMPTS_WITH_RATES),
    ({"materialize_prompts.rate_folds": 2}, PROMPTS_WITH_RATES),
    ({"materialize_prompts.rate_levels": 9}, PROMPTS_WITH_RATES - {"materialize_prompts/text"}),
    ({"materialize_prompts.flip_bits": 0.1}, PROMPTS_WITH_CODES),
    ({"materialize_prompts.untrained_codes": "word"}, PROMPTS_WITH_CODES),
    ({"materialize_prompts.max_titles": 3}, PROMPTS_WITH_RATES),
    ({"materialize_prompts.max_tokens": 99}, {"materialize_prompts/text", *PROMPTS_WITH_CODES}),
    ({"pretrain_hash.dim": 16}, {"pretrain_hash/taste", "pretrain_hash/binmf"}),
    # No set has keys of the other recipe.
    ({"pretrain_hash.lr": 0.5}, PAPER_CODES),
    ({"pretrain_hash.vectors": "lightgcn"}, PAPER_CODES),
    ({"pretrain_hash.taste.lr": 0.5}, TASTE_CODES),
    ({"pretrain_hash.taste.dropout": 0.5}, TASTE_CODES),
    ({"pretrain_hash.taste.title_weight": 0.0}, TASTE_CODES),
    ({"pretrain_hash.taste.popularity": True}, TASTE_CODES),
    ({"pretrain_hash.taste.distillation.neighbours": 9}, TASTE_CODES),
    ({"codes.binmf": {}}, {"pretrain_hash/binmf"}),
    ({"pretrain_hash.recipe": "paper"}, TASTE_CODES),
    ({"codes.wide": {"dim": 128}}, {"pretrain_hash/wide"}),
    ({"train_lora.train_rows.text": 9}, {"train_lora/text"}),
    ({"train_lora.train_rows.titles_first": 9}, {"train_lora/text"}),
    ({"train_lora.order": "phased"}, VARIANTS),
    ({"train_lora.labels": "hard"}, VARIANTS),
    ({"train_lora.train_rows.codes": 9}, VARIANTS_WITH_CODES),
    ({"train_lora.train_rows.ids_first": 0}, VARIANTS_WITH_CODES),
    ({"train_lora.learning_rate": 0.1}, VARIANTS_WITH_CODES),  # step 1 has its own
    ({"train_lora.weight_decay": 0.1}, VARIANTS),
    (
        {"variants.text": {"prompts": "text", "start": "llm", "changes": {"epochs": 2}}},
        {"train_lora/text"},
    ),
    ({"train_lora.tuning": "intuitive"}, {"train_lora/codes", "train_lora/compressed"}),
    (
        {"train_lora.lora.rank": 4},
        {
            *("train_lora/text", "train_lora/id_only", "train_lora/intuitive"),
            *("compare_llm/prompt4nr", "compare_llm/personprompt"),
        },
    ),
    (
        {"variants.codes": {"prompts": "codes", "start": "adapters/id_only"}},
        {"train_lora/codes"},
    ),
    ({"compare_llm.icl.examples": 2}, {"compare_llm/icl"}),
    ({"compare_llm.prompt4nr.tokens": 2}, {"compare_llm/prompt4nr"}),
    ({"compare_llm.personprompt.lora": False}, {"compare_llm/personprompt"}),
    (
        {"compare_llm.collm.learning_rate": 0.1},
        {"compare_llm/collm_mf", "compare_llm/collm_din"},
    ),
    ({"compare_llm.training.epochs": 2}, TRAINED),
    ({"compare_llm.protocol.score": "yes_logit"}, WITH_LLM),
    ({"predict.rows": 9}, WITH_LLM),
    ({"seed": 2}, {*PROMPTS_WITH_RATES, *VARIANTS}),  # others list `seed` themselves
    ({"dataset": "ml-1m"}, {"fetch_data", "preprocess", "rows.json"}),
    ({"compare.methods": ["mf", "din"]}, {"rows.json"}),
    ({"compare_llm.methods": []}, {"rows.json"}),
    ({"codes.narrow": {"dim": 8}}, {"rows.json", "pretrain_hash/narrow"}),
    # Keys that a stage lists itself are none of the plan's.
    ({"compare.mf.lr": 0.5, "compare.seeds": 3, "evaluate.level": 0.5, "llm": 7}, set()),
]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The plan of everything, and of further sets of codes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("before"))
        planned({**EVERYTHING, **FURTHER_CODES})
        return key_files()


@pytest.mark.parametrize(
    ("changes", "expected"), CHANGES, ids=[", ".join(changes) for changes, _ in CHANGES]
)
def test_only_the_files_of_what_changed_differ(
    before: dict[str, str], changes: dict[str, Any], expected: set[str]
) -> None:
    planned({**EVERYTHING, **FURTHER_CODES, **changes})
    after = key_files()
    assert {name for name, text in after.items() if before.get(name) != text} == expected


def test_all_rows_and_no_rows_are_different_settings() -> None:
    """`null` means all, so it is not left out of a key."""
    texts = []
    for rows in (0, None):
        planned({"train_lora.train_rows.ids_first": rows})
        texts.append(key_files()["train_lora/codes"])
    assert texts[0] != texts[1]


def test_files_of_what_is_not_planned_any_more_vanish() -> None:
    planned(EVERYTHING)
    planned({"compare.methods": []})
    assert not [name for name in key_files() if name.startswith(("compare/", "compare_llm/"))]


def test_the_same_params_give_the_same_bytes() -> None:
    planned(EVERYTHING)
    texts = key_files()
    planned(EVERYTHING)
    assert key_files() == texts


# The pipeline's own files.


def test_all_that_the_table_reads_of_a_row_is_written_by_one_item_of_one_stage() -> None:
    written = written_files(planned(EVERYTHING), EVERYTHING)
    kinds = {name: row["kind"] for name, row in planned(EVERYTHING).items()}
    for name, kind in kinds.items():
        of_row = [paths.predictions, paths.facts, paths.fit_cost, paths.scoring_cost]
        of_row += [paths.repeats] if kind != "variant" else []
        for place in of_row:
            assert written.count(place(name).as_posix()) == 1, place(name)
    assert len([path for path in written if path.startswith("data/repeats/")]) == 17


def written_files(rows: dict[str, Any], changes: dict[str, Any]) -> list[str]:
    """Returns the outputs of all stages of `dvc.yaml`, items filled in."""
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    found = []
    for stage in YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].values():
        items = [""]
        if "foreach" in stage:
            items = params
            for key in stage["foreach"].strip("${}").split("."):
                items = items[key]
        body = stage.get("do", stage)
        outs = [*body.get("outs", []), *body.get("plots", [])]
        names = [out if isinstance(out, str) else next(iter(out)) for out in outs]
        for item in items:
            found += [
                name.replace("${key}", str(item)).replace("${item}", str(item)) for name in names
            ]
    return found


# What is refused: one line, and nothing is written.

VARIANT = {"prompts": "text", "start": "llm"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"dataset": "ml-2m"}, "dataset = 'ml-2m': input should be 'amazon-beauty-2023', 'amazon-bo"),
    ({"compare.methods": ["mf", "dim"]}, "compare.methods: 'dim' is no compared method without "),
    ({"compare.methods": ["icl"]}, "compare.methods: 'icl' is no compared method without an LLM; "),
    ({"compare.methods": ["collm"]}, "compare.methods: 'collm' is no compared method without an "),
    ({"compare.methods": ["mf", "din", "mf"]}, "compare.methods names 'mf' twice"),
    ({"compare.methods": "mf"}, "compare.methods = 'mf': input should be a valid list"),
    ({"compare.methods": None}, "compare.methods = None: input should be a valid list"),
    ({"compare.methods": [1]}, "compare.methods.0 = 1: input should be a valid string"),
    ({"compare_llm.methods": ["tallrec"]}, "compare_llm.methods: 'tallrec' is no compared method"),
    (
        {"compare_llm.methods": ["mf"]},
        "compare_llm.methods: 'mf' is no compared method with an ",
    ),
    (
        {"compare_llm.methods": ["collm"]},
        "compare_llm.methods: 'collm' is no compared method ",
    ),
    ({"compare_llm.methods": ["icl", "icl"]}, "compare_llm.methods names 'icl' twice"),
    (
        {"compare.methods": ["mf"], "compare_llm.on_vectors": ["din"]},
        "compare_llm.on_vectors: 'din' is not in compare.methods, which makes the vectors; add it",
    ),
    (
        {"compare_llm.on_vectors": ["icl"]},
        "compare_llm.on_vectors: 'icl' is not in compare",
    ),
    (
        {"compare.methods": ["sasrec"], "compare_llm.on_vectors": ["sasrec"]},
        "compare_llm.on_vectors: 'sasrec' has no vectors of users; expected a method that has",
    ),
    ({"compare_llm.on_vectors": ["mf", "mf"]}, "compare_llm.on_vectors names 'mf' twice"),
    (
        {
            "variants.wide": {
                "prompts": "codes",
                "start": "adapters/text",
                "changes": {"lora": {"rank": 32}},
            }
        },
        "variants.wide.changes.lora: it goes on from the adapter of adapters/text, whose shape is ",
    ),
    (
        {"variants.text_2": {**TEXT_2, "seed": 1}},
        "variants.text_2.seed: text has a run of seed 1 already; expected another",
    ),
    (
        {**AGAIN, "variants.more": {"prompts": "codes", "start": "adapters/text", "seed": 2}},
        "variants.more.seed: codes has a run of seed 2 already; expected another",
    ),
    ({"variants.text_2": {**TEXT_2, "seed": -1}}, "variants.text_2.seed = -1: "),
    ({"variants.mf": VARIANT}, "two rows of the table are called 'mf'"),
    ({"codes.text": {}}, "two rows of the table are called 'text'"),
    (
        {"compare_llm.on_vectors": ["mf"], "variants.collm_mf": VARIANT},
        "two rows of the table are called 'collm_mf'",
    ),
    ({"variants": {"text": VARIANT}}, "variants has no 'codes'; expected text"),
    ({"variants": {"codes": VARIANT}}, "variants has no 'text'; expected codes"),
    ({"prompts": {"text": {"content": "interactions"}}}, "prompts has no 'codes'; expected text"),
    ({"prompts.codes": {"content": "codes/wide"}}, "codes has no 'wide'; expected taste, binmf"),
    ({"prompts.codes": {"content": "titles"}}, "prompts.codes.content = 'titles': "),
    ({"variants.Own": VARIANT}, "variants.Own"),
    ({"codes.wide": {"dim": 12}}, "codes.wide.dim = 12: "),
    ({"codes.wide": {"taste": {"dropout": 1.0}}}, "codes.wide.taste.dropout = 1.0: "),
    ({"codes.wide": {"recipe": "old"}}, "codes.wide.recipe = 'old': input should be 'taste' or "),
    ({"codes": ["binmf"]}, "codes = ['binmf']: input should be a valid dictionary"),
    (
        {"compare_llm.methods": ["icl"], "compare_llm.icl.examples": -1},
        "compare_llm.icl.examples = -1: ",
    ),
    ({"train_lora.lora.rank": 0}, "train_lora.lora.rank = 0: "),
    ({"seed": -1}, "seed = -1: "),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[it for _, it in REFUSED])
def test_what_cannot_be_planned_ends_in_one_line_and_writes_nothing(
    changes: dict[str, Any], message: str
) -> None:
    write_params(changes)
    with pytest.raises(InputError) as caught:
        plan.main()
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)
    assert not Path("data").exists()


def test_a_refusal_leaves_the_plan_as_it_was() -> None:
    planned()
    texts = key_files()
    write_params({"compare.methods": ["dim"]})
    with pytest.raises(InputError):
        plan.main()
    assert key_files() == texts


def test_an_unknown_method_is_told_which_ones_fit() -> None:
    write_params({"compare.methods": ["icl"]})
    known = "bias, ctrl, din, item_knn, item_mean, lightgcn, mf, sasrec, title_bias, title_knn"
    with pytest.raises(InputError, match=f"; expected {known}$"):
        plan.main()
    write_params({"compare_llm.methods": ["mf"]})
    with pytest.raises(InputError, match=r"; expected icl, personprompt, prompt4nr$"):
        plan.main()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("compare.din.epochs", 0),
        ("compare.item_knn.weight", "much"),
        ("predict.rows", -1),
        ("cost.repeats", 0),
        ("evaluate.level", 1),
    ],
)
def test_a_bad_value_of_a_stage_after_the_trainings_is_told_at_once(key: str, value: Any) -> None:
    write_params({key: value})
    with pytest.raises(InputError, match=rf"params.yaml: {re.escape(key)} = "):
        plan.main()
    assert not paths.PLAN.exists()


def test_settings_of_methods_that_do_not_run_are_not_looked_at() -> None:
    bad = {
        "compare.ctrl": 7,
        "compare_llm.icl": 7,
        "compare_llm.collm": 7,
        "compare_llm.training": 7,
    }
    assert "codes" in planned({**bad, "compare_llm.methods": []})


def test_the_stage_says_how_many_rows_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    planned({"compare.methods": ["mf"]})
    assert capsys.readouterr().out == (
        "5 rows in the table: MF, codes of taste, BinMF, TALLRec, BinLLM\n"
    )
