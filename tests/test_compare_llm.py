"""ICL, Prompt4NR, PersonPrompt and CoLLM: their prompts, and the stage run for real."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import roc_auc_score

from stages import methods
from stages.collab.vector_file import write_vectors
from stages.compare_llm import main
from stages.io.errors import InputError
from stages.io.paths import TEST_ROWS, predictions
from stages.io.progress import Progress
from stages.io.seeds import derived_seed, generator
from stages.io.tables import (
    INTERACTIONS,
    ITEMS,
    PREDICTIONS,
    PROMPTS,
    REPEATS,
    SPLITS,
    USERS,
    read_table,
    write_table,
)
from stages.llm.adapters import add_adapter, store_adapter, trainable_parameters
from stages.llm.load import Llm, load_llm
from stages.llm.method import Inputs, MethodSettings, inputs_of, method_settings
from stages.llm.method_run import draw_rows, train_method
from stages.llm.score import score_prompts
from stages.measures.scored_rows import read_scored_rows
from stages.methods.icl import draw_examples
from stages.planning.rows import chosen_llm_methods
from stages.prompts.content import Content
from stages.prompts.rows import Template, read_prompts, sample_groups
from stages.prompts.templates import with_ids, with_soft_prompt
from stages.prompts.text import build_prompts
from stages.prompts.tokenizer import load_tokenizer, mark
from stages.prompts.write import prompt_table
from tests.changed_params import write_params
from tests.refusals import assert_one_line

TITLES = ["Alien", "Brazil", "Casablanca", "Dune", "Eraser", "Fargo"]
N_USERS, N_ITEMS, DIM = 8, len(TITLES), 4
WIDTH, VALUES = 576, 192  # of the LLM's embeddings and of its v_proj's output
SIZES = {"train": 240, "valid": 80, "test": 200}
TRAINED = ["prompt4nr", "personprompt", "collm_mf", "collm_din"]
# Six of eight users like every second item, the others the rest.
GROUP_OF_USER = np.arange(N_USERS + 1) % 8 // 6
GROUP_OF_ITEM = np.arange(N_ITEMS + 1) % 2


def planted(kind: str) -> pd.DataFrame:
    """Rows of users who like one half of the items; `shuffled`: labels drawn by lot."""
    draw = np.random.default_rng(5)
    n = sum(SIZES.values())
    users, items = draw.integers(1, N_USERS + 1, n), draw.integers(1, N_ITEMS + 1, n)
    liked = (GROUP_OF_USER[users] == GROUP_OF_ITEM[items]) ^ (draw.random(n) < 0.05)
    return pd.DataFrame(
        {
            "row": range(n),
            "uid": users,
            "iid": items,
            "label": (draw.permutation(liked) if kind == "shuffled" else liked).astype("int8"),
            "timestamp": range(n),
            "history": [[] for _ in range(n)],
            "seen": True,
            "warm": True,
            "split": np.repeat(SPLITS, list(SIZES.values())),
        }
    )


def write_project(folder: Path, kind: str, llm_folder: Path) -> None:
    """Writes interactions, prompts, vectors and an adapter; links the LLM."""
    rows, tokenizer = planted(kind), load_tokenizer(llm_folder)
    content = Content(dict(enumerate(TITLES, start=1)), True, 2)
    interactions = folder / "data/interactions"
    for key, name, schema, n in (
        ("uid", "users", USERS, N_USERS),
        ("iid", "items", ITEMS, N_ITEMS),
    ):
        ids = np.arange(1, n + 1)
        table = pd.DataFrame({key: ids, "source_id": ids.astype(str), "n_train": 9})
        if key == "iid":
            table["title"] = TITLES
        write_table(table, interactions / f"{name}.parquet", schema)
    for split in SPLITS:
        part = rows[rows["split"] == split].drop(columns="split")
        write_table(part, interactions / f"{split}.parquet", INTERACTIONS)
        table = read_table(interactions / f"{split}.parquet", INTERACTIONS)
        built = build_prompts(content.rows(table), tokenizer, 8192)
        prompts = prompt_table(table, built, np.full(len(part), 0.5, np.float32))
        write_table(prompts, folder / f"data/prompts/text/{split}.parquet", PROMPTS)
    (folder / "models").mkdir()
    (folder / "models/llm").symlink_to(llm_folder)
    for model in ("mf", "din"):
        write_vectors(tastes(), folder / f"models/compare/{model}.safetensors")
    write_adapter(llm_folder, folder / "models/adapters/text")


def tastes() -> dict[str, torch.Tensor]:
    """Vectors as a fitted model has them: near by group, with some noise."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(2, DIM, generator=draw)
    return {
        name: centres[torch.from_numpy(group)] + torch.randn(len(group), DIM, generator=draw) / 5
        for name, group in (("users", GROUP_OF_USER), ("items", GROUP_OF_ITEM))
    }


