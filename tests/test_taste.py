"""Codes of taste: what planted groups like, from likes alone, beside main effects; their health."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from stages.collab.distillation import distil, from_factors, item_weights
from stages.collab.fitting import Rows, score
from stages.collab.histories import HistoryRows, histories_of
from stages.collab.interactions import Interactions, read_interactions
from stages.collab.learned_codes import learn_codes, rows_now
from stages.collab.main_effects import MainEffects
from stages.collab.recipes import Distillation, PretrainHash, recipe
from stages.collab.taste import TasteModel, TasteVectors
from stages.collab.threads import threads
from stages.io.params import load_section
from stages.io.tables import INTERACTIONS, PREDICTIONS, SPLITS, read_table, write_table
from stages.measures.code_quality import (
    additive_part,
    additive_share,
    bit_table,
    code_quality,
    elements,
    health_line,
)
from stages.methods import bias
from stages.pretrain_hash import main
from stages.prompts.newcomers import Newcomers
from tests.changed_params import ROOT, write_params
from tests.planted import bytes_by_threads, liked_before, write_planted
from tests.refusals import assert_one_line

N_USERS, N_ITEMS, GROUPS, STRANGERS = 120, 40, 4, 20
SIZES = {"train": 4000, "valid": 800, "test": 1600}
QUICK: dict[str, Any] = {
    "dim": 16,
    "taste.batch_size": 256,
    "taste.epochs": 15,
    "taste.lr": 0.01,
    "taste.dropout": 0.2,
    "taste.distillation.steps": 100,
    "taste.distillation.rows": 256,
    "taste.distillation.shrinkage": 5.0,
}
OUTPUTS = [
    "models/hash/taste/codes.safetensors",
    "models/hash/taste/rows.safetensors",
    "models/hash/taste/codes.json",
    "data/predictions/taste.parquet",
    "metrics/pretrain_hash/taste.json",
    "metrics/rows/taste.json",
    "metrics/plots/bits_taste.csv",
    "models/hash/taste/liked.safetensors",
]


def write_tastes(folder: Path, *, shuffled: bool = False) -> None:
    """Users who like exactly the items of their group, and are asked about half as many others.

    All users and all items are liked alike: who a user is and which item it is tells nothing alone.
    The last users, the strangers, have no train row; they liked something in validation.
    """
    rng = np.random.default_rng(7)
    split = np.repeat(SPLITS, list(SIZES.values()))
    n, met = len(split), N_USERS - STRANGERS
    # Likes and dislikes take turns in each user's rows, so that all have one share of likes.
    users = np.concatenate(
        [
            np.tile(rng.permutation(np.arange(1, 1 + (met if name == "train" else N_USERS))), size)[
                :size
            ]
            for name, size in SIZES.items()
        ]
    )
    liked = pd.Series(users).groupby(users).cumcount().to_numpy() % 2 == 0
    group = users % GROUPS
    other = (group + rng.integers(1, GROUPS, n)) % GROUPS
    place = rng.integers(0, N_ITEMS // GROUPS, n)
    items = np.where(liked, group, other) + GROUPS * place
    items[items == 0] = N_ITEMS
    liked = rng.permutation(liked) if shuffled else liked
    write_planted(folder, users, items, liked, split, n_users=N_USERS, n_items=N_ITEMS)


def write_settings(changes: dict[str, Any] | None = None, *, seed: int = 1) -> None:
    """Writes the project's params with some keys of the stage changed, and one set of codes."""
    keys = {f"pretrain_hash.{key}": value for key, value in (QUICK | (changes or {})).items()}
    write_params({"seed": seed, "codes": {"taste": {}}, **keys})


