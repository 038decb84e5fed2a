"""ICL, Prompt4NR, PersonPrompt and CoLLM: their prompts, and the stage run for real."""

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from stages.collab.vector_file import write_vectors
from stages.common.chosen import Method, write_chosen
from stages.common.errors import InputError
from stages.common.progress import Progress
from stages.common.seeds import derived_seed, generator
from stages.common.tables import (
    INTERACTIONS,
    ITEMS,
    PREDICTIONS,
    PROMPTS,
    SPLITS,
    USERS,
    read_table,
    write_table,
)
from stages.compare_llm.__main__ import main
from stages.compare_llm.methods import METHODS, Inputs, build, draw_examples
from stages.compare_llm.params import read_params
from stages.compare_llm.templates import with_ids, with_soft_prompt
from stages.compare_llm.training import train
from stages.llm.judging import facts_of
from stages.llm.model import Llm, add_adapter, load_llm, store_adapter, trainable_parameters
from stages.llm.prompt_content import Content
from stages.llm.prompt_files import prompt_table
from stages.llm.prompt_text import build_prompts
from stages.llm.prompts import Template, read_prompts, sample_groups
from stages.llm.scoring import score_prompts
from stages.llm.soft_tokens import mark
from stages.llm.tokenizer import load_tokenizer
from tests.refusals import assert_one_line

ROOT = Path(__file__).resolve().parent.parent
TITLES = ["Alien", "Brazil", "Casablanca", "Dune", "Eraser", "Fargo"]
N_USERS, N_ITEMS, DIM = 8, len(TITLES), 4
WIDTH, VALUES = 576, 192  # of the LLM's embeddings and of its v_proj's output
SIZES = {"train": 240, "valid": 80, "test": 200}
TRAINED = [method for method in METHODS if method != "icl"]
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
        prompts = prompt_table(table, built)
        write_table(prompts, folder / f"data/prompts/text/{split}.parquet", PROMPTS)
    (folder / "models").mkdir()
    (folder / "models/llm").symlink_to(llm_folder)
    (folder / "stages").symlink_to(ROOT / "stages")
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


def write_params(changes: dict[str, Any]) -> None:
    """Writes the project's params, small, with some keys changed, and that all methods run.

    Args:
        changes: `section.….key` -> value.
    """
    write_chosen(get_args(Method))
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = {
        "predict.rows": 100,
        "predict.precision": "float32",
        "compare.measures.replicates": 50,
        "compare_llm.protocol.valid_rows": None,
        "compare_llm.training.train_rows": None,
        "compare_llm.training.epochs": 2,
        "compare_llm.training.evaluations": 2,
        "compare_llm.prompt4nr.learning_rate": 2e-3,
        "compare_llm.personprompt.learning_rate": 5e-2,
        "compare_llm.personprompt.lora": False,  # else the adapter is quicker than the vectors
        "compare_llm.collm_mf.learning_rate": 5e-3,
        "compare_llm.collm_din.learning_rate": 5e-3,
    }
    for key, value in (small | changes).items():
        *outer, last = key.split(".")
        section = params
        for part in outer:
            section = section[part]
        section[last] = value
    text = io.StringIO()
    yaml.dump(params, text)
    Path("params.yaml").write_text(text.getvalue(), encoding="utf-8")


