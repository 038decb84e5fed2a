"""The stage `pretrain_hash`, recipe `paper`, run for real on planted interactions.

The recipe `taste`: test_taste.py.
"""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from stages.collab.fitting import Rows, score
from stages.collab.hash_fitting import fit_codes
from stages.collab.hash_vectors import SequenceVectors, last_liked, new_vectors
from stages.collab.histories import HistoryRows
from stages.collab.interactions import rows_of
from stages.collab.recipes import PretrainHash, recipe
from stages.io.params import load_section
from stages.io.tables import INTERACTIONS, PREDICTIONS, REPEATS, SPLITS, read_table, write_table
from stages.measures.code_quality import bit_summary, bit_table, ranking_metrics
from stages.measures.metrics.auc import auc
from stages.measures.metrics.uauc import uauc
from stages.pretrain_hash import main
from tests.changed_params import ROOT, write_params
from tests.planted import bytes_by_threads, write_planted
from tests.refusals import assert_one_line

ML_1M = ROOT.parent / "shared/data/ml-1m-split"
N_USERS, N_ITEMS, GROUPS = 60, 40, 4
OUTPUTS = [
    "models/hash/binmf/codes.safetensors",
    "models/hash/binmf/codes.json",
    "models/hash/binmf/rows.safetensors",
    "data/predictions/binmf.parquet",
    "data/repeats/binmf.parquet",
    "metrics/pretrain_hash/binmf.json",
    "metrics/rows/binmf.json",
    "metrics/plots/bits_binmf.csv",
]
QUICK = {"dim": 16, "lr": 0.02, "batch_size": 256, "epochs": 40, "patience": 40}
VECTORS: dict[str, dict[str, Any]] = {
    "mf": {},
    "lightgcn": {"vectors": "lightgcn", "epochs": 20},
    "sasrec": {"vectors": "sasrec", "history": 8, "lr": 0.01, "epochs": 8},
}
of_each = pytest.mark.parametrize("changes", VECTORS.values(), ids=VECTORS)


def write_interactions(folder: Path, *, shuffled: bool = False) -> None:
    """Writes users who like the items of their group; the last user and item have no train row."""
    rng = np.random.default_rng(7)
    sizes = {"train": 3000, "valid": 800, "test": 1500}
    split = np.repeat(SPLITS, list(sizes.values()))
    n = len(split)
    train = split == "train"
    users = rng.integers(1, np.where(train, N_USERS, N_USERS + 1), n)
    items = rng.integers(1, np.where(train, N_ITEMS, N_ITEMS + 1), n)
    liked = (users % GROUPS == items % GROUPS) ^ (rng.random(n) < 0.1)
    liked = rng.permutation(liked) if shuffled else liked
    write_planted(folder, users, items, liked, split, n_users=N_USERS, n_items=N_ITEMS)


def write_settings(
    changes: dict[str, Any],
    *,
    seed: int = 1,
    seeds: int = 1,
    codes: dict[str, Any] | None = None,
) -> None:
    """Writes the project's params with some keys of the stage changed, and other sets of codes.

    The recipe is the paper's unless a set names another.
    """
    keys = {f"pretrain_hash.{key}": value for key, value in ({"recipe": "paper"} | changes).items()}
    write_params({"seed": seed, "compare.seeds": seeds, "codes": codes or {"binmf": {}}, **keys})


def run(changes: dict[str, Any] | None = None, *, seed: int = 1, seeds: int = 1) -> dict[str, Any]:
    """Learns the codes `binmf`; returns their metrics."""
    write_settings({**QUICK, **(changes or {})}, seed=seed, seeds=seeds)
    main("binmf")
    return json.loads(Path("metrics/pretrain_hash/binmf.json").read_text(encoding="utf-8"))