def run(changes: dict[str, Any] | None = None, *, seed: int = 1) -> dict[str, Any]:
    """Learns the codes `taste`; returns their metrics."""
    write_settings(changes, seed=seed)
    main("taste")
    return json.loads(Path("metrics/pretrain_hash/taste.json").read_text(encoding="utf-8"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tastes(tmp_path / "data/interactions")
    return tmp_path


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted data and the codes learned from it."""
    folder = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_tastes(folder / "data/interactions")
        run()
    return folder


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics/pretrain_hash/taste.json").read_text(encoding="utf-8"))


def scored(folder: Path) -> pd.DataFrame:
    """Returns the test rows with their scores."""
    rows = pd.read_parquet(folder / "data/interactions/test.parquet")
    found = read_table(folder / "data/predictions/taste.parquet", PREDICTIONS).to_pandas()
    assert found["row"].tolist() == rows["row"].tolist()
    return rows.assign(score=found["score"])


# What is learned.


def test_codes_learn_tastes_that_main_effects_cannot(learned: Path) -> None:
    data = read_interactions(learned / "data/interactions")
    effects = bias.fit(data, bias.Settings(c=2.0), seed=1)
    test = data.rows["test"]
    assert roc_auc_score(test.labels, effects.score(test)) <= 0.55
    metrics = metrics_of(learned)
    for split in ("valid", "test"):
        assert metrics[split]["auc"] >= 0.8
        assert metrics[split]["uauc"] >= 0.8
    assert metrics["train_auc"] >= 0.8
    assert metrics["health"]["additive_share"] < 0.2
    assert metrics["health"]["additive"]["auc"] < 0.6
    rows = scored(learned)
    assert roc_auc_score(rows["label"], rows["score"]) == pytest.approx(metrics["test"]["auc"])


def test_users_without_a_train_row_have_the_codes_of_what_they_liked(learned: Path) -> None:
    rows = scored(learned)
    strangers = rows[~rows["seen"]]
    assert set(strangers["uid"]) == set(range(N_USERS - STRANGERS + 1, N_USERS + 1))
    with_history = strangers[strangers["history"].map(len) > 0]
    assert len(with_history) > 200
    assert roc_auc_score(with_history["label"], with_history["score"]) >= 0.75


def test_shuffled_labels_teach_nothing(project: Path) -> None:
    write_tastes(project / "data/interactions", shuffled=True)
    assert 0.44 < run()["test"]["auc"] < 0.56


def test_scores_are_main_effects_and_the_scaled_inner_product_of_the_bits_written(
    learned: Path,
) -> None:
    codes = load_file(learned / OUTPUTS[0])
    of_rows = load_file(learned / OUTPUTS[1])
    scale = json.loads((learned / OUTPUTS[2]).read_text())["scale"]
    rows = scored(learned).assign(code=lambda it: list(of_rows["codes"][it["row"]]))
    users, items = (np.where(it, 1, -1) for it in (np.stack(rows["code"]), codes["items"]))
    rows["outside"] = rows["score"] - scale * (users * items[rows["iid"]]).sum(1)
    # What is left is a user's number plus an item's: without interaction.
    design = pd.get_dummies(rows[["uid", "iid"]].astype(str)).to_numpy(float)
    fitted = design @ np.linalg.lstsq(design, rows["outside"].to_numpy(), rcond=None)[0]
    np.testing.assert_allclose(fitted, rows["outside"], atol=1e-4)


def test_users_can_do_without_vectors_of_their_own(project: Path) -> None:
    with_own = run({"taste.epochs": 1})
    facts = json.loads(Path("metrics/rows/taste.json").read_text())
    metrics = run({"taste.user_vectors": False})
    assert metrics["test"]["auc"] >= 0.8 and with_own["test"]["auc"] > 0.5
    without = json.loads(Path("metrics/rows/taste.json").read_text())
    assert facts["parameters"] - without["parameters"] == (N_USERS + 1) * 16
    codes = load_file("models/hash/taste/rows.safetensors")
    rows = pd.concat(pd.read_parquet(f"data/interactions/{split}.parquet") for split in SPLITS)
    by_history = rows.groupby(rows["history"].map(lambda liked: tuple(sorted(liked))))
    for _, alike in by_history:  # whoever they are
        assert len(np.unique(codes["codes"][alike["row"]], axis=0)) == 1
    # What the likes of somebody new are made into is what the same likes were made into in a row.
    vectors = load_file("models/hash/taste/liked.safetensors")["liked"]
    newcomers = Newcomers(vectors, len(rows), "digits")
    for row in rows[rows["history"].map(len) > 0].iloc[::7].itertuples():
        bits = codes["codes"][row.row]
        assert newcomers.code(list(row.history)) == "".join(str(int(bit)) for bit in bits)


# One seed, one set of bytes.


def test_one_seed_gives_one_set_of_bytes_and_another_seed_other_codes(project: Path) -> None:
    contents = []
    for seed in (1, 1, 2):
        run({"taste.epochs": 2}, seed=seed)
        contents.append([(project / name).read_bytes() for name in OUTPUTS])
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[2][0]


def test_the_number_of_threads_changes_nothing_and_is_left_as_it_was(project: Path) -> None:
    outputs = [project / name for name in OUTPUTS]
    contents = bytes_by_threads(lambda: run({"taste.epochs": 2}), outputs)
    assert contents[0] == contents[1]


def test_learning_leaves_the_global_random_states_alone(project: Path) -> None:
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    run({"taste.epochs": 1})
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert np.random.get_state()[1].tolist() == numpy_state


def test_what_is_learned_does_not_depend_on_labels_of_test_rows(project: Path) -> None:
    run({"taste.epochs": 2})
    before = [load_file(name) for name in OUTPUTS[:2]]
    path = project / "data/interactions/test.parquet"
    rows = pd.read_parquet(path).assign(label=lambda it: 1 - it["label"])
    write_table(rows, path, INTERACTIONS)  # histories stay what they were
    run({"taste.epochs": 2})
    codes, of_rows = (load_file(name) for name in OUTPUTS[:2])
    assert (codes["items"] == before[0]["items"]).all()
    for name, values in before[1].items():
        assert (of_rows[name] == values).all(), name


def test_the_row_and_the_codes_say_how_the_fit_went(learned: Path) -> None:
    facts = json.loads((learned / OUTPUTS[5]).read_text())
    dim, n_users, n_items = 16, N_USERS + 1, N_ITEMS + 1
    assert facts["parameters"] == sum(
        (
            (n_users + 2 * n_items) * dim,  # own vectors; of liked items and of candidates
            2 * dim,  # shifts
            1 + 1 + n_users + n_items,  # scale, intercept, main effects
        )
    )
    assert facts["valid_auc"] == pytest.approx(metrics_of(learned)["valid"]["auc"])
    assert json.loads((learned / OUTPUTS[2]).read_text()) == {
        "dim": dim,
        "n_users": N_USERS,
        "n_items": N_ITEMS,
        "recipe": "taste",
        "history": 25,
        "code_space": "pm1",
        "valid_auc": facts["valid_auc"],
        **facts["fit"],
    }
    assert set(facts["fit"]) == {"epochs", "best_epoch", "scale"}


@pytest.mark.usefixtures("project")
def test_a_history_with_an_unknown_item_ends_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path("data/interactions/test.parquet")
    rows = pd.read_parquet(path)
    rows["history"] = [[N_ITEMS + 5]] * len(rows)
    write_table(rows, path, INTERACTIONS)
    write_settings()
    message = f"item in history {N_ITEMS + 5}, expected 1..{N_ITEMS}"
    assert_one_line(capsys, partial(main, "taste"), message)
    assert not Path("models").exists()


# The code of a row.


def some_model(*, user_vectors: bool = True, length: int = 4) -> TasteModel:
    """A model of 9 users and 12 items that has learned nothing, so that all bits are random."""
    rng = torch.Generator().manual_seed(1)
    effects = MainEffects(0.1, np.linspace(-1, 1, 10), np.linspace(1, -1, 13), 1)
    vectors = TasteVectors(*(torch.randn(13, 32, generator=rng) for _ in range(2)))
    changes = {"user_vectors": user_vectors, "scale": 0.1, "dropout": 0.5, "history_dropout": 0.5}
    model = TasteModel(effects, vectors, rng=rng, **changes)  # type: ignore[arg-type]
    assert model.own is None or model.own.data.normal_(generator=rng) is not None
    return model


def some_rows(n: int = 60, *, seed: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "users": draw.integers(1, 10, n),
            "items": draw.integers(1, 13, n),
            "labels": draw.integers(0, 2, n),
        }
    )


def with_histories(table: pd.DataFrame, length: int = 4) -> HistoryRows:
    users, items, labels = (table[name].to_numpy() for name in ("users", "items", "labels"))
    found = torch.zeros(len(table), length, dtype=torch.int32)
    for row, liked in enumerate(liked_before(users, items, labels)):
        kept = liked[-length:]
        if kept:
            found[row, -len(kept) :] = torch.tensor(kept, dtype=torch.int32)
    rows = Rows.of(users, items, labels)
    return HistoryRows(rows.users, rows.items, rows.labels, found)


def test_rows_of_one_user_and_history_have_one_code() -> None:
    rows = with_histories(some_rows())
    bits = some_model().user_bits(rows)
    pairs = [
        (int(user), tuple(liked))
        for user, liked in zip(rows.users, rows.histories.tolist(), strict=True)
    ]
    codes: dict[tuple[int, tuple[int, ...]], set[bytes]] = {}
    for pair, code in zip(pairs, bits, strict=True):
        codes.setdefault(pair, set()).add(code.tobytes())
    assert len(codes) < len(pairs)
    assert {len(found) for found in codes.values()} == {1}
    assert len(set.union(*codes.values())) > len(codes) // 2


@pytest.mark.parametrize("place", [0, 17, 58, 59])
def test_a_rows_code_knows_neither_its_label_nor_its_item_nor_later_rows(place: int) -> None:
    model, table = some_model(), some_rows()
    before = model.user_bits(with_histories(table))
    later = some_rows(seed=2)
    changed = table.copy()
    changed.loc[place + 1 :] = later.loc[place + 1 :]
    changed.loc[place, "items"] = changed.loc[place, "items"] % 12 + 1
    changed.loc[place, "labels"] = 1 - changed.loc[place, "labels"]
    after = model.user_bits(with_histories(changed))
    assert (after[: place + 1] == before[: place + 1]).all()
    assert place >= 58 or (after[place + 1 :] != before[place + 1 :]).any()


def test_the_code_of_a_row_does_not_depend_on_the_rows_beside_it_or_on_their_order() -> None:
    model, rows = some_model(), with_histories(some_rows())
    bits = model.user_bits(rows)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))
    assert (model.user_bits(rows.take(order)) == bits[order.numpy()]).all()
    for row in range(0, len(rows), 7):
        assert (model.user_bits(rows.take(slice(row, row + 1))) == bits[row : row + 1]).all()


def test_without_vectors_of_their_own_users_who_liked_the_same_are_the_same() -> None:
    rows = with_histories(some_rows())
    others = HistoryRows(rows.users.flip(0), rows.items, rows.labels, rows.histories)
    for own, same in ((False, True), (True, False)):
        model = some_model(user_vectors=own)
        assert (model.user_bits(rows) == model.user_bits(others)).all() == same


def test_the_order_of_likes_counts_nothing_and_an_empty_history_is_the_shift_alone() -> None:
    model = some_model(user_vectors=False)
    table = torch.tensor([[0, 2, 5, 7], [7, 0, 2, 5], [0, 0, 0, 0]], dtype=torch.int32)
    found = model.vectors.of_users(table)
    expected = model.vectors.liked[[2, 5, 7]].sum(0) / 3**0.5
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], expected)
    torch.testing.assert_close(found[2], model.vectors.user_shift)
    kept = torch.tensor([[True, False, True, True]])
    torch.testing.assert_close(
        model.vectors.of_users(table[:1], kept)[0],
        model.vectors.liked[[5, 7]].sum(0) / 2**0.5,
    )


@torch.inference_mode()
def test_the_score_is_outside_the_codes_plus_the_scaled_inner_product_of_bits() -> None:
    model, rows = some_model(), with_histories(some_rows())
    users = np.where(model.user_bits(rows), 1, -1)
    items = np.where(model.item_bits(), 1, -1)[rows.items]
    effects = 0.1 + np.linspace(-1, 1, 10)[rows.users] + np.linspace(1, -1, 13)[rows.items]
    expected = effects + 0.1 * (users * items).sum(1)
    np.testing.assert_allclose(score(model, rows), expected, rtol=1e-4, atol=1e-5)
    assert not model.item_bits()[0].any()


def test_what_is_left_out_in_training_is_drawn_from_the_models_rng() -> None:
    model, rows = some_model(), with_histories(some_rows())
    with torch.no_grad():
        one, other = model.train()(rows), model(rows)
    assert not torch.equal(one, other)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        model(rows)
    assert torch.equal(before, torch.random.get_rng_state())
    for again in range(2):
        again_model = some_model()
        with torch.no_grad():
            assert torch.equal(again_model.train()(rows), one), again


# Histories as of now.


def planted_interactions(folder: Path, length: int) -> tuple[Interactions, pd.DataFrame]:
    """Users' rows in all splits, out of order between splits."""
    table = some_rows(120, seed=4)
    split = np.random.default_rng(5).permutation(np.repeat(SPLITS, 40))
    columns = (table[name].to_numpy() for name in ("users", "items", "labels"))
    write_planted(folder, *columns, split, n_users=9, n_items=12)
    return read_interactions(folder, history=length), table


@pytest.mark.parametrize("length", [1, 3, 25])
def test_rows_now_hold_what_users_have_liked_after_all_their_rows(
    tmp_path: Path, length: int
) -> None:
    data, table = planted_interactions(tmp_path, length)
    now = rows_now(data)
    assert now.users.tolist() == list(range(1, 10))
    assert now.items.tolist() == [0] * 9
    last_labels = table.groupby("users")["labels"].last()
    assert set(last_labels) == {0, 1}, "some end on a like, which their history ends on"
    for user, history in zip(now.users.tolist(), now.histories.tolist(), strict=True):
        mine = table[(table["users"] == user) & (table["labels"] == 1)]
        liked = mine["items"].tolist()[-length:]
        assert history == [0] * (length - len(liked)) + liked


def test_the_code_as_of_now_is_that_of_a_further_row(tmp_path: Path) -> None:
    data, table = planted_interactions(tmp_path, 4)
    model = some_model()
    further = pd.DataFrame({"users": range(1, 10), "items": 1, "labels": 0})
    rows = with_histories(pd.concat([table, further], ignore_index=True))
    assert (model.user_bits(rows_now(data)) == model.user_bits(rows)[-9:]).all()


def test_rows_of_all_splits_are_put_in_order_and_only_test_rows_are_not_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, table = planted_interactions(tmp_path, 25)
    write_settings({"taste.epochs": 1, "taste.distillation.steps": 2})
    found = learn_codes(data, recipe("taste"), seed=1)
    of_rows = found.of_rows(data)
    assert of_rows.rows.tolist() == list(range(120))
    by_split = {split: data.splits[split]["row"].to_numpy() for split in SPLITS}
    assert of_rows.taught.tolist() == sorted([*by_split["train"], *by_split["valid"]])
    likely = dict(zip(of_rows.taught.tolist(), of_rows.probability.tolist(), strict=True))
    for split, rows in by_split.items():
        assert (of_rows.codes[rows] == found.row_codes[split]).all()
        if split != "test":
            expected = 1 / (1 + np.exp(-found.fitted.score(data.rows[split])))
            assert [likely[row] for row in rows] == pytest.approx(expected.tolist(), rel=1e-5)
    moments = pd.Series(list(zip(table["users"], liked_of(table), strict=True)))
    for _, rows in moments.groupby(moments):
        assert len(np.unique(of_rows.codes[rows.index], axis=0)) == 1


def liked_of(table: pd.DataFrame) -> list[tuple[int, ...]]:
    columns = (table[name].to_numpy() for name in ("users", "items", "labels"))
    return [tuple(sorted(liked)) for liked in liked_before(*columns)]


# Distillation.

STEPS = Distillation(neighbours=10, shrinkage=1.0, steps=150, rows=128, lr=0.02)


def planted_similarities(n_items: int, groups: int = 3) -> csr_matrix:
    """Items of one group are similar, each pair a little differently; 0 is padding."""
    draw = np.random.default_rng(2)
    group = np.arange(n_items + 1) % groups
    similar = (group[:, None] == group) * draw.uniform(0.3, 0.7, (n_items + 1, n_items + 1))
    np.fill_diagonal(similar, 0)
    similar[0], similar[:, 0] = 0, 0
    return csr_matrix(similar)


def planted_likes(n_items: int, n: int = 400) -> torch.Tensor:
    """Histories of up to five items, some of them empty."""
    draw = np.random.default_rng(3)
    found = draw.integers(1, n_items + 1, (n, 5))
    found[np.arange(5) < draw.integers(0, 6, n)[:, None]] = 0
    return torch.from_numpy(found.astype(np.int32))


def centred_sums(similar: csr_matrix, histories: torch.Tensor, weights: NDArray) -> NDArray:
    """By a loop: what neighbours of likes say of each item, less means over users and items."""
    rows = [[iid for iid in row if iid] for row in histories.tolist()]
    dense = similar.toarray()
    sums = np.stack([dense[row].sum(0) / len(row) ** 0.5 for row in rows if row])
    sums -= sums.mean(0)
    return sums - (sums @ weights)[:, None]


def likeness_to_teacher(n_items: int, dim: int) -> float:
    similar, histories = planted_similarities(n_items), planted_likes(n_items)
    weights = item_weights(torch.arange(1, n_items + 1), n_items)
    rng = torch.Generator().manual_seed(1)
    with threads(1):  # as the recipe is
        vectors = distil(similar, histories, weights, STEPS, dim=dim, rng=rng)
    assert vectors.liked.shape == vectors.items.shape == (n_items + 1, dim)
    liking = histories[(histories != 0).any(1)]
    with torch.inference_mode():
        users = np.where(vectors.of_users(liking) > 0, 1, -1)
        items = np.where(vectors.of_items() > 0, 1, -1)
    expected = centred_sums(similar, histories, weights.numpy())
    products = users @ items.T
    return float(np.corrcoef(products[:, 1:].ravel(), expected[:, 1:].ravel())[0, 1])


@pytest.mark.parametrize(("n_items", "dim"), [(30, 32), (30, 16)])
def test_codes_come_to_say_what_the_neighbours_say(n_items: int, dim: int) -> None:
    assert likeness_to_teacher(n_items, dim) > 0.5


def test_fewer_items_than_bits_are_taught_too() -> None:
    assert likeness_to_teacher(6, 32) > 0.5


def test_no_bit_is_spent_on_items_that_all_likes_speak_for_or_on_how_much_is_liked() -> None:
    draw, n_items = np.random.default_rng(4), 30
    popular = np.where(np.arange(n_items + 1) > 0, draw.uniform(0, 2, n_items + 1), 0)
    similar = csr_matrix(planted_similarities(n_items).toarray() + popular)
    histories, weights = planted_likes(n_items), item_weights(torch.arange(1, 31), n_items)
    rng = torch.Generator().manual_seed(1)
    with threads(1):
        vectors = distil(similar, histories, weights, STEPS, dim=16, rng=rng)
    with torch.inference_mode():
        users = elements((vectors.of_users(histories[(histories != 0).any(1)]) > 0).numpy(), -1)
        items = elements((vectors.of_items()[1:] > 0).numpy(), -1)
    share = additive_share(users, items)
    assert share is not None and share < 0.1


def test_what_distillation_starts_from_has_the_similarities_as_inner_products() -> None:
    similar = planted_similarities(12)
    vectors = from_factors(similar, 16, torch.Generator().manual_seed(1))
    products = (vectors.liked @ vectors.items.T).detach().numpy()
    assert np.corrcoef(products.ravel(), similar.toarray().ravel())[0, 1] > 0.999
    for side in (vectors.liked, vectors.items):
        assert float(side.detach().std()) == pytest.approx(1)
        spread = side.std(0)
        assert spread.min() > spread.max() / 5, "no bit carries all"


def test_items_without_any_neighbour_leave_finite_vectors() -> None:
    nothing = csr_matrix((8, 8))
    weights = item_weights(torch.arange(1, 8), 7)
    rng = torch.Generator().manual_seed(1)
    with threads(1):
        vectors = distil(nothing, planted_likes(7), weights, STEPS, dim=8, rng=rng)
    for values in vectors.state_dict().values():
        assert torch.isfinite(values).all()


def test_weights_of_items_are_their_shares_of_the_rows() -> None:
    found = item_weights(torch.tensor([1, 3, 3, 3]), 4)
    assert found.tolist() == [0, 0.25, 0, 0.75, 0]


def test_distillation_draws_from_its_rng_alone() -> None:
    similar, likes = planted_similarities(10), planted_likes(10)
    weights = item_weights(torch.arange(1, 11), 10)
    quick = STEPS.model_copy(update={"steps": 5})
    found = []
    for seed in (1, 1, 2):
        rng = torch.Generator().manual_seed(seed)
        with threads(1):
            found.append(distil(similar, likes, weights, quick, dim=8, rng=rng).liked)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


# Health of codes.


def all_pairs(users: NDArray, items: NDArray) -> tuple[NDArray, NDArray]:
    """Returns the inner products of all pairs, and their user part plus item part."""
    products = users @ items.T
    of_user, of_item = products.mean(1, keepdims=True), products.mean(0, keepdims=True)
    return products, of_user + of_item - products.mean()


MATRICES = st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(1, 6), st.integers(0, 9999))


@example(sizes=(1, 3, 4, 505), low=-1, share=0.5)  # the same but for rounding
@given(sizes=MATRICES, low=st.sampled_from([-1, 0]), share=st.floats(0.1, 0.9))
def test_the_additive_share_is_what_a_table_of_all_pairs_says(
    sizes: tuple[int, int, int, int], low: int, share: float
) -> None:
    n_users, n_items, dim, seed = sizes
    draw = np.random.default_rng(seed)
    users, items = (elements(draw.random((n, dim)) < share, low) for n in (n_users, n_items))
    products, additive = all_pairs(users, items)
    found = additive_share(users, items)
    if products.var() < 1e-12:
        assert found is None
    else:
        assert found == pytest.approx(additive.var() / products.var())
    for user in range(n_users):
        row = additive_part(np.tile(users[user], (n_items, 1)), items, users.mean(0), items.mean(0))
        np.testing.assert_allclose(row, additive[user], atol=1e-12)


def random_codes(n: int, dim: int = 8, *, seed: int = 1) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((n, dim)) < 0.5


def test_bits_in_which_one_side_alone_differs_are_additive_and_balanced_ones_are_not() -> None:
    users, items = random_codes(40), random_codes(30, seed=2)
    users[:, 4:], items[:, :4] = True, True  # users differ in the first bits, items in the last
    assert additive_share(elements(users, -1), elements(items, -1)) == pytest.approx(1)
    same = np.tile(random_codes(1), (40, 1))
    assert additive_share(elements(same, -1), elements(items, -1)) == pytest.approx(1)
    balanced = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=bool)
    assert additive_share(*2 * [elements(balanced, -1)]) == pytest.approx(0)
    assert additive_share(elements(same, -1), elements(same, -1)) is None
    assert additive_share(elements(users[:0], -1), elements(items, -1)) is None


