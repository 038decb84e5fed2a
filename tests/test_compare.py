"""The methods without an LLM: the stage run for real, and the models of the fitting loop."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from stages import methods
from stages.collab.din import DeepInterestNetwork
from stages.collab.fitting import CollaborativeModel, Rows, score, train_epoch
from stages.collab.histories import HistoryRows, padded_histories
from stages.collab.interactions import Interactions, read_interactions
from stages.collab.layers import Dice, Dropout
from stages.collab.lightgcn import LightGCN
from stages.collab.method import CollaborativeMethod
from stages.collab.row import write_row
from stages.collab.sasrec import SASRec
from stages.collab.threads import threads
from stages.collab.vector_file import read_vectors
from stages.compare import main
from stages.io.command import start
from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.tables import (
    INTERACTIONS,
    ITEMS,
    PREDICTIONS,
    REPEATS,
    SPLITS,
    USERS,
    read_table,
    write_table,
)
from stages.measures.repeats import scores_by_seed
from stages.measures.scored_rows import read_predictions
from stages.methods import lightgcn as lightgcn_method
from tests.changed_params import ROOT, write_params
from tests.planted import liked_before
from tests.refusals import assert_one_line

N_USERS, N_ITEMS, GROUPS = 60, 40, 4
# All that are fitted without texts; CTRL and title kNN have test files of their own.
METHODS = [
    name
    for name in methods.names()
    if isinstance(methods.load(name), CollaborativeMethod) and name not in ("ctrl", "title_knn")
]
WITH_HISTORY = ("sasrec", "din")
# Counted or solved, with nothing drawn; and of these, what ranks items in one order for all users.
NOT_DRAWN = ("item_mean", "bias", "title_bias", "item_knn")
WITHOUT_TASTE = ("item_mean", "bias", "title_bias")
QUICK: dict[str, dict[str, Any]] = {
    "item_mean": {},
    "bias": {},
    "title_bias": {},
    "item_knn": {"neighbours": 20},
    "mf": {"dim": 8, "lr": 0.02, "batch_size": 256, "epochs": 30},
    "lightgcn": {"dim": 8, "lr": 0.02, "batch_size": 256, "epochs": 20},
    "sasrec": {"dim": 16, "history": 8, "lr": 0.01, "batch_size": 256, "epochs": 8},
    "din": {"dim": 8, "history": 8, "lr": 0.01, "batch_size": 128, "dropout": 0.2, "epochs": 12},
}


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Planted interactions, and the stage on them.


def planted(kind: str) -> pd.DataFrame:
    """Rows in time's order of users who like one group of items, nine times in ten.

    `users`: each user has a group for good. `levels`: no groups, but users who like more of all
    items than others do, and items that more of all users like. `moods`: a user's group changes
    now and then, and the rows come from users that are new in each split, so that only histories
    tell. `shuffled`: as `users`, but labels are drawn by lot.
    """
    draw = np.random.default_rng(7)
    n = 5000
    users, items = draw.integers(1, N_USERS + 1, n), draw.integers(1, N_ITEMS + 1, n)
    split = np.repeat(SPLITS, [3000, 800, 1200])
    group = users % GROUPS
    if kind == "moods":
        third = N_USERS // 3
        users = 1 + (users - 1) % third + third * np.unique(split, return_inverse=True)[1]
        group = (users + np.arange(n) // 1200) % GROUPS
    liked = group == items % GROUPS
    if kind == "levels":
        liked = users % GROUPS + items % GROUPS >= GROUPS - 1
    liked ^= draw.random(n) < 0.1
    rows = pd.DataFrame({"uid": users, "iid": items, "label": liked, "split": split})
    if kind == "shuffled":
        rows["label"] = draw.permutation(liked)
    rows["history"] = liked_before(users, items, rows["label"].to_numpy())
    return rows


def write_interactions(folder: Path, kind: str) -> None:
    rows = planted(kind)
    train = rows[rows["split"] == "train"]
    known = rows["uid"].isin(train["uid"])
    rows = rows.assign(row=range(len(rows)), timestamp=range(len(rows)), seen=known, warm=known)
    rows["label"] = rows["label"].astype("int8")
    for name in SPLITS:
        part = rows[rows["split"] == name].drop(columns="split")
        write_table(part, folder / f"{name}.parquet", INTERACTIONS)
    for key, name, schema, n in (
        ("uid", "users", USERS, N_USERS),
        ("iid", "items", ITEMS, N_ITEMS),
    ):
        ids = np.arange(1, n + 1)
        counts = np.bincount(train[key], minlength=n + 1)[1:]
        table = pd.DataFrame({key: ids, "source_id": ids.astype(str), "n_train": counts})
        if key == "iid":
            table["title"] = "A title"
        write_table(table, folder / f"{name}.parquet", schema)


def write_settings(changes: dict[str, dict[str, Any]], *, seed: int = 1, seeds: int = 1) -> None:
    """Writes the project's params with some keys of the methods changed."""
    keys = {
        f"compare.{method}.{key}": value
        for method, values in changes.items()
        for key, value in values.items()
    }
    write_params({"seed": seed, "compare.seeds": seeds, **keys})