def write_adapter(llm_folder: Path, folder: Path) -> None:
    """Writes an adapter that changes scores a little."""
    llm = add_adapter(
        load_llm(llm_folder, precision="float32"),
        rank=2,
        alpha=2,
        dropout=0.0,
        targets=["v_proj"],
        last_layers=None,
        seed=1,
    )
    draw = torch.Generator().manual_seed(1)
    store_adapter(
        llm,
        {
            name: torch.randn(p.shape, generator=draw) / 50
            for name, p in trainable_parameters(llm.model).items()
        },
        folder,
    )


# The project's params are made small: all rows of the small tables, few steps, high rates.
SMALL = {
    "predict.rows": 100,
    "predict.precision": "float32",
    "compare_llm.protocol.valid_rows": None,
    "compare_llm.training.train_rows": None,
    "compare_llm.training.epochs": 2,
    "compare_llm.training.evaluations": 2,
    "compare_llm.prompt4nr.learning_rate": 2e-3,
    "compare_llm.personprompt.learning_rate": 5e-2,
    "compare_llm.personprompt.lora": False,  # else the adapter is quicker than the vectors
    "compare_llm.collm.learning_rate": 5e-3,
}


def run(row: str, changes: dict[str, Any] | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """Runs the stage for a row of the table; returns the row's facts and its scores."""
    write_params(SMALL | (changes or {}))
    main(row)
    facts = json.loads(Path(f"metrics/rows/{row}.json").read_text(encoding="utf-8"))
    return facts, read_table(Path(f"data/predictions/{row}.parquet"), PREDICTIONS).to_pandas()


def auc_of(scored: pd.DataFrame) -> float:
    return float(roc_auc_score(scored["label"], scored["score"]))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tiny_llm_folder: Path) -> dict[str, Path]:
    folders = {}
    for kind in ("tastes", "shuffled"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        write_project(folders[kind], kind, tiny_llm_folder)
    return folders


@pytest.fixture
def work(
    written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Makes a working folder with the planted data of a kind, and goes there."""
    monkeypatch.chdir(tmp_path)

    def linked(kind: str) -> None:
        (tmp_path / "data").mkdir()
        for name in ("data/interactions", "data/prompts", "models"):
            (tmp_path / name).symlink_to(written[kind] / name)

    return linked


@pytest.mark.parametrize("row", TRAINED)
def test_planted_tastes_are_learned(work: Callable[[str], None], row: str) -> None:
    work("tastes")
    facts, scored = run(row)
    # By titles alone the minority of users cannot be told from the others.
    assert auc_of(scored) > (0.65 if row == "prompt4nr" else 0.8)
    assert facts["valid_auc"] == pytest.approx(facts["fit"]["auc"], abs=1e-6)
    assert_rows_of_predict(scored)
    fit, scoring = (
        json.loads(Path(f"data/costs/{part}/{row}.json").read_text()) for part in ("fit", "scoring")
    )
    assert scoring["rows"] == len(scored)
    assert fit["fit_seconds"] > 0 and scoring["seconds"] > 0


def assert_rows_of_predict(scored: pd.DataFrame) -> None:
    """The rows are those that `predict` draws, each as it stands in the prompts."""
    path = Path("data/prompts/text/test.parquet")
    drawn = sample_groups(path, 100, "user", generator(1, "predict"))
    expected = read_prompts(path, drawn).keys.to_pandas()
    assert 100 <= len(scored) < SIZES["test"]
    pd.testing.assert_frame_equal(scored.drop(columns="score"), expected)


def test_only_the_listed_methods_are_rows_and_collm_is_one_for_each_of_its_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({"compare_llm.methods": ["personprompt"], "compare_llm.on_vectors": ["mf", "din"]})
    assert list(chosen_llm_methods()) == ["personprompt", "collm_mf", "collm_din"]
    write_params({})
    assert list(chosen_llm_methods()) == []


def test_a_row_is_called_as_its_method_and_the_vectors_it_is_built_on() -> None:
    assert [methods.of_row(row) for row in ("icl", "prompt4nr", "personprompt")] == [
        ("icl", None),
        ("prompt4nr", None),
        ("personprompt", None),
    ]
    assert methods.of_row("collm_mf") == ("collm", "mf")
    assert methods.of_row("collm_din") == ("collm", "din")


@pytest.mark.parametrize("row", TRAINED)
def test_shuffled_labels_teach_nothing(work: Callable[[str], None], row: str) -> None:
    work("shuffled")
    once = {"compare_llm.training.epochs": 1, "compare_llm.training.evaluations": 1}
    _, scored = run(row, {**once, "predict.rows": None})
    assert len(scored) == SIZES["test"]
    assert 0.38 < auc_of(scored) < 0.62


@pytest.mark.parametrize("examples", [0, 3])
def test_icl_is_the_untuned_llms_answer_after_the_same_examples_for_all(
    work: Callable[[str], None], tiny_llm_folder: Path, examples: int
) -> None:
    work("tastes")
    changes = {"compare_llm.icl.examples": examples, "predict.rows": 20}
    facts, found = run("icl", changes)
    assert facts == {"parameters": 0, "fit": {}}, "no state was chosen by validation rows"
    path = Path("data/prompts/text/test.parquet")
    rows = read_table(path, PROMPTS).to_pandas().set_index("row").loc[found["row"]]
    rng = generator(derived_seed(1, "compare_llm.icl"), "examples")
    shown = draw_examples(Path("data/prompts/text/train.parquet"), examples, rng)
    before = "".join(f"{example}\n\n" for example in shown)
    prompts = (before + rows["prefix"] + rows["suffix"]).tolist()
    plain = load_llm(tiny_llm_folder, precision="float32")
    scores = score_prompts(plain, prompts, score="yes_minus_no")
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "splits"), [("icl", {"test"}), ("prompt4nr", {"train", "valid", "test"})]
)
def test_only_what_is_trained_reads_train_and_validation_rows(
    work: Callable[[str], None], name: str, splits: set[str]
) -> None:
    work("tastes")
    write_params(SMALL)
    settings = method_settings(name, methods.load(name))
    prompts = Path("data/prompts/text")
    rows = draw_rows(prompts, settings, lambda _, __, *parts: parts, seed=1, test_seed=1)
    assert set(rows) == splits
    write_params({**SMALL, "compare_llm.protocol.valid_rows": 20})
    changed = method_settings(name, methods.load(name)).key() != settings.key()
    assert changed == ("valid" in splits)


def test_examples_are_train_rows_with_their_answers_half_of_them_liked(
    written: dict[str, Path],
) -> None:
    path = written["tastes"] / "data/prompts/text/train.parquet"
    rows = read_table(path, PROMPTS).to_pandas()
    answers = np.where(rows["label"] == 1, " Yes", " No")
    known = set(rows["prefix"] + rows["suffix"] + answers)
    examples = draw_examples(path, 7, np.random.default_rng(2))
    assert set(examples) <= known
    assert sum(example.endswith(" Yes") for example in examples) == 4
    assert examples != draw_examples(path, 7, np.random.default_rng(3))
    with pytest.raises(InputError, match="rows with label"):
        draw_examples(path, 4 * len(rows), np.random.default_rng(2))


PREFIX, SUFFIX = "Items the user liked: none", '\nItem: "Dune"\nWill the user like it? Answer:'


def test_ids_stand_where_codes_do_and_no_two_share_a_number() -> None:
    template = with_ids(N_USERS)
    prefix, suffix = template(3, 2, PREFIX, SUFFIX)
    assert prefix == f"{PREFIX}\nUser code:{mark(3)}"
    item = mark(N_USERS + 1 + 2)
    assert suffix == f'\nItem: "Dune"\nItem code:{item}\nWill the user like it? Answer:'
    users = {template(uid, 1, "", SUFFIX)[0] for uid in range(1, N_USERS + 1)}
    items = {template(1, iid, PREFIX, SUFFIX)[1] for iid in range(1, N_ITEMS + 1)}
    assert len(users) == N_USERS and len(items) == N_ITEMS


def test_a_soft_prompt_surrounds_history_and_candidate_and_is_the_same_for_all() -> None:
    template = with_soft_prompt(2)
    prefix, suffix = template(3, 2, PREFIX, SUFFIX)
    soft = [mark(2 * place) + mark(2 * place + 1) for place in range(3)]
    assert prefix == soft[0] + PREFIX + soft[1]
    assert suffix == f'\nItem: "Dune"{soft[2]}\nWill the user like it? Answer:'
    assert template(4, 1, PREFIX, SUFFIX) == (prefix, suffix)


@pytest.mark.parametrize(
    ("row", "lora", "trained"),
    [
        ("prompt4nr", None, 3 * 4 * WIDTH),
        ("personprompt", None, (N_USERS + 1 + N_ITEMS + 1) * WIDTH),
        ("collm_mf", None, DIM * 40 + 40 + 40 * WIDTH + WIDTH),
        # two layers' v_proj, WIDTH to VALUES
        ("prompt4nr", 2, 3 * 4 * WIDTH + 2 * 2 * (WIDTH + VALUES)),
    ],
)
def test_what_is_trained_is_what_the_method_says(
    work: Callable[[str], None], row: str, lora: int | None, trained: int
) -> None:
    work("tastes")
    llm, _, _ = built(row, lora)
    parameters = trainable_parameters(llm.model)
    assert sum(p.numel() for p in parameters.values()) == trained
    assert all("soft_tokens" in name or (lora and "lora_" in name) for name in parameters)


def built(
    row: str, lora: int | None = None, changes: dict[str, Any] | None = None
) -> tuple[Llm, Template, MethodSettings]:
    """A row's LLM and template, and the settings that they were built by."""
    adapter = {
        "rank": lora or 1,
        "alpha": 4,
        "dropout": 0.0,
        "targets": ["v_proj"],
        "last_layers": None,
    }
    own = {f"compare_llm.{name}.lora": lora is not None for name in ("prompt4nr", "personprompt")}
    write_params(SMALL | {"train_lora.lora": adapter} | own | (changes or {}))
    settings, inputs = settings_and_inputs(row)
    llm, template = methods.load(methods.of_row(row)[0]).build(inputs, settings.own)
    return llm, template, settings


def settings_and_inputs(row: str) -> tuple[MethodSettings, Inputs]:
    name, vectors = methods.of_row(row)
    settings = method_settings(name, methods.load(name))
    return settings, inputs_of(settings, vectors, seed=1)


def test_collm_trains_its_map_and_leaves_step_1s_adapter_as_it_was(
    work: Callable[[str], None], tmp_path: Path
) -> None:
    work("tastes")
    training = {
        "train_rows": None,
        "epochs": 1,
        "batch_rows": 8,
        "micro_tokens": 2048,
        "weight_decay": 0.1,
        "warmup": 0.1,
        "floor": 0.0,
        "evaluations": 1,
    }
    changes = {
        "compare_llm.training": training,
        "compare_llm.protocol.score": "yes_logit",
        "compare_llm.collm.learning_rate": 0.01,
    }
    llm, template, settings = built("collm_mf", changes=changes)
    before = {name: value.clone() for name, value in llm.model.state_dict().items()}
    assert any("lora_B" in name and value.any() for name, value in before.items())
    path = Path("data/prompts/text/train.parquet")
    rows = read_prompts(path, np.arange(SIZES["train"]) < 32, template)
    scratch = tmp_path / "scratch"
    train_method(llm, {"train": rows, "valid": rows}, settings, 1, scratch, "test")
    for name, value in llm.model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("soft_tokens."), name


def test_a_run_that_was_cut_ends_with_the_same_bytes(
    work: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    work("tastes")
    monkeypatch.setattr("stages.llm.tune.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("stages.llm.partial_scores.SAVE_SECONDS", 0.0)
    few = {
        "compare_llm.training.train_rows": 48,
        "compare_llm.training.epochs": 1,
        "compare_llm.protocol.valid_rows": 24,
        "predict.rows": 150,
        "predict.token_budget": 60,  # each user's rows are a batch
    }
    outputs = [Path("data/predictions/personprompt.parquet")]
    outputs.append(Path("metrics/rows/personprompt.json"))
    run("personprompt", few)
    whole = [path.read_bytes() for path in outputs]
    assert not list(Path(".scratch").iterdir())
    for path in outputs:
        path.unlink()
    advance = Progress.advance
    for cut_after in (3, 6):  # batches since the last start: in training, then in scoring
        batches = iter(range(1000))

        def cut(self: Progress, n: int, note: str = "") -> None:
            advance(self, n, note)
            if next(batches) == cut_after:  # noqa: B023
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "advance", cut)
        with pytest.raises(KeyboardInterrupt):
            run("personprompt", few)
        assert not any(path.exists() for path in outputs)
    assert list(Path(".scratch").glob("compare_llm-personprompt-*/test/scores-*.npy"))
    monkeypatch.setattr(Progress, "advance", advance)
    run("personprompt", few)
    assert [path.read_bytes() for path in outputs] == whole


def test_further_seeds_are_what_runs_with_those_seeds_find_on_the_rows_of_the_first(
    work: Callable[[str], None],
) -> None:
    work("tastes")
    few: dict[str, Any] = {
        "compare_llm.training.train_rows": 48,
        "compare_llm.training.epochs": 1,
        "compare_llm.protocol.valid_rows": 24,
        "predict.rows": None,
    }
    path = Path("data/repeats/personprompt.parquet")
    _, alone = run("personprompt", few)
    assert len(read_table(path, REPEATS)) == 0
    _, second = run("personprompt", {**few, "seed": 2})
    _, first = run("personprompt", {**few, "compare_llm.protocol.seeds": 2})
    pd.testing.assert_frame_equal(first, alone)
    further = read_table(path, REPEATS).to_pandas()
    assert set(further["seed"]) == {2}
    assert further["row"].tolist() == first["row"].tolist() == second["row"].tolist()
    assert further["score"].tolist() == second["score"].tolist() != first["score"].tolist()
    _, some = run("personprompt", {**few, "compare_llm.protocol.seeds": 2, "predict.rows": 100})
    assert_rows_of_predict(some)
    assert read_table(path, REPEATS)["row"].to_pylist() == some["row"].tolist()
    assert not list(Path(".scratch").iterdir())


# Bad input.

BAD = [
    ("icl", "compare_llm.icl.examples", -1),
    ("icl", "compare_llm.protocol.score", "yes"),
    ("icl", "compare_llm.protocol.valid_rows", 1),
    ("collm_mf", "compare_llm.protocol.seeds", 0),
    ("icl", "predict.token_budget", 0),
    ("icl", "predict.precision", "int8"),
    ("prompt4nr", "compare_llm.prompt4nr.tokens", 0),
    ("prompt4nr", "train_lora.lora.rank", 0),
    ("personprompt", "compare_llm.personprompt.lora", "yes"),
    ("personprompt", "compare_llm.personprompt.tokens", 3),
    ("collm_mf", "compare_llm.collm.hidden_times", 0.5),
    ("collm_din", "compare_llm.collm.learning_rate", float("nan")),
    ("collm_din", "compare_llm.training.batch_rows", 0),
]


@pytest.mark.parametrize(("row", "key", "value"), BAD)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    row: str,
    key: str,
    value: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({key: value})
    assert_refused(capsys, row, f"params.yaml: {key}")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("row", ["collm", "collm_", "icl_mf", "mf", "mf_din", "tallrec"])
def test_what_is_no_method_with_an_llm_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], row: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({})
    assert_refused(capsys, row, f"error: method '{row}': ")


def test_a_method_reads_no_section_that_it_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bad = {"compare_llm.collm.hidden_times": 0.5, "train_lora.lora.rank": 0}
    write_params({**bad, "compare_llm.personprompt.lora": False})
    for name in ("icl", "personprompt"):
        method_settings(name, methods.load(name))
    for name in ("prompt4nr", "collm"):
        with pytest.raises(InputError):
            method_settings(name, methods.load(name))
    write_params({"train_lora.lora.rank": 0, "compare_llm.prompt4nr.lora": False})
    assert method_settings("prompt4nr", methods.load("prompt4nr")).lora is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"users": v["users"][:-1], "items": v["items"]}, "users are (8, 4), expected"),
        (lambda v: {"users": v["users"], "items": v["items"][:, :3]}, "expected (9, 3)"),
        (lambda v: {"items": v["items"]}, "holds ['items'], expected vectors of users and items"),
        (lambda v: {**v, "users": v["users"] / 0}, "users are no finite"),
        (lambda v: {**v, "items": v["items"] * 0}, "all vectors of one side are zero"),
    ],
)
def test_vectors_that_do_not_fit_end_in_one_line(
    work: Callable[[str], None],
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    message: str,
) -> None:
    work("tastes")
    path = Path("vectors.safetensors")
    write_vectors(change(tastes()), path)
    write_params(SMALL)
    settings, inputs = settings_and_inputs("collm_mf")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        methods.load("collm").build(replace(inputs, vectors=path), settings.own)
    assert "\n" not in str(caught.value)


def test_scores_of_another_data_sets_rows_are_refused_where_they_are_measured(
    work: Callable[[str], None],
) -> None:
    work("tastes")
    keys = read_prompts(Path("data/prompts/text/test.parquet")).keys
    scored = keys.append_column("score", pa.array(np.zeros(len(keys), dtype=np.float32)))
    write_table(scored, predictions("icl"), PREDICTIONS)
    files = {"icl": predictions("icl")}
    assert len(read_scored_rows(files, TEST_ROWS, reference="icl").uids) == SIZES["test"]
    others = TEST_ROWS.with_name("valid.parquet")
    with pytest.raises(InputError, match=r"valid\.parquet: lacks 200 of the rows in"):
        read_scored_rows(files, others, reference="icl")


def test_missing_inputs_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({})
    assert_refused(capsys, "collm_mf", "models/llm: no such file or folder")


def assert_refused(capsys: pytest.CaptureFixture[str], row: str, message: str) -> None:
    assert_one_line(capsys, lambda: main(row), message)
    assert not Path("metrics").exists() and not Path("data/predictions").exists()