def measured(
    users: NDArray[np.bool_], items: NDArray[np.bool_], *, low: int = -1, scale: float = 0.3
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, NDArray]]:
    """Measures codes of users, whose rows have codes of their own, and random test rows."""
    draw = np.random.default_rng(6)
    n, splits, scores, row_codes, tables = 200, {}, {}, {}, {}
    item_codes = np.vstack([np.zeros_like(items[:1]), items])
    for split in SPLITS:
        table = pd.DataFrame(
            {
                "uid": draw.integers(1, len(users) + 1, n),
                "iid": draw.integers(1, len(items) + 1, n),
                "label": draw.integers(0, 2, n),
                "seen": True,
                "warm": draw.random(n) < 0.5,
            }
        )
        row_codes[split] = users[table["uid"] - 1] ^ (draw.random((n, users.shape[1])) < 0.1)
        outside = draw.normal(size=n)
        products = elements(row_codes[split], low) * elements(item_codes, low)[table["iid"]]
        scores[split] = outside + scale * products.sum(1)
        splits[split], tables[split] = pa.Table.from_pandas(table), table.assign(outside=outside)
    sides = {"user": users, "item": items}
    quality = code_quality(
        sides,
        bit_table(sides),
        splits,
        scores=scores,
        row_codes=row_codes,
        item_codes=item_codes,
        scale=scale,
        low=low,
    )
    return quality, tables["test"].assign(score=scores["test"]), row_codes