def facts() -> dict[str, Any]:
    """Returns what the table is told of the row."""
    return json.loads(Path("metrics/rows/binmf.json").read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_interactions(tmp_path / "data/interactions")
    return tmp_path


@of_each
def test_tastes_are_learned(project: Path, changes: dict[str, Any]) -> None:
    metrics = run(changes)
    for split in ("valid", "test"):
        assert metrics[split]["seen"]["auc"] > 0.75
        assert metrics[split]["uauc"] > 0.7
        assert metrics[split]["uauc_users"] > N_USERS - 10
    assert metrics["test"]["seen"]["rows"] + metrics["test"]["cold"]["rows"] == 1500


@of_each
def test_shuffled_labels_teach_nothing(project: Path, changes: dict[str, Any]) -> None:
    write_interactions(project / "data/interactions", shuffled=True)
    assert 0.44 < run(changes)["test"]["auc"] < 0.56


@pytest.mark.parametrize(
    "changes", [*VECTORS.values(), {"code_space": "01"}, {"shared_hash_layer": True}]
)
def test_scores_and_metrics_are_those_of_the_bits_written(
    project: Path, changes: dict[str, Any]
) -> None:
    metrics = run(changes)
    codes = load_file("models/hash/binmf/codes.safetensors")
    assert codes["users"].shape == (N_USERS + 1, 16)
    assert codes["items"].shape == (N_ITEMS + 1, 16)
    users, items = (codes[name].astype(int) for name in ("users", "items"))
    if changes.get("code_space") != "01":
        users, items = 2 * users - 1, 2 * items - 1
    for split in ("valid", "test"):
        rows = pd.read_parquet(f"data/interactions/{split}.parquet")
        scores = (users[rows.uid] * items[rows.iid]).sum(axis=1)
        assert metrics[split]["auc"] == pytest.approx(roc_auc_score(rows.label, scores))
    found = read_table(Path("data/predictions/binmf.parquet"), PREDICTIONS).to_pandas()
    assert found.score.tolist() == scores.tolist()
    assert found.row.tolist() == rows.row.tolist()
    assert found.label.tolist() == rows.label.tolist()


@of_each
def test_one_seed_gives_one_set_of_bytes_and_another_seed_other_codes(
    project: Path, changes: dict[str, Any]
) -> None:
    contents = []
    for seed in (1, 1, 2):
        run({**changes, "epochs": 4}, seed=seed)
        contents.append([(project / name).read_bytes() for name in OUTPUTS])
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[2][0]


def test_the_number_of_threads_changes_nothing_and_is_left_as_it_was(project: Path) -> None:
    outputs = [project / name for name in OUTPUTS]
    contents = bytes_by_threads(lambda: run({"epochs": 4}), outputs)
    assert contents[0] == contents[1]


@of_each
def test_codes_do_not_depend_on_test_rows(project: Path, changes: dict[str, Any]) -> None:
    run({**changes, "epochs": 3})
    before = Path(OUTPUTS[0]).read_bytes()
    path = project / "data/interactions/test.parquet"
    rows = pd.read_parquet(path)
    rows["label"] = 1 - rows["label"]
    rows["history"] = rows["history"].map(lambda liked: [1, *liked[::-1]])
    write_table(rows, path, INTERACTIONS)
    run({**changes, "epochs": 3})
    assert Path(OUTPUTS[0]).read_bytes() == before


@pytest.mark.parametrize("changes", [{}, {"code_space": "01"}])
def test_rows_have_their_users_code_and_the_likelihood_that_the_score_is_the_log_odds_of(
    project: Path, changes: dict[str, Any]
) -> None:
    run({**changes, "epochs": 5})
    codes = load_file("models/hash/binmf/codes.safetensors")
    found = load_file("models/hash/binmf/rows.safetensors")
    rows = {name: pd.read_parquet(f"data/interactions/{name}.parquet") for name in SPLITS}
    everything = pd.concat(rows.values())
    assert found["row"].tolist() == everything["row"].tolist()
    assert (found["codes"] == codes["users"][everything["uid"]]).all()
    taught = pd.concat([rows["train"], rows["valid"]])
    assert found["taught"].tolist() == taught["row"].tolist()
    users, items = (codes[name].astype(int) for name in ("users", "items"))
    if changes.get("code_space") != "01":
        users, items = 2 * users - 1, 2 * items - 1
    scores = (users[taught["uid"]] * items[taught["iid"]]).sum(axis=1)
    assert found["probability"].dtype == np.float32
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-scores)), rtol=1e-5)