def run(method: str, *, seed: int = 1, seeds: int = 1, **changes: Any) -> dict[str, Any]:
    """Runs the stage for a method; returns what it knows of the row."""
    write_settings({method: {**QUICK[method], **changes}}, seed=seed, seeds=seeds)
    main(method)
    return json.loads(Path(f"metrics/rows/{method}.json").read_text(encoding="utf-8"))


def predictions(method: str) -> pd.DataFrame:
    """Returns the scores of the test rows that the stage wrote."""
    return read_table(Path(f"data/predictions/{method}.parquet"), PREDICTIONS).to_pandas()


def auc_of(method: str) -> float:
    """Returns scikit-learn's AUC of the test rows."""
    found = predictions(method)
    return roc_auc_score(found["label"], found["score"])


def uauc_of(method: str) -> float:
    """Returns the mean of scikit-learn's AUC over users with both labels."""
    of_users = [
        roc_auc_score(user["label"], user["score"])
        for _, user in predictions(method).groupby("uid")
        if user["label"].nunique() == 2
    ]
    return float(np.mean(of_users))


@pytest.fixture(scope="module")
def interactions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for kind in ("users", "levels", "moods", "shuffled"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        write_interactions(folders[kind] / "data/interactions", kind)
    return folders


@pytest.fixture
def project(interactions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with planted interactions of the kind `users`."""
    monkeypatch.chdir(tmp_path)
    link(interactions["users"])
    return tmp_path


def link(source: Path) -> None:
    """Puts the interactions of another folder into the working one."""
    folder = Path("data/interactions")
    folder.mkdir(parents=True, exist_ok=True)
    for path in (source / "data/interactions").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def epochs(method: str, n: int) -> dict[str, int]:
    """Returns what bounds a fit to `n` epochs, for methods that have any."""
    return {} if method in NOT_DRAWN else {"epochs": n}


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(WITHOUT_TASTE)))
def test_planted_tastes_are_learned(project: Path, method: str) -> None:
    facts = run(method)
    assert auc_of(method) > 0.75
    assert uauc_of(method) > 0.75
    assert facts["valid_auc"] > 0.75
    assert len(predictions(method)) == 1200


@pytest.mark.parametrize("method", NOT_DRAWN)
def test_planted_levels_of_users_and_items_are_learned(
    interactions: dict[str, Path], project: Path, method: str
) -> None:
    link(interactions["levels"])
    facts = run(method)
    # Who is asked makes half of it, which the item's mean does not see.
    least = 0.65 if method == "item_mean" else 0.8
    assert auc_of(method) > least and facts["valid_auc"] > least
    assert uauc_of(method) > 0.75


@pytest.mark.parametrize("method", WITHOUT_TASTE)
def test_tastes_teach_nothing_to_what_ranks_items_in_one_order(project: Path, method: str) -> None:
    run(method)
    assert 0.43 < auc_of(method) < 0.57
    assert 0.43 < uauc_of(method) < 0.57


@pytest.mark.parametrize("method", METHODS)
def test_shuffled_labels_teach_nothing(
    interactions: dict[str, Path], project: Path, method: str
) -> None:
    link(interactions["shuffled"])
    run(method)
    assert 0.43 < auc_of(method) < 0.57


def test_tastes_of_new_users_are_read_from_histories_alone(
    interactions: dict[str, Path], project: Path
) -> None:
    link(interactions["moods"])
    for method in ("mf", *WITH_HISTORY):
        run(method)
    assert auc_of("mf") < 0.58
    assert auc_of("sasrec") > 0.65
    assert auc_of("din") > 0.65


@pytest.mark.parametrize("method", METHODS)
def test_what_is_written_is_what_the_methods_own_file_fits(project: Path, method: str) -> None:
    """The test rows with their scores, the validation AUC, and how the fit went."""
    facts = run(method, **epochs(method, 2))
    found, rows = predictions(method), pd.read_parquet("data/interactions/test.parquet")
    for name in ("row", "uid", "iid", "label"):
        assert found[name].tolist() == rows[name].tolist()
    described = methods.load(method)
    own = load_section(described.settings, f"compare.{method}")
    assert described.history(own) == QUICK[method].get("history", 0)
    data = read_interactions(Path("data/interactions"), history=described.history(own))
    fitted = described.fit(data, own, 1)
    assert found["score"].tolist() == fitted.score(data.rows["test"]).tolist()
    valid = pd.read_parquet("data/interactions/valid.parquet")
    with threads(1):  # as in the fit: with more, sums differ in the last digit, and so do ties
        judged = roc_auc_score(valid["label"], fitted.score(data.rows["valid"]))
    assert facts["valid_auc"] == fitted.valid_auc == pytest.approx(judged)
    assert facts["fit"] == fitted.course
    if method not in NOT_DRAWN:
        assert facts["fit"]["epochs"] == 2 and facts["fit"]["best_epoch"] in (1, 2)


@pytest.mark.parametrize("method", METHODS)
def test_vectors_of_users_and_items_are_handed_on(project: Path, method: str) -> None:
    run(method, **epochs(method, 2))
    path = Path(f"models/compare/{method}.safetensors")
    dim = {"item_mean": 1, "bias": 2, "title_bias": 2, "item_knn": 2}.get(method) or QUICK[method][
        "dim"
    ]
    if method in ("sasrec", "item_mean"):  # a user is a history there, or does not matter
        assert load_file(path)["items"].shape == (N_ITEMS + 1, dim)
        return
    users, items = read_vectors(path, n_users=N_USERS, n_items=N_ITEMS)
    assert users.shape == (N_USERS + 1, dim)
    if method in ("din", "item_knn"):
        return  # whose score is no inner product
    found = predictions(method)
    products = (users.numpy()[found["uid"]] * items.numpy()[found["iid"]]).sum(1)
    np.testing.assert_allclose(products, found["score"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_gives_one_set_of_bytes_and_another_seed_other_scores_if_any_are_drawn(
    project: Path, method: str
) -> None:
    outputs = [project / f"data/predictions/{method}.parquet"]
    outputs.append(project / f"metrics/rows/{method}.json")
    outputs.append(project / f"models/compare/{method}.safetensors")
    outputs.append(project / f"data/repeats/{method}.parquet")
    before = torch.random.get_rng_state()
    contents = []
    for seed in (1, 1, 2):
        run(method, seed=seed, **epochs(method, 2))
        contents.append([path.read_bytes() for path in outputs])
    assert contents[0] == contents[1]
    assert (contents[0] == contents[2]) == (method in NOT_DRAWN)
    assert (contents[0][0] == contents[2][0]) == (method in NOT_DRAWN)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_as_large_as_its_facts_say(project: Path, method: str) -> None:
    sizes = {
        "item_mean": N_ITEMS,
        "bias": 1 + N_USERS + N_ITEMS,
        "title_bias": 1 + N_USERS + N_ITEMS + 2 + 1,  # "A title", all of them; popularity
        "item_knn": 1 + N_USERS + N_ITEMS + 3 * N_ITEMS,
        "mf": (N_USERS + 1 + N_ITEMS + 1) * 8,
        "lightgcn": (N_USERS + 1 + N_ITEMS + 1) * 8,
        # vectors and slots; six products, two norms; the last norm
        "sasrec": (N_ITEMS + 1 + 8) * 16 + 6 * (16 * 16 + 16) + 2 * 32 + 32,
        # vectors; attention 32-4-1 and scorer 24-4-1, each with four slopes
        "din": (N_USERS + 1 + N_ITEMS + 1) * 8 + (33 * 4 + 4 + 5) + (25 * 4 + 4 + 5),
    }
    small = {
        "item_knn": {"neighbours": 3},
        "sasrec": {"blocks": 1},
        "din": {"attention": [4], "hidden": [4]},
    }
    changes = {**epochs(method, 1), **small.get(method, {})}
    assert run(method, **changes)["parameters"] == sizes[method]


@pytest.mark.parametrize("method", METHODS)
def test_further_seeds_are_what_runs_with_those_seeds_find(project: Path, method: str) -> None:
    path, scored = (
        Path(f"data/repeats/{method}.parquet"),
        Path(f"data/predictions/{method}.parquet"),
    )
    one = run(method, seed=4, **epochs(method, 1))
    first = predictions(method)
    assert list(scores_by_seed(path, read_predictions(scored), 4)) == [4]
    run(method, seed=5, **epochs(method, 1))
    second = predictions(method)
    assert run(method, seed=4, seeds=2, **epochs(method, 1)) == one
    assert predictions(method).equals(first)
    further = read_table(path, REPEATS).to_pandas()
    assert further["seed"].tolist() == [5] * 1200
    for name in ("row", "score"):
        assert further[name].tolist() == second[name].tolist()
    by_seed = scores_by_seed(path, read_predictions(scored), 4)
    assert list(by_seed) == [4, 5]
    for found, expected in zip(by_seed.values(), (first, second), strict=True):
        assert found.tolist() == expected.sort_values("row")["score"].tolist()


def test_cost_and_facts_of_a_row_stand_apart(project: Path) -> None:
    facts = run("mf", epochs=1)
    fit, scoring = (
        json.loads(Path(f"data/costs/{kind}/mf.json").read_text()) for kind in ("fit", "scoring")
    )
    assert list(fit) == ["fit_seconds"] and fit["fit_seconds"] > 0
    assert list(scoring) == ["rows", "seconds"]
    assert scoring["rows"] == 1200 and scoring["seconds"] > 0
    assert list(facts) == ["valid_auc", "parameters", "fit"]
    assert "second" not in json.dumps(facts)


def test_the_command_line_takes_a_methods_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings({"mf": {**QUICK["mf"], "epochs": 1}})
    monkeypatch.setattr(sys, "argv", ["compare", "mf"])
    start(main, "method")
    assert Path("metrics/rows/mf.json").is_file()


# Bad input.

BAD = [
    ("item_mean", "strength", 0),
    ("bias", "c", 0),
    ("bias", "neighbours", 5),
    ("title_bias", "title_weight", -1),
    ("item_knn", "c", -1),
    ("item_knn", "neighbours", 0),
    ("item_knn", "shrinkage", -1),
    ("item_knn", "weight", float("inf")),
    ("mf", "dim", 0),
    ("mf", "lr", 0),
    ("mf", "lr", float("nan")),
    ("mf", "weight_decay", -1),
    ("mf", "init_std", 0),
    ("mf", "layers", 2),
    ("lightgcn", "layers", -1),
    ("lightgcn", "batch_size", 0.5),
    ("sasrec", "history", 0),
    ("sasrec", "blocks", 0),
    ("sasrec", "dropout", 1),
    ("sasrec", "patience", None),
    ("din", "attention", []),
    ("din", "hidden", [64, 0]),
    ("din", "activation", "relu"),
    ("din", "epochs", 0),
]


@pytest.mark.parametrize(("part", "key", "value"), BAD)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: str,
    key: str,
    value: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_settings({part: {key: value}})
    assert_refused(capsys, part, f"compare.{part}.{key}")


@pytest.mark.parametrize("seeds", [0, 1.5, None])
def test_a_bad_number_of_seeds_is_refused_before_anything_is_fitted(
    project: Path, seeds: Any
) -> None:
    def fit(seed: int) -> Any:
        raise AssertionError("it must not be fitted")

    write_settings({}, seeds=seeds)
    data = read_interactions(Path("data/interactions"))
    with pytest.raises(InputError, match=r"params\.yaml: compare\.seeds = "):
        write_row("mf", fit, data, 1)


def test_a_method_is_not_stopped_by_the_settings_of_another(project: Path) -> None:
    write_settings({"mf": {**QUICK["mf"], "epochs": 1}, "din": {"dim": 0}, "sasrec": {"heads": 3}})
    main("mf")
    assert Path("metrics/rows/mf.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bpr"], "error: method 'bpr': expected one of "),
        (["icl"], "error: params.yaml: section 'compare.icl' is missing or no mapping"),
        ([], "the following arguments are required: method"),
        (["mf", "din"], "unrecognized arguments: din"),
    ],
)
def test_words_that_name_no_method_without_an_llm_are_refused(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    write_settings({})
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    with pytest.raises(SystemExit) as caught:
        start(main, "method")
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not Path("metrics").exists()


def test_heads_that_do_not_share_the_vectors_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_settings({"sasrec": {"dim": 32, "heads": 3}})
    assert_refused(capsys, "sasrec", "dim 32 must be a multiple of heads 3")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("uid", N_USERS + 5, f"uid {N_USERS + 5}, expected 1..{N_USERS}"),
        ("iid", 0, f"iid 0, expected 1..{N_ITEMS}"),
        ("history", [1, 99], f"item in history 99, expected 1..{N_ITEMS}"),
    ],
)
def test_a_row_that_names_an_unknown_id_ends_in_one_line(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    column: str,
    value: Any,
    message: str,
) -> None:
    write_settings(QUICK)
    path = Path("data/interactions/test.parquet")
    rows = pd.read_parquet(path)
    rows.at[3, column] = value
    write_table(rows, path, INTERACTIONS)
    assert_refused(capsys, "din", message)


def test_missing_interactions_end_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_settings(QUICK)
    Path("data/interactions/valid.parquet").unlink()
    assert_refused(capsys, "lightgcn", "valid.parquet: no such file")


def assert_refused(capsys: pytest.CaptureFixture[str], method: str, message: str) -> None:
    assert_one_line(capsys, partial(main, method), message)
    assert not Path("metrics").exists()
    assert not Path("data/predictions").exists()
    assert not Path("models").exists()


# Histories.


@given(st.lists(st.lists(st.integers(1, 99), max_size=12), max_size=8), st.integers(1, 10))
def test_padded_histories_hold_the_last_items_at_the_right_end(
    lists: list[list[int]], length: int
) -> None:
    values = np.array([item for items in lists for item in items], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, lists)])
    table = padded_histories(values, offsets, length=length)
    expected = [[0] * (length - len(items)) + items[-length:] for items in lists]
    assert table.tolist() == expected


def test_a_row_keeps_its_history_when_rows_are_taken() -> None:
    rows = history_rows([[0, 1], [2, 3], [0, 0]])
    taken = rows.take(torch.tensor([1, 0]))
    assert taken.histories.tolist() == [[2, 3], [0, 1]]
    assert taken.users.tolist() == [2, 1]
    assert rows.take(slice(1, 3)).histories.tolist() == [[2, 3], [0, 0]]


def test_models_that_read_histories_refuse_rows_without() -> None:
    ids = np.arange(1, 4)
    for model in (sasrec(), din()):
        with pytest.raises(TypeError, match="HistoryRows"):
            score(model, Rows.of(ids, ids, ids > 1))


def history_rows(histories: list[list[int]], *, items: int = 1) -> HistoryRows:
    n = len(histories)
    rows = Rows.of(np.arange(1, n + 1), np.full(n, items), np.arange(n) % 2)
    table = torch.tensor(histories, dtype=torch.int32)
    return HistoryRows(rows.users, rows.items, rows.labels, table)


def sasrec(*, blocks: int = 2, dropout: float = 0.0) -> SASRec:
    return SASRec(
        n_items=9, length=5, dim=8, blocks=blocks, heads=2, dropout=dropout, init_std=1, rng=rng()
    )


def din(*, activation: str = "dice") -> DeepInterestNetwork:
    return DeepInterestNetwork(
        n_users=9,
        n_items=9,
        dim=8,
        attention=[8],
        hidden=[8],
        activation=activation,  # type: ignore[arg-type]
        dropout=0.0,
        init_std=1,
        rng=rng(),
    )


# LightGCN.


def dense_vectors(nodes: torch.Tensor, edges: set[tuple[int, int]], layers: int) -> torch.Tensor:
    """LightGCN written with dense matrices, as the paper's section 3.1.3 has it."""
    adjacency = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    for one, other in edges:
        adjacency[one, other] = adjacency[other, one] = 1
    root = adjacency.sum(1).clamp(min=1e-300).rsqrt() * (adjacency.sum(1) > 0)
    smooth = torch.diag(root) @ adjacency @ torch.diag(root)
    powers = [torch.linalg.matrix_power(smooth, k) @ nodes.double() for k in range(layers + 1)]
    return torch.stack(powers).mean(0)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=12),
    st.integers(0, 4),
)
@settings(max_examples=30)
def test_propagation_is_the_papers_on_dense_matrices(
    pairs: list[tuple[int, int]], layers: int
) -> None:
    model = lightgcn(pairs, layers=layers)
    expected = dense_vectors(model.nodes.detach(), {(u, 6 + i) for u, i in pairs}, layers)
    torch.testing.assert_close(model.vectors().double(), expected, atol=1e-6, rtol=1e-5)