@pytest.mark.parametrize("low", [-1, 0])
def test_the_additive_parts_auc_is_that_of_means_taken_by_a_loop(low: int) -> None:
    users, items = random_codes(25), random_codes(20, seed=2)
    quality, test, row_codes = measured(users, items, low=low)
    all_users, all_items = elements(users, low), elements(items, low)
    grand = (all_users @ all_items.T).mean()
    alone = []
    for row, code in zip(test.itertuples(), elements(row_codes["test"], low), strict=True):
        of_user = np.mean([code @ item for item in all_items])
        of_item = np.mean([user @ all_items[row.iid - 1] for user in all_users])
        alone.append(row.outside + 0.3 * (of_user + of_item - grand))
    health = quality["health"]
    assert health["additive"]["auc"] == pytest.approx(roc_auc_score(test["label"], alone))
    per_user = test.assign(alone=alone).groupby("uid")
    both = [rows for _, rows in per_user if rows["label"].nunique() == 2]
    uauc = np.mean([roc_auc_score(rows["label"], rows["alone"]) for rows in both])
    assert health["additive"]["uauc"] == pytest.approx(uauc)
    assert health["additive_share"] == pytest.approx(additive_share(all_users, all_items))
    assert quality["test"]["auc"] == pytest.approx(roc_auc_score(test["label"], test["score"]))