def test_only_sasrec_reads_histories(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "data/interactions/test.parquet"
    rows = pd.read_parquet(path)
    rows["history"] = [[N_ITEMS + 5]] * len(rows)
    write_table(rows, path, INTERACTIONS)
    write_settings({**QUICK, **VECTORS["sasrec"]})
    assert_refused(capsys, f"item in history {N_ITEMS + 5}, expected 1..{N_ITEMS}")
    for vectors in ("mf", "lightgcn"):
        run({"vectors": vectors, "epochs": 1})


def test_what_users_liked_last_is_read_off_their_positive_train_rows() -> None:
    users, items, labels = [2, 1, 2, 1, 2, 2, 4], [7, 5, 8, 6, 9, 3, 7], [1, 1, 0, 1, 1, 1, 0]
    rows = Rows.of(np.array(users), np.array(items), np.array(labels))
    found = last_liked(rows, n_users=4, length=2)
    assert found.tolist() == [[0, 0], [5, 6], [9, 3], [0, 0], [0, 0]]


def test_sasrec_trains_on_the_rows_histories_and_keeps_one_vector_per_user() -> None:
    train = Rows.of(np.array([1, 1, 3]), np.array([2, 4, 2]), np.array([1, 1, 0]))
    changes = {"dim": 8, "graph_layers": 1, "history": 2, "blocks": 2, "dropout": 0.5}
    settings = load_section(
        PretrainHash,
        "pretrain_hash",
        ROOT / "params.yaml",
        changes={"vectors": "sasrec", "init_std": 1.0, **changes},
    )
    rng = torch.Generator().manual_seed(1)
    model = new_vectors(train, settings, n_users=3, n_items=4, rng=rng).eval()
    assert isinstance(model, SequenceVectors)
    histories = torch.tensor([[0, 0], [0, 2], [3, 1]], dtype=torch.int32)
    states = model.sasrec.states(histories)
    users, items = model.row_vectors(HistoryRows(train.users, train.items, train.labels, histories))
    assert torch.equal(users, states)
    assert torch.equal(items, model.sasrec.items[train.items])
    users, items = model.all_vectors()
    assert users.shape == (4, 8)
    assert torch.equal(items, model.sasrec.items)
    after_both = model.sasrec.states(torch.tensor([[2, 4]], dtype=torch.int32))
    torch.testing.assert_close(users[1:2], after_both)
    torch.testing.assert_close(users[2:], states[[0, 0]])  # they liked nothing: one state


def test_code_space_01_survives_the_way_dvc_writes_it(project: Path) -> None:
    write_settings({**QUICK, "epochs": 1, "code_space": "01"})
    yaml, text = YAML(), io.StringIO()  # as DVC changes a key, comments kept
    yaml.dump(yaml.load(Path("params.yaml").read_text(encoding="utf-8")), text)
    assert "code_space: '01'" in text.getvalue()
    Path("params.yaml").write_text(text.getvalue(), encoding="utf-8")
    main("binmf")
    assert json.loads(Path("models/hash/binmf/codes.json").read_text())["code_space"] == "01"


def test_the_row_is_told_how_the_fit_went_and_what_it_cost(project: Path) -> None:
    metrics = run({"epochs": 3})
    known = facts()
    assert list(known) == ["valid_auc", "parameters", "fit"]
    assert known["valid_auc"] == pytest.approx(metrics["valid"]["auc"])
    # vectors; two layers with a bias each
    assert known["parameters"] == (N_USERS + 1 + N_ITEMS + 1) * 16 + 2 * (16 * 16 + 16)
    assert known["fit"]["epochs"] == 3 and known["fit"]["best_epoch"] in (1, 2, 3)
    fit, scoring = (
        json.loads(Path(f"data/costs/{kind}/binmf.json").read_text()) for kind in ("fit", "scoring")
    )
    assert fit["fit_seconds"] > 0 and scoring["seconds"] > 0 and scoring["rows"] == 1500
    assert json.loads(Path("models/hash/binmf/codes.json").read_text()) == {
        "dim": 16,
        "n_users": N_USERS,
        "n_items": N_ITEMS,
        "recipe": "paper",
        "code_space": "pm1",
        **known["fit"],
        "valid_auc": known["valid_auc"],
    }


@of_each
def test_further_seeds_are_what_runs_with_those_seeds_find(
    project: Path, changes: dict[str, Any]
) -> None:
    second = run({**changes, "epochs": 2}, seed=5)
    scores = pd.read_parquet("data/predictions/binmf.parquet").score.tolist()
    run({**changes, "epochs": 2}, seed=4)
    assert len(read_table(Path("data/repeats/binmf.parquet"), REPEATS)) == 0
    alone = [Path(name).read_bytes() for name in OUTPUTS if "repeats" not in name]
    run({**changes, "epochs": 2}, seed=4, seeds=2)
    assert [Path(name).read_bytes() for name in OUTPUTS if "repeats" not in name] == alone
    further = read_table(Path("data/repeats/binmf.parquet"), REPEATS).to_pandas()
    rows = pd.read_parquet("data/interactions/test.parquet")
    assert further.seed.tolist() == [5] * 1500
    assert further.row.tolist() == rows.row.tolist()
    assert further.score.tolist() == scores
    assert roc_auc_score(rows.label, further.score) == pytest.approx(second["test"]["auc"])


# Sets of codes.


def test_a_set_of_codes_is_the_section_less_what_the_set_changes(project: Path) -> None:
    sets = {"binmf": {}, "graph": {"vectors": "lightgcn", "dim": 8}}
    write_settings({**QUICK, "epochs": 2}, codes=sets)
    section = load_section(PretrainHash, "pretrain_hash")
    assert recipe("binmf") == section
    assert recipe("graph").model_dump() == {**section.model_dump(), **sets["graph"]}
    for name, width in (("binmf", 16), ("graph", 8)):
        main(name)
        codes = load_file(f"models/hash/{name}/codes.safetensors")
        assert codes["users"].shape == (N_USERS + 1, width)
        assert Path(f"data/predictions/{name}.parquet").is_file()
        assert len(pd.read_csv(f"metrics/plots/bits_{name}.csv")) == 2 * width


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("wide", {}, "params.yaml: codes has no 'wide'; expected binmf"),
        ("binmf", {"dim": 12}, "params.yaml: codes.binmf.dim = 12: "),
        ("binmf", {"sped": 3}, "params.yaml: codes.binmf.sped is unknown"),
    ],
)
def test_a_set_that_is_unknown_or_changes_to_a_bad_value_ends_in_one_line(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    write_settings(QUICK, codes={"binmf": changes})
    assert_one_line(capsys, partial(main, name), message)
    assert not any(Path(folder).exists() for folder in ("models", "metrics", "data/predictions"))


# Bad input.


BAD = [
    ("recipe", "old"),
    ("recipe", None),
    ("taste.history", 0),
    ("taste.c", 0),
    ("taste.distillation.neighbours", 0),
    ("taste.distillation.shrinkage", -1),
    ("taste.distillation.steps", 0),
    ("taste.distillation.rows", 0),
    ("taste.distillation.lr", 0),
    ("taste.user_vectors", 1),
    ("taste.init_scale", 0),
    ("taste.dropout", 1),
    ("taste.history_dropout", 1),
    ("taste.lr", 0),
    ("taste.epochs", 0),
    ("taste.sped", 3),
    ("vectors", "din"),
    ("vectors", None),
    ("graph_layers", -1),
    ("graph_layers", 1.5),
    ("history", 0),
    ("history", None),
    ("blocks", 0),
    ("dropout", 1),
    ("dropout", -0.1),
    ("dim", 12),
    ("dim", 0),
    ("dim", -8),
    ("dim", "32"),
    ("dim", 32.5),
    ("code_space", "pm2"),
    ("code_space", 1),
    ("shared_hash_layer", 1),
    ("shared_hash_layer", "yes"),
    ("beta_step", 0),
    ("beta_step", 1.5),
    ("beta_step", "fast"),
    ("beta_every", 0),
    ("init_std", 0),
    ("lr", 0),
    ("lr", -0.1),
    ("lr", float("inf")),
    ("lr", float("nan")),
    ("weight_decay", -1),
    ("batch_size", 0),
    ("batch_size", 0.5),
    ("epochs", 0),
    ("patience", 0),
    ("patience", None),
    ("sped", 3),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    write_settings({key: value})
    assert_refused(capsys, f"pretrain_hash.{key}")


def test_a_missing_key_ends_in_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = load_section(PretrainHash, "pretrain_hash", ROOT / "params.yaml")
    write_params({"pretrain_hash": section.model_dump(exclude={"beta_step"})})
    assert_refused(capsys, "pretrain_hash.beta_step is missing")


def test_a_missing_table_ends_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(QUICK)
    (project / "data/interactions/items.parquet").unlink()
    assert_refused(capsys, "items.parquet: no such file")


def test_a_row_of_an_unknown_user_ends_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(QUICK)
    path = project / "data/interactions/test.parquet"
    rows = pd.read_parquet(path)
    rows.loc[3, "uid"] = N_USERS + 5
    write_table(rows, path, INTERACTIONS)
    assert_refused(capsys, f"uid {N_USERS + 5}, expected 1..{N_USERS}")


def assert_refused(capsys: pytest.CaptureFixture[str], message: str) -> None:
    assert_one_line(capsys, partial(main, "binmf"), message)
    assert not any(Path(name).exists() for name in OUTPUTS)


@pytest.mark.skipif(not ML_1M.is_dir(), reason="../shared/data/ml-1m-split is not there")
def test_the_defaults_reach_the_papers_binmf_on_ml_1m() -> None:
    params = load_section(PretrainHash, "pretrain_hash", ROOT / "params.yaml")
    rows = {name: rows_of(pq.read_table(ML_1M / f"{name}.parquet")) for name in SPLITS}
    model, _ = fit_codes(rows["train"], rows["valid"], params, n_users=838, n_items=3255, seed=1)
    test = rows["test"]
    uids, labels = test.users.numpy(), test.labels.numpy()
    scores = score(model, test)
    assert auc(labels, scores) >= 0.7189
    assert uauc(uids, labels, scores)[0] >= 0.6654
    assert uauc(uids, labels, scores)[1] == 224


def test_balance_and_entropy_of_bits_are_right() -> None:
    bits = np.array([[1, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 1]], dtype=bool)
    table = bit_table({"user": bits, "item": ~bits})
    assert table["balance"].tolist() == [1, 0.75, 0, 0.5, 0, 0.25, 1, 0.5]
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert table["entropy"].tolist() == pytest.approx([0, quarter, 0, 1] * 2)
    summary = bit_summary(table)
    assert summary["user"]["balance"] == {"mean": 0.5625, "min": 0, "max": 1}
    assert summary["item"]["entropy"]["max"] == 1


def test_each_slice_holds_its_own_rows() -> None:
    table = pa.table(
        {
            "uid": [1, 1, 1, 1, 2, 2, 3, 3],
            "label": [1, 0, 1, 0, 1, 0, 1, 1],
            "seen": [True] * 6 + [False] * 2,
            "warm": [True] * 4 + [False] * 4,
        }
    )
    found = ranking_metrics(table, np.array([4, 3, 2, 1, 0, 5, 9, 9]))
    assert {name: found[name]["rows"] for name in ("seen", "warm", "cold")} == {
        "seen": 6,
        "warm": 4,
        "cold": 2,
    }
    assert found["warm"]["auc"] == found["warm"]["uauc"] == 0.75
    assert found["uauc"] == found["seen"]["uauc"] == (0.75 + 0) / 2
    assert found["uauc_users"] == 2
    assert found["seen"]["auc"] == pytest.approx(3 / 9)
    assert found["cold"]["auc"] is None
    assert found["cold"]["uauc_users"] == 0


def test_untrained_users_do_not_count_in_the_balance_of_bits(project: Path) -> None:
    run({"epochs": 3})
    codes = load_file("models/hash/binmf/codes.safetensors")
    lines = pd.read_csv("metrics/plots/bits_binmf.csv")
    trained = codes["users"][1:N_USERS]  # the last user has no train row
    assert lines[lines.side == "user"].balance.tolist() == pytest.approx(
        trained.mean(axis=0).tolist(), abs=1e-6
    )