def test_two_nodes_of_one_edge_propagate_to_their_mean_by_hand() -> None:
    model = lightgcn([(1, 1)], layers=1)
    user, item = model.nodes[1], model.nodes[6 + 1]
    users, items = model.all_vectors()
    torch.testing.assert_close(users[1], (user + item) / 2)
    torch.testing.assert_close(items[1], (user + item) / 2)
    torch.testing.assert_close(users[3], model.nodes[3] / 2)


def test_a_repeated_edge_counts_once() -> None:
    once, twice = lightgcn([(1, 1), (1, 2)]), lightgcn([(1, 1), (1, 2), (1, 1)])
    assert torch.equal(once.vectors(), twice.vectors())


def test_gradients_flow_back_through_the_graph() -> None:
    model = lightgcn([(1, 1), (2, 1), (2, 3)], layers=3)
    rows = Rows.of(np.array([1]), np.array([3]), np.array([1]))
    model(rows).sum().backward()
    assert model.nodes.grad is not None
    found = model.nodes.grad.clone()
    leaf = model.nodes.detach().double().requires_grad_()
    vectors = dense_vectors(leaf, {(1, 7), (2, 7), (2, 9)}, 3)
    (vectors[1] * vectors[9]).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(found.double(), leaf.grad, atol=1e-6, rtol=1e-5)