def test_codes_are_counted_side_by_side() -> None:
    users, items = random_codes(40), random_codes(30, seed=2)
    users[:20] = users[0]
    users[:, 3] = np.arange(40) == 0  # one value for over 95 %
    health = measured(users, items)[0]["health"]
    for side, codes in (("user", users), ("item", items)):
        share = codes.mean(0)
        entropy = sum(-p * np.log2(p) for q in share for p in (q, 1 - q) if p > 0)
        distinct = len({code.tobytes() for code in codes}) / len(codes)
        assert health[side]["codes"] == len(codes)
        assert health[side]["distinct"] == pytest.approx(distinct)
        assert health[side]["effective_bits"] == pytest.approx(entropy)
        assert health[side]["lopsided"] == np.mean(np.maximum(share, 1 - share) > 0.95)
    assert health["user"]["lopsided"] == 1 / 8


def collapsed(way: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    users, items = random_codes(40, 32), random_codes(30, 32, seed=2)
    if way == "few users":
        users[:] = users[np.arange(40) // 8]
    elif way == "few items":
        items[:] = items[np.arange(30) // 8]
    elif way == "additive":
        users[:, 16:], items[:, :16] = True, True
    else:
        users[:], items[:] = users[0], items[0]
    return users, items


@pytest.mark.parametrize("way", ["few users", "few items", "additive", "all alike"])
def test_collapsed_codes_bring_a_warning(way: str) -> None:
    first, *second = health_line("mine", measured(*collapsed(way))[0]).splitlines()
    assert first.startswith("codes mine: distinct for ")
    assert len(second) == 1 and second[0].startswith("warning: the codes mine have collapsed: ")
    assert ("undefined of the inner product" in first) == (way == "all alike")


def test_codes_that_differ_but_never_in_their_products_have_collapsed() -> None:
    users = np.array([[1, 0], [0, 1]], dtype=bool)
    quality = measured(np.tile(users, 4), np.ones((1, 8), dtype=bool))[0]
    assert quality["health"]["user"]["distinct"] == quality["health"]["item"]["distinct"] == 1
    assert "\nwarning: " in health_line("mine", quality)


def test_healthy_codes_bring_one_line_and_no_warning() -> None:
    quality = measured(random_codes(40, 32), random_codes(30, 32, seed=2))[0]
    health = quality["health"]
    assert health_line("mine", quality) == (
        "codes mine: distinct for 100% of 40 users and 100% of 30 items; "
        f"{health['user']['effective_bits']:.1f} and {health['item']['effective_bits']:.1f} "
        f"effective bits; {health['additive_share']:.0%} of the inner product is user plus item"
    )


@pytest.mark.usefixtures("project")
def test_the_stage_says_how_healthy_its_codes_are(capsys: pytest.CaptureFixture[str]) -> None:
    quality = run({"taste.epochs": 1})
    assert capsys.readouterr().out == f"{health_line('taste', quality)}\n"
    assert set(quality) == {"valid", "test", "train_auc", "bits", "health"}
    assert quality["health"]["user"]["codes"] == N_USERS - STRANGERS, "those with a train row"


# Settings.


def test_a_set_has_a_key_of_its_own_recipe_alone() -> None:
    section = load_section(PretrainHash, "pretrain_hash", ROOT / "params.yaml")
    whole = section.model_dump()
    taste, paper = (section.model_copy(update={"recipe": it}) for it in ("taste", "paper"))
    assert taste.key() == {name: whole[name] for name in ("recipe", "dim", "taste")}
    assert paper.key() == {k: v for k, v in whole.items() if k != "taste"} | {"recipe": "paper"}
    assert taste.history_read == section.taste.history and paper.history_read == 0
    states = paper.model_copy(update={"vectors": "sasrec"})
    assert states.history_read == section.history


def test_histories_beyond_the_recipes_length_are_not_read(tmp_path: Path) -> None:
    data, _ = planted_interactions(tmp_path, 3)
    assert {histories_of(data.rows[split]).shape[1] for split in SPLITS} == {3}