def run(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    changes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    write_params(changes or {})
    monkeypatch.setattr(sys, "argv", ["compare_llm", method])
    main()
    return json.loads(Path(f"metrics/compare/{method}.json").read_text(encoding="utf-8"))


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
        for name in ("data/interactions", "data/prompts", "models", "stages"):
            (tmp_path / name).symlink_to(written[kind] / name)

    return linked


@pytest.mark.parametrize("method", TRAINED)
def test_planted_tastes_are_learned(
    work: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    work("tastes")
    quality = run(monkeypatch, method)
    # By titles alone the minority of users cannot be told from the others.
    assert quality["auc"] > (0.65 if method == "prompt4nr" else 0.8)
    assert quality["valid"]["auc"] == pytest.approx(quality["fit"]["auc"], abs=1e-6)
    assert_measured_as_written(quality, method)
    cost = json.loads(Path(f"metrics/cost/{method}.json").read_text())
    assert cost["rows"] == quality["rows"] and cost["fit_seconds"] > 0 and cost["seconds"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_is_not_chosen_leaves_empty_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_chosen([])
    monkeypatch.setattr(sys, "argv", ["compare_llm", method])
    main()
    assert len(read_table(Path(f"data/predictions/{method}.parquet"), PREDICTIONS)) == 0


def assert_measured_as_written(quality: dict[str, Any], method: str) -> None:
    """Metrics are those of the scores written, and the rows are those that `predict` draws."""
    found = read_table(Path(f"data/predictions/{method}.parquet"), PREDICTIONS).to_pandas()
    path = Path("data/prompts/text/test.parquet")
    drawn = sample_groups(path, 100, "user", generator(1, "predict"))
    expected = read_prompts(path, drawn).keys.to_pandas()
    assert 100 <= len(found) < SIZES["test"]
    pd.testing.assert_frame_equal(found.drop(columns="score"), expected)
    assert quality["auc"] == pytest.approx(roc_auc_score(found["label"], found["score"]))
    assert quality["rows"] == quality["warm"]["rows"] == len(found)


@pytest.mark.parametrize("method", TRAINED)
def test_shuffled_labels_teach_nothing(
    work: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    work("shuffled")
    once = {"compare_llm.training.epochs": 1, "compare_llm.training.evaluations": 1}
    assert 0.38 < run(monkeypatch, method, {**once, "predict.rows": None})["auc"] < 0.62


@pytest.mark.parametrize("examples", [0, 3])
def test_icl_is_the_untuned_llms_answer_after_the_same_examples_for_all(
    work: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tiny_llm_folder: Path,
    examples: int,
) -> None:
    work("tastes")
    quality = run(monkeypatch, "icl", {"compare_llm.icl.examples": examples, "predict.rows": 20})
    assert quality["parameters"] == 0 and quality["fit"] == {}
    found = read_table(Path("data/predictions/icl.parquet"), PREDICTIONS).to_pandas()
    path = Path("data/prompts/text/test.parquet")
    rows = read_table(path, PROMPTS).to_pandas().set_index("row").loc[found["row"]]
    rng = generator(derived_seed(1, "compare_llm.icl"), "examples")
    shown = draw_examples(Path("data/prompts/text/train.parquet"), examples, rng)
    before = "".join(f"{example}\n\n" for example in shown)
    prompts = (before + rows["prefix"] + rows["suffix"]).tolist()
    plain = load_llm(tiny_llm_folder, precision="float32")
    scores = score_prompts(plain, prompts, score="yes_minus_no")
    np.testing.assert_allclose(found["score"], scores, atol=1e-4)


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
    ("method", "lora", "trained"),
    [
        ("prompt4nr", None, 3 * 4 * WIDTH),
        ("personprompt", None, (N_USERS + 1 + N_ITEMS + 1) * WIDTH),
        ("collm_mf", None, DIM * 40 + 40 + 40 * WIDTH + WIDTH),
        # two layers' v_proj, WIDTH to VALUES
        ("prompt4nr", 2, 3 * 4 * WIDTH + 2 * 2 * (WIDTH + VALUES)),
    ],
)
def test_what_is_trained_is_what_the_method_says(
    work: Callable[[str], None], method: str, lora: int | None, trained: int
) -> None:
    work("tastes")
    llm, _ = built(method, lora)
    parameters = trainable_parameters(llm.model)
    assert sum(p.numel() for p in parameters.values()) == trained
    assert all("soft_tokens" in name or (lora and "lora_" in name) for name in parameters)


def built(method: str, lora: int | None = None) -> tuple[Llm, Template]:
    shape = {"prompt4nr": {"tokens": 4}, "collm_mf": {"hidden_times": 10}}.get(method, {})
    adapter = {
        "rank": lora,
        "alpha": 4,
        "dropout": 0.0,
        "targets": ["v_proj"],
        "last_layers": None,
    }
    return build(
        method,
        Inputs.of(method),
        precision="float32",
        lora=adapter if lora else None,
        seed=1,
        **shape,
    )


def test_collm_trains_its_map_and_leaves_step_1s_adapter_as_it_was(
    work: Callable[[str], None], tmp_path: Path
) -> None:
    work("tastes")
    llm, template = built("collm_mf")
    before = {name: value.clone() for name, value in llm.model.state_dict().items()}
    assert any("lora_B" in name and value.any() for name, value in before.items())
    path = Path("data/prompts/text/train.parquet")
    rows = read_prompts(path, np.arange(SIZES["train"]) < 32, template)
    train(
        llm,
        {"train": rows, "valid": rows},
        score="yes_logit",
        epochs=1,
        batch_rows=8,
        micro_tokens=2048,
        learning_rate=0.01,
        weight_decay=0.1,
        warmup=0.1,
        evaluations=1,
        seed=1,
        scratch=tmp_path / "scratch",
        title="test",
    )
    for name, value in llm.model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("soft_tokens."), name


def test_a_run_that_was_cut_ends_with_the_same_bytes(
    work: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    work("tastes")
    monkeypatch.setattr("stages.llm.tuning.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("stages.llm.partial.SAVE_SECONDS", 0.0)
    few = {
        "compare_llm.training.train_rows": 48,
        "compare_llm.training.epochs": 1,
        "compare_llm.protocol.valid_rows": 24,
        "predict.rows": 30,
        "predict.token_budget": 200,
    }
    outputs = [Path("data/predictions/personprompt.parquet")]
    outputs.append(Path("metrics/compare/personprompt.json"))
    run(monkeypatch, "personprompt", few)
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
            run(monkeypatch, "personprompt", few)
        assert not any(path.exists() for path in outputs)
    monkeypatch.setattr(Progress, "advance", advance)
    run(monkeypatch, "personprompt", few)
    assert [path.read_bytes() for path in outputs] == whole


# Bad input.

BAD = [
    ("icl", "compare_llm.icl.examples", -1),
    ("icl", "compare_llm.protocol.score", "yes"),
    ("icl", "compare_llm.protocol.valid_rows", 1),
    ("icl", "compare.measures.level", 2),
    ("icl", "predict.precision", "int8"),
    ("prompt4nr", "compare_llm.prompt4nr.tokens", 0),
    ("prompt4nr", "train_lora.lora.rank", 0),
    ("personprompt", "compare_llm.personprompt.lora", "yes"),
    ("personprompt", "compare_llm.personprompt.tokens", 3),
    ("collm_mf", "compare_llm.collm_mf.hidden_times", 0.5),
    ("collm_din", "compare_llm.collm_din.learning_rate", float("nan")),
    ("collm_din", "compare_llm.training.batch_rows", 0),
]


@pytest.mark.parametrize(("method", "key", "value"), BAD)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
    key: str,
    value: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({key: value})
    assert_refused(monkeypatch, capsys, method, f"params.yaml: {key}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "params.yaml"]


def test_a_method_reads_no_section_that_it_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({key: value for _, key, value in BAD if "collm_mf" in key or "lora.rank" in key})
    for method in ("icl", "collm_din"):
        read_params(method)
    for method in ("prompt4nr", "collm_mf"):
        with pytest.raises(InputError):
            read_params(method)
    write_params({"train_lora.lora.rank": 0, "compare_llm.prompt4nr.lora": False})
    assert read_params("prompt4nr").lora is None


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
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    message: str,
) -> None:
    work("tastes")
    path = Path("vectors.safetensors")
    write_vectors(change(tastes()), path)
    inputs = replace(Inputs.of("collm_mf"), vectors=path)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        build("collm_mf", inputs, precision="float32", lora=None, seed=1, hidden_times=2)
    assert "\n" not in str(caught.value)


def test_interactions_of_another_data_set_end_in_one_line(
    work: Callable[[str], None],
) -> None:
    work("tastes")
    test = read_prompts(Path("data/prompts/text/test.parquet"))
    with pytest.raises(InputError, match=r"valid\.parquet: its rows are others"):
        facts_of({"valid": test, "test": test}, Path("data/interactions"))


def test_missing_inputs_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params({})
    assert_refused(monkeypatch, capsys, "collm_mf", "models/llm: no such file or folder")


def assert_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["compare_llm", method])
    assert_one_line(capsys, main, message)
    assert not Path("metrics").exists() and not Path("data/predictions").exists()