def test_its_graph_holds_liked_train_rows_only() -> None:
    rows = Rows.of(np.array([1, 1, 2]), np.array([1, 2, 2]), np.array([1, 0, 1]))
    trained = np.ones(5, dtype=bool), np.ones(4, dtype=bool)
    data = Interactions({}, {"train": rows}, *trained, ["a film"] * 4)
    own = load_section(
        lightgcn_method.Settings,
        "compare.lightgcn",
        ROOT / "params.yaml",
        changes={"dim": 3, "layers": 1, "init_std": 1.0},
    )
    model = lightgcn_method.build(data, own, rng())
    expected = dense_vectors(model.nodes.detach(), {(1, 7), (2, 8)}, 1)
    torch.testing.assert_close(model.vectors().double(), expected, atol=1e-6, rtol=1e-5)


def test_propagation_is_that_of_pytorch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric.nn")
    pairs = [(1, 1), (1, 2), (2, 2), (3, 4), (5, 1)]
    model = lightgcn(pairs, layers=3)
    oracle = geometric.LightGCN(num_nodes=len(model.nodes), embedding_dim=3, num_layers=3)
    with torch.no_grad():
        oracle.embedding.weight.copy_(model.nodes)
    edges = torch.tensor([(u, 6 + i) for u, i in pairs]).T
    both = torch.cat([edges, edges.flip(0)], dim=1)
    torch.testing.assert_close(oracle.get_embedding(both), model.vectors())


