"""Ranking metrics, held against scikit-learn and against their definitions."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score, roc_auc_score

from stages.io.seeds import derived_seed, generator
from stages.measures.bootstrap import bootstrap, draw_users, interval
from stages.measures.metrics.auc import auc
from stages.measures.metrics.gauc import METRIC as GAUC
from stages.measures.metrics.ndcg import METRIC as NDCG
from stages.measures.metrics.uauc import METRIC as UAUC
from stages.measures.metrics.uauc import uauc, user_aucs
from stages.measures.quality import chance_levels
from stages.measures.slices import sliced_metrics
from stages.measures.user_metrics import user_metrics

ROOT = Path(__file__).resolve().parent.parent
Rows = tuple[NDArray, NDArray, NDArray]
EMPTY = np.array([])


@st.composite
def scored_rows(draw: st.DrawFn) -> Rows:
    """Rows of few users in any order, with many ties between scores."""
    n = draw(st.integers(1, 60))
    uids = draw(st.lists(st.integers(-3, 8), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    coarse = st.integers(-3, 3).map(float)
    fine = st.floats(-1e6, 1e6, width=32)
    scores = draw(st.lists(draw(st.sampled_from([coarse, fine])), min_size=n, max_size=n))
    return np.array(uids), np.array(labels, dtype=np.int8), np.array(scores, dtype=np.float32)


def per_user(uids: NDArray, labels: NDArray, scores: NDArray) -> dict[int, tuple[NDArray, NDArray]]:
    """Labels and scores of each user with both classes."""
    users = {int(uid): (labels[uids == uid], scores[uids == uid]) for uid in np.unique(uids)}
    return {uid: rows for uid, rows in users.items() if len(np.unique(rows[0])) == 2}


@given(scored_rows())
def test_auc_is_that_of_scikit_learn(rows: Rows) -> None:
    _, labels, scores = rows
    if len(np.unique(labels)) < 2:
        assert auc(labels, scores) is None
    else:
        assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(scored_rows())
def test_uauc_is_the_mean_of_scikit_learns_auc_over_users_with_both_classes(rows: Rows) -> None:
    expected = {uid: roc_auc_score(*of_user) for uid, of_user in per_user(*rows).items()}
    users, values = user_aucs(*rows)
    assert list(users) == list(expected)
    assert values == pytest.approx(list(expected.values()), abs=1e-12)
    mean, count = uauc(*rows)
    assert count == len(expected)
    assert mean == (pytest.approx(np.mean(list(expected.values()))) if expected else None)
    # As a metric of the table.
    assert UAUC.mean(*rows, 1) == (None if mean is None else pytest.approx(mean, abs=1e-12))


@given(scored_rows(), st.integers(1, 12))
def test_ndcg_is_the_mean_of_scikit_learns_over_users_with_both_classes(rows: Rows, k: int) -> None:
    expected = [
        ndcg_score([labels], [scores.astype(float)], k=k)
        for labels, scores in per_user(*rows).values()
    ]
    found = NDCG.mean(*rows, k)
    assert found == (pytest.approx(np.mean(expected), abs=1e-12) if expected else None)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6), max_size=3), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_the_chance_levels_are_the_means_over_all_orders(users: list[list[int]], k: int) -> None:
    uids = np.repeat(np.arange(len(users)), list(map(len, users)))
    labels = np.array([label for own in users for label in own], dtype=np.int8)
    of_users = []
    for own in users:
        if 0 < sum(own) < len(own):
            orders = [list(map(float, order)) for order in permutations(range(len(own)))]
            of_users.append(
                (
                    np.mean([roc_auc_score(own, order) for order in orders]),
                    np.mean([ndcg_score([own], [order], k=k) for order in orders]),
                )
            )
    found = chance_levels(uids, labels, k)
    if not of_users:
        assert found["uauc"] is None and found["ndcg"] is None
        return
    uauc_chance, ndcg_chance = np.mean(of_users, axis=0)
    assert found["auc"] == 0.5
    assert found["uauc"] == pytest.approx(uauc_chance) == 0.5
    assert found["ndcg"] == pytest.approx(ndcg_chance, abs=1e-12)


def test_the_chance_level_of_ndcg_by_hand() -> None:
    """One liked row of three, two places: a third at each, over 1 for the best order."""
    found = chance_levels(np.ones(3), np.array([0, 1, 0]), 2)
    assert found["ndcg"] == pytest.approx((1 + 1 / np.log2(3)) / 3)
    undefined = dict.fromkeys(("auc", "uauc", "gauc", "ndcg"))
    assert chance_levels(np.ones(3), np.ones(3), 2) == undefined


@given(scored_rows(), st.integers(0, 2**32 - 1))
def test_the_order_of_rows_never_counts(rows: Rows, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(rows[0]))
    shuffled = tuple(column[order] for column in rows)
    assert auc(*rows[1:]) == pytest.approx(auc(*shuffled[1:]), abs=1e-12)
    assert uauc(*rows)[0] == pytest.approx(uauc(*shuffled)[0], abs=1e-12)
    assert NDCG.mean(*rows, 5) == pytest.approx(NDCG.mean(*shuffled, 5), abs=1e-12)


@given(scored_rows())
def test_negated_scores_turn_auc_around(rows: Rows) -> None:
    _, labels, scores = rows
    if len(np.unique(labels)) == 2:
        assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores), abs=1e-12)


def test_metrics_of_one_class_and_of_no_rows_are_undefined() -> None:
    uids, scores = np.array([1, 1, 2]), np.array([0.1, 0.2, 0.3])
    for labels in (np.zeros(3), np.ones(3)):
        assert auc(labels, scores) is None
        assert uauc(uids, labels, scores) == (None, 0)
        for metric in (UAUC, GAUC, NDCG):
            assert metric.mean(uids, labels, scores, 10) is None
    assert auc(EMPTY, EMPTY) is None
    assert uauc(EMPTY, EMPTY, EMPTY) == (None, 0)
    assert GAUC.mean(EMPTY, EMPTY, EMPTY, 10) is None
    assert NDCG.mean(EMPTY, EMPTY, EMPTY, 10) is None


def test_users_with_one_class_do_not_count() -> None:
    uids = np.array([1, 1, 2, 2, 3, 3])
    labels = np.array([1, 1, 0, 1, 0, 0])
    scores = np.array([9.0, 8.0, 1.0, 2.0, 7.0, 7.0])
    assert uauc(uids, labels, scores) == (1.0, 1)


def test_float32_scores_that_differ_are_never_taken_as_ties() -> None:
    close = np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], dtype=np.float32)
    assert auc(np.array([0, 1]), close) == 1.0
    assert uauc(np.array([1, 1]), np.array([0, 1]), close) == (1.0, 1)


@given(scored_rows())
def test_slices_are_measured_as_if_they_were_all_there_is(rows: Rows) -> None:
    uids, labels, scores = rows
    slices = {"low": uids < 3, "none": np.zeros(len(uids), dtype=bool)}
    found = sliced_metrics(uids, labels, scores, slices)
    low = slices["low"]
    mean, users = uauc(uids[low], labels[low], scores[low])
    assert found["low"] == {
        "auc": auc(labels[low], scores[low]),
        "uauc": mean,
        "uauc_users": users,
        "rows": low.sum(),
    }
    assert found["none"] == {"auc": None, "uauc": None, "uauc_users": 0, "rows": 0}
    assert (found["auc"], found["rows"]) == (auc(labels, scores), len(uids))


def test_every_file_of_the_folder_but_auc_is_a_metric_of_users_and_uauc_comes_first() -> None:
    files = {path.stem for path in (ROOT / "stages/measures/metrics").glob("*.py")}
    assert set(user_metrics()) == files - {"__init__", "auc"}
    assert next(iter(user_metrics())) == "uauc"
    assert user_metrics()["ndcg"].title.format(k=7) == "NDCG@7"


# Intervals over users.


@given(scored_rows(), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_a_replicate_is_the_metric_of_the_drawn_users(rows: Rows, seed: int) -> None:
    """A user drawn twice weighs twice in AUC's rows and in UAUC's mean."""
    uids, labels, scores = rows
    draws = draw_users(uids, 4, np.random.default_rng(seed))
    found = bootstrap(uids, labels, scores, draws)
    users, user = np.unique(uids, return_inverse=True)
    both = per_user(uids, labels, scores)
    for replicate, counts in enumerate(draws):
        weights = counts[user]
        drawn = weights > 0
        if len(np.unique(labels[drawn])) == 2:
            expected = roc_auc_score(labels, scores, sample_weight=weights)
            assert found.auc[replicate] == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isnan(found.auc[replicate])
        of_users = [
            roc_auc_score(*both[uid])
            for uid, count in zip(users, counts, strict=True)
            if uid in both
            for _ in range(count)
        ]
        if of_users:
            assert found.uauc[replicate] == pytest.approx(np.mean(of_users), abs=1e-12)
        else:
            assert np.isnan(found.uauc[replicate])


@given(scored_rows())
def test_gauc_is_the_mean_of_users_aucs_weighted_by_their_rows(rows: Rows) -> None:
    both = per_user(*rows)
    found = GAUC.mean(*rows, 10)
    if both:
        aucs = [roc_auc_score(*of_user) for of_user in both.values()]
        sizes = [len(labels) for labels, _ in both.values()]
        assert found == pytest.approx(np.average(aucs, weights=sizes), abs=1e-12)
    else:
        assert found is None


def test_gauc_does_not_follow_what_is_a_users_own_and_counts_long_lists_more() -> None:
    uids = np.repeat([1, 2], [2, 8])
    labels = np.array([1, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    scores = np.r_[0.0, 1.0, np.arange(8.0)[::-1]]  # the first user's upside down
    for kinder in (0, 100):
        rows = uids, labels, scores + kinder * (uids == 2)
        assert uauc(*rows)[0] == 0.5
        assert GAUC.mean(*rows, 10) == pytest.approx(0.8)


@pytest.mark.parametrize("name", ["uauc", "gauc", "ndcg"])
@given(scored_rows(), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_a_mean_over_users_is_drawn_as_the_metric_of_the_drawn_users(
    name: str, rows: Rows, k: int, seed: int
) -> None:
    uids, labels, scores = rows
    draws, metric = draw_users(uids, 4, np.random.default_rng(seed)), user_metrics()[name]
    found = metric.drawn(uids, labels, metric.of_users(*rows, k), draws)
    for replicate, counts in enumerate(draws):
        # Each copy of a drawn user is a user of its own.
        parts = [
            (
                np.full((uids == uid).sum(), 100 * copy + uid),
                labels[uids == uid],
                scores[uids == uid],
            )
            for uid, count in zip(np.unique(uids), counts, strict=True)
            for copy in range(count)
        ]
        expected = metric.mean(*map(np.concatenate, zip(*parts, strict=True)), k)
        if expected is None:
            assert np.isnan(found[replicate])
        else:
            assert found[replicate] == pytest.approx(expected, abs=1e-12)


def test_each_replicate_draws_as_many_users_as_there_are() -> None:
    draws = draw_users(np.repeat(np.arange(50), 3), 200, generator(1, "draws"))
    assert draws.shape == (200, 50)
    assert (draws.sum(axis=1) == 50).all()
    assert draws.mean(axis=0) == pytest.approx(np.ones(50), abs=0.4)


def test_the_interval_of_a_paired_difference_is_narrower_than_of_independent_draws() -> None:
    """Two scores that are alike are told apart only if both see the same users."""
    rng = generator(2, "pairs")
    uids = np.repeat(np.arange(80), 10)
    labels = rng.integers(0, 2, len(uids))
    shared = labels + rng.normal(size=len(uids)) * 2
    one, other = shared + 0.2 * labels, shared
    draws, others = (draw_users(uids, 300, generator(seed, "draws")) for seed in (1, 2))
    ours = bootstrap(uids, labels, one, draws)
    paired = interval(ours.auc - bootstrap(uids, labels, other, draws).auc)
    independent = interval(ours.auc - bootstrap(uids, labels, other, others).auc)
    assert paired is not None and independent is not None
    value = roc_auc_score(labels, one) - roc_auc_score(labels, other)
    assert 0 < paired["low"] < value < paired["high"]
    assert independent["low"] < 0 < independent["high"]


def test_an_interval_holds_its_share_of_the_replicates() -> None:
    values = np.arange(1001.0)
    assert interval(values, 0.95) == {"low": pytest.approx(25), "high": pytest.approx(975)}
    assert interval(values, 0.5) == {"low": pytest.approx(250), "high": pytest.approx(750)}


def test_undefined_replicates_are_left_out_of_an_interval() -> None:
    assert interval(np.array([np.nan, 0.5, np.nan])) == {"low": 0.5, "high": 0.5}
    assert interval(np.array([np.nan, np.nan])) is None
    assert interval(EMPTY) is None


# Seeds.


def test_a_stream_depends_on_its_seed_and_name_only() -> None:
    assert generator(1, "a").random() == generator(1, "a").random()
    streams = {derived_seed(seed, name) for seed in range(50) for name in ("a", "b", "evaluate")}
    assert len(streams) == 150
    assert derived_seed(1, "evaluate") == GOLDEN_SEED


GOLDEN_SEED = 1216108201  # the same on every machine and in every process
