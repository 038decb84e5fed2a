"""Main effects and item neighbours: held against scikit-learn, by hand, and their settings."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from stages import methods
from stages.collab import item_neighbours
from stages.collab.fitting import Rows
from stages.collab.interactions import Interactions
from stages.collab.item_neighbours import ItemNeighbours, find_neighbours
from stages.collab.main_effects import logits, main_effects
from stages.io.errors import InputError
from stages.prompts.main_effects import levels, one_hot, title_words
from tests.changed_params import ROOT

N_USERS, N_ITEMS = 30, 20


def rows(n: int = 600, *, seed: int = 1) -> Rows:
    """Rows whose users and items have levels of their own, of users 1..29 and items 1..19."""
    draw = np.random.default_rng(seed)
    users, items = draw.integers(1, N_USERS, n), draw.integers(1, N_ITEMS, n)
    chance = expit((users - N_USERS / 2) / 8 + (items - N_ITEMS / 2) / 4)
    return Rows.of(users, items, draw.random(n) < chance)


def interactions(
    train: Rows, valid: Rows | None = None, titles: list[str] | None = None
) -> Interactions:
    splits = {"train": train, "valid": valid or train, "test": valid or train}
    trained = np.ones(N_USERS, dtype=bool), np.ones(N_ITEMS, dtype=bool)
    return Interactions({}, splits, *trained, titles or [f"{i}th film" for i in range(N_ITEMS)])


# Main effects.


def test_the_fit_is_that_of_scikit_learn_on_dense_indicators() -> None:
    train = rows()
    users, items = train.users.numpy()[:, None], train.items.numpy()[:, None]
    dense = np.hstack([users == np.arange(N_USERS + 1), items == np.arange(N_ITEMS + 1)])
    assert np.array_equal(one_hot(users.ravel(), items.ravel(), N_USERS, N_ITEMS).toarray(), dense)
    oracle = LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-8)
    oracle.fit(dense.astype(float), train.labels.numpy())
    found = main_effects(interactions(train), c=0.7)
    assert logits(found, train) == pytest.approx(oracle.decision_function(dense), abs=1e-4)
    assert found.intercept == pytest.approx(oracle.intercept_[0], abs=1e-4)
    assert np.r_[found.users, found.items] == pytest.approx(oracle.coef_[0], abs=1e-4)


def test_more_likes_of_a_user_or_an_item_raise_their_effect() -> None:
    train = rows()
    before = main_effects(interactions(train), c=1.0)
    for side in ("users", "items"):
        ids = getattr(train, side)
        labels = train.labels.clone()
        labels[ids == 7] = 1
        after = main_effects(interactions(Rows(train.users, train.items, labels)), c=1.0)
        assert getattr(after, side)[7] > getattr(before, side)[7]


def test_whoever_has_no_train_row_has_no_effect() -> None:
    found = main_effects(interactions(rows()), c=1.0)
    for effects, unknown in ((found.users, N_USERS), (found.items, N_ITEMS)):
        assert effects[0] == effects[unknown] == 0
    asked = Rows.of(np.array([N_USERS]), np.array([N_ITEMS]), np.array([1]))
    assert logits(found, asked)[0] == found.intercept


def test_a_weaker_penalty_gives_larger_effects() -> None:
    train = interactions(rows())
    norms = [np.linalg.norm(main_effects(train, c=c).items) for c in (0.01, 0.1, 1.0)]
    assert norms == sorted(norms)


def test_words_of_titles_are_whole_and_in_two_titles_and_rows_that_have_any_are_of_one_length() -> (
    None
):
    words = title_words(["Heat (1995)", "Heat and Dust (1983)", "Babe (1995)", "Tron"], 2.0)
    assert words.shape == (5, 2)  # heat, 1995
    heat, year = sorted(words.toarray().T.tolist(), reverse=True)
    assert heat == pytest.approx([0, 2**0.5, 2, 0, 0])
    assert year == pytest.approx([0, 2**0.5, 0, 2, 0])
    assert title_words(["Heat", "Heat"], 0).shape == (3, 0)
    assert title_words(["Heat", "Tron"], 1.0).shape == (3, 0)
    assert title_words([], 1.0).shape == (1, 0)


def test_with_words_the_fit_is_that_of_scikit_learn_on_indicators_and_words() -> None:
    train = rows()
    titles = [f"film of {1990 + item % 4}" for item in range(N_ITEMS)]
    words = title_words(titles, 1.5)
    users, items = train.users.numpy(), train.items.numpy()
    asked = np.hstack([one_hot(users, items, N_USERS, N_ITEMS).toarray(), words.toarray()[items]])
    oracle = LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-8)
    oracle.fit(asked, train.labels.numpy())
    found = main_effects(interactions(train, titles=titles), c=0.7, title_weight=1.5)
    assert logits(found, train) == pytest.approx(oracle.decision_function(asked), abs=1e-4)
    assert found.parameters == 1 + N_USERS + N_ITEMS + words.shape[1]


def test_an_item_without_train_rows_is_ranked_by_its_title() -> None:
    titles = [f"a film of {1980 if item < N_ITEMS // 2 else 1990}" for item in range(N_ITEMS)]
    titles[-1] = "a film of 1990"  # no train row is about it; later items are liked more
    asked = Rows.of(np.array([3, 3]), np.array([N_ITEMS, 2]), np.array([1, 0]))
    data = interactions(rows(), titles=titles)
    alone = logits(main_effects(data, c=1.0), asked)
    read = logits(main_effects(data, c=1.0, title_weight=1.0), asked)
    assert read[0] > alone[0] + 0.2 and read[0] > read[1]


def test_with_popularity_a_row_does_not_count_itself_and_an_item_all_its_rows() -> None:
    train = rows()
    users, items = train.users.numpy(), train.items.numpy()
    counts = np.bincount(items, minlength=N_ITEMS + 1)
    others = np.log(counts[items])  # 1 + the others
    asked = one_hot(users, items, N_USERS, N_ITEMS).toarray()
    oracle = LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-8)
    oracle.fit(np.c_[asked, others], train.labels.numpy())
    found = main_effects(interactions(train), c=0.7, popularity=True)
    coefficient = oracle.coef_[0, -1]
    assert found.popularity == pytest.approx(coefficient, abs=1e-3)
    expected = oracle.coef_[0, N_USERS + 1 : -1] + coefficient * np.log(1 + counts)
    assert found.items == pytest.approx(expected, abs=1e-3)
    assert found.items[0] == found.items[N_ITEMS] == 0  # padding, and one without row
    assert found.parameters == 1 + N_USERS + N_ITEMS + 1


def test_where_frequent_items_are_liked_more_an_item_without_rows_is_ranked_last() -> None:
    draw = np.random.default_rng(3)
    items = np.minimum(draw.geometric(0.25, 600), N_ITEMS - 1)  # 1 is the most frequent
    train = Rows.of(draw.integers(1, N_USERS, 600), items, draw.random(600) < 1 / items**0.3)
    found = main_effects(interactions(train), c=1.0, popularity=True)
    assert found.popularity is not None and found.popularity > 0
    assert found.items[N_ITEMS] == 0 < found.items[1:6].min()
    alone = main_effects(interactions(train), c=1.0)
    assert alone.items[N_ITEMS] == 0 > alone.items[1:6].min()


@pytest.mark.parametrize("label", [0, 1])
def test_train_rows_with_one_label_are_refused(label: int) -> None:
    ids = np.arange(1, 6)
    train = Rows.of(ids, ids, np.full(5, label))
    with pytest.raises(InputError, match=f"train: {5 * label} of 5 rows are positive; a fit needs"):
        main_effects(interactions(train), c=1.0)


def test_a_level_is_one_digit_5_what_is_average_and_rises_with_the_effect() -> None:
    assert levels(np.array([0.0, 0.29, 0.31, -0.31, 1.2, 9.0, -9.0]), 9) == list("5564791")


def test_a_digit_with_a_sign_is_a_third_of_a_level_more_or_less() -> None:
    effects = np.array([0.0, 0.09, 0.11, -0.11, 0.31, 1.2, 9.0, -9.0])
    assert levels(effects, 27) == ["5", "5", "5+", "5-", "6-", "7", "9+", "1-"]
    rising = levels(np.linspace(-2.6, 2.6, 27), 27)
    assert rising == [f"{digit}{sign}" for digit in range(1, 10) for sign in ("-", "", "+")]


# Item neighbours.


def neighbours_of(train: Rows, missed: NDArray, n: int, shrinkage: float) -> ItemNeighbours:
    return find_neighbours(
        train,
        missed,
        n_users=N_USERS,
        n_items=N_ITEMS,
        neighbours=n,
        shrinkage=shrinkage,
    )


def unique_rows(seed: int, n: int = 300) -> tuple[Rows, NDArray]:
    """Rows of different pairs, and a residual of each."""
    draw = np.random.default_rng(seed)
    pairs = draw.choice(N_USERS * N_ITEMS, n, replace=False)
    train = Rows.of(1 + pairs // N_ITEMS, 1 + pairs % N_ITEMS, draw.random(n) < 0.5)
    return train, draw.normal(size=n)


@given(
    st.integers(0, 10_000),
    st.integers(1, N_ITEMS + 5),
    st.sampled_from([0.0, 3.0]),
    st.integers(1, 25),
)
@settings(max_examples=20, deadline=None)
def test_similarities_are_shrunk_cosines_of_residuals_by_hand(
    seed: int, n: int, shrinkage: float, block: int
) -> None:
    train, missed = unique_rows(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_neighbours, "_BLOCK", block)
        found = neighbours_of(train, missed, n, shrinkage).similarities.toarray()
    table = np.zeros((N_USERS + 1, N_ITEMS + 1))
    table[train.users, train.items] = missed
    for one in range(1, N_ITEMS + 1):
        expected = np.zeros(N_ITEMS + 1)
        for other in set(range(1, N_ITEMS + 1)) - {one}:
            a, b = table[:, one], table[:, other]
            common = ((a != 0) & (b != 0)).sum()
            norms = np.linalg.norm(a) * np.linalg.norm(b)
            if common and norms:
                expected[other] = max(0, a @ b / norms * common / (common + shrinkage))
        if n < N_ITEMS:
            expected[expected < np.sort(expected)[-n]] = 0
        assert found[one] == pytest.approx(expected, abs=1e-12)


def test_a_row_gets_what_its_users_answers_to_the_neighbours_missed() -> None:
    train, missed = unique_rows(3)
    found = neighbours_of(train, missed, 4, 2.0)
    asked = rows(50, seed=2)
    sums = found.sums(asked)
    for place, (user, item) in enumerate(zip(asked.users, asked.items, strict=True)):
        own = train.users == user
        expected = sum(
            found.similarities[item, other] * value
            for other, value in zip(train.items[own], missed[own], strict=True)
        )
        assert sums[place] == pytest.approx(expected, abs=1e-12)
    assert found.sums(asked.take(slice(0, 0))).shape == (0,)


def test_an_items_own_answer_never_tells_on_itself() -> None:
    train, missed = unique_rows(4)
    assert not neighbours_of(train, missed, N_ITEMS, 0.0).similarities.diagonal().any()


# The methods.


def taste(n: int, seed: int) -> Rows:
    """Rows of users of two camps, each of which likes half of the items: no levels at all."""
    draw = np.random.default_rng(seed)
    users, items = draw.integers(1, N_USERS + 1, n), draw.integers(1, N_ITEMS + 1, n)
    return Rows.of(users, items, (users % 2 == items % 2) ^ (draw.random(n) < 0.1))


def auc_of(method: str, data: Interactions, **own: Any) -> float:
    described = methods.load(method)
    fitted = described.fit(data, described.settings(**own), 1)
    test = data.rows["test"]
    return roc_auc_score(test.labels, fitted.score(test))


def test_neighbours_find_a_taste_that_biases_miss() -> None:
    data = interactions(taste(600, 1), taste(600, 2))
    own = {"c": 1.0, "neighbours": 5, "shrinkage": 5.0}
    biases = auc_of("bias", data, c=1.0)
    assert biases < 0.6
    assert auc_of("item_knn", data, weight=4.0, **own) > 0.8
    assert auc_of("item_knn", data, weight=0.0, **own) == biases


def test_the_item_mean_is_a_smoothed_share() -> None:
    train = Rows.of(np.array([1, 2, 3, 4]), np.array([1, 1, 1, 2]), np.array([1, 1, 0, 0]))
    described = methods.load("item_mean")
    fitted = described.fit(interactions(train), described.settings(strength=2.0), 1)
    asked = Rows.of(np.array([9, 9, 9]), np.array([1, 2, 5]), np.array([0, 0, 0]))
    # overall half: (2 + 1) / (3 + 2), (0 + 1) / (1 + 2), 1 / 2
    assert fitted.score(asked) == pytest.approx([0.6, 1 / 3, 0.5])


def test_the_settings_are_those_that_the_search_found() -> None:
    """The best by validation AUC over the data sets; of item kNN with the fewest neighbours."""
    found = json.loads((ROOT / "benchmarks/searches/main_effects.json").read_text())
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text())["compare"]

    def valid(line: dict[str, Any]) -> float:
        return float(np.mean([line[name]["valid"][0] for name in ("ml-100k", "ml-1m")]))

    for name, lines in found.items():
        best = max(map(valid, lines))
        near = [line["settings"] for line in lines if valid(line) > best - 0.0005]
        chosen = near[0]
        if name == "item_knn":
            chosen = min(near, key=lambda it: it["neighbours"])
        assert params[name] == chosen