def lightgcn(pairs: list[tuple[int, int]], *, layers: int = 2) -> LightGCN:
    users, items = (np.array(side) for side in zip(*pairs, strict=True))
    positives = Rows.of(users, items, np.ones(len(pairs)))
    return LightGCN(positives, n_users=5, n_items=4, dim=3, layers=layers, init_std=1.0, rng=rng())


# SASRec.


@pytest.mark.parametrize("model", [sasrec(), din()], ids=["sasrec", "din"])
def test_what_stands_for_padding_changes_nothing(model: CollaborativeModel) -> None:
    rows = history_rows([[0, 0, 0, 3, 4], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    before = score(model, rows)
    with torch.no_grad():
        model.get_parameter("items")[0] = 1e3
    assert np.array_equal(score(model, rows), before)
    assert np.isfinite(before).all()


def test_the_slots_of_padding_change_nothing_in_sasrec() -> None:
    model, rows = sasrec(), history_rows([[0, 0, 0, 3, 4]])
    before = score(model, rows)
    with torch.no_grad():
        model.positions[:3] = 1e3
    assert np.array_equal(score(model, rows), before)
    with torch.no_grad():
        model.positions[3, 0] += 1  # in one element: a shift of all is what a norm takes away
    assert not np.array_equal(score(model, rows), before)


def test_gradients_are_finite_and_none_reaches_padding() -> None:
    rows = history_rows([[0, 0, 0, 3, 4], [0, 0, 0, 0, 0]])
    for model in (sasrec(), din()):
        model(rows).sum().backward()
        gradient = model.items.grad
        assert gradient is not None and torch.isfinite(gradient).all()
        assert not gradient[0].any()
        assert gradient[3].any() and gradient[4].any()


def test_no_slot_of_sasrec_sees_a_later_one() -> None:
    model = sasrec(blocks=2)
    seen = []
    model.blocks[1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for last in (4, 7):
        model.eval().states(torch.tensor([[1, 2, 3, 8, last]]))
    assert torch.equal(seen[0][:, :4], seen[1][:, :4])
    assert not torch.equal(seen[0][:, 4], seen[1][:, 4])


def test_order_and_every_item_of_the_history_matter_to_sasrec() -> None:
    states = (
        sasrec()
        .eval()
        .states(torch.tensor([[0, 1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 5, 2, 3, 4], [1, 2, 3, 4, 5]]))
    )
    for one in range(4):
        for other in range(one):
            assert (states[one] - states[other]).abs().max() > 1e-4


def test_sasrec_scores_by_the_inner_product_of_state_and_candidate() -> None:
    model = sasrec()
    rows = history_rows([[0, 1, 2, 3, 4], [0, 0, 0, 0, 6]], items=7)
    expected = model.eval().states(rows.histories) @ model.items[7]
    torch.testing.assert_close(torch.from_numpy(score(model, rows)), expected.detach())


# DIN.


@pytest.mark.parametrize("activation", ["dice", "prelu"])
def test_padding_takes_no_part_in_training_din(activation: str) -> None:
    """More padded slots leave the whole training, Dice's averages included, as it is."""
    histories = [[0, 3, 4], [0, 0, 0], [5, 6, 7], [0, 0, 8]]
    states = []
    for wider in (0, 4):
        model = din(activation=activation)
        rows = history_rows([[0] * wider + items for items in histories], items=2)
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(3):
            train_epoch(model, rows, adam, batch_size=4, rng=rng(2))
        states.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(states[0], states[1])


def test_the_interest_of_din_is_the_sum_of_weighed_items() -> None:
    model = din(activation="prelu").eval()
    candidates = model.items[torch.tensor([2, 2, 5])]
    found = model.interests(torch.tensor([[0, 3, 4], [0, 0, 0], [0, 3, 4]]), candidates)
    for place, candidate in ((0, model.items[2]), (2, model.items[5])):
        expected = torch.zeros(8)
        for liked in (model.items[3], model.items[4]):
            pair = torch.cat([liked, candidate, liked - candidate, liked * candidate])
            expected = expected + model.attention(pair[None])[0] * liked
        torch.testing.assert_close(found[place], expected)
    assert not found[1].any()
    assert (found[0] - found[2]).abs().max() > 1e-4


# Layers.


def test_dice_is_a_prelu_that_bends_at_the_mean_of_its_inputs() -> None:
    dice = Dice(1)
    with torch.no_grad():
        dice.alpha.fill_(0.25)
    s = torch.randn(5000, 1, generator=rng()) * 3 + 7
    p = torch.sigmoid((s - s.mean()) / s.std(correction=0))
    torch.testing.assert_close(dice.train()(s), p * s + (1 - p) * 0.25 * s)
    for _ in range(100):
        dice(s)
    torch.testing.assert_close(dice.eval()(s), dice.train()(s), atol=1e-2, rtol=1e-2)


def test_dice_trains_on_a_batch_of_one_row() -> None:
    dice = Dice(3)
    assert torch.isfinite(dice.train()(torch.ones(1, 3))).all()
    assert dice.mean.tolist() == [0, 0, 0]


def test_dropout_thins_out_in_training_only_and_keeps_the_mean() -> None:
    dropout, x = Dropout(0.3, rng()), torch.ones(100_000)
    thinned = dropout.train()(x)
    assert thinned.mean().item() == pytest.approx(1, abs=0.01)
    assert (thinned == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(dropout.eval()(x), x)
