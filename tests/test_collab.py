"""The fitting loop, matrix factorisation and hashing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.collab.factorisation import MatrixFactorisation
from stages.collab.fitting import CollaborativeModel, Fit, Rows, fit, score
from stages.collab.hashing import HashedModel, beta_after, binarise, inner_product, sign
from stages.collab.lightgcn import LightGCN
from stages.collab.sections import Fitting
from stages.collab.threads import threads
from stages.collab.vectors import VectorModel
from stages.io.errors import InputError
from stages.measures.metrics.auc import auc

N_USERS, N_ITEMS, DIM, GROUPS = 60, 40, 8, 4


def planted(seed: int, n: int, *, shuffled: bool = False) -> Rows:
    """Rows of users who like the items of their own group, nine times in ten."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(1, N_USERS + 1, n), rng.integers(1, N_ITEMS + 1, n)
    liked = (users % GROUPS == items % GROUPS) ^ (rng.random(n) < 0.1)
    return Rows.of(users, items, rng.permutation(liked) if shuffled else liked)


def factorisation(seed: int = 1, *, init_std: float = 0.1) -> MatrixFactorisation:
    rng = torch.Generator().manual_seed(seed)
    return MatrixFactorisation(
        n_users=N_USERS, n_items=N_ITEMS, dim=DIM, init_std=init_std, rng=rng
    )


def hashed(
    seed: int = 1,
    *,
    code_space: str = "pm1",
    shared: bool = False,
    beta_step: float = 0.05,
    beta_every: int = 2,
    vectors: VectorModel | None = None,
) -> HashedModel:
    return HashedModel(
        vectors or factorisation(seed),
        dim=DIM,
        code_space=code_space,  # type: ignore[arg-type]
        shared_hash_layer=shared,
        beta_step=beta_step,
        beta_every=beta_every,
        rng=torch.Generator().manual_seed(seed),
    )


def fitted(
    model: CollaborativeModel,
    train: Rows,
    valid: Rows,
    *,
    lr: float = 0.02,
    epochs: int = 60,
    patience: int = 60,
) -> Fit:
    settings = Fitting(
        dim=DIM,
        init_std=0.1,
        lr=lr,
        weight_decay=1e-4,
        batch_size=256,
        epochs=epochs,
        patience=patience,
    )
    with threads(1):  # as every method is fitted
        return fit(model, train, valid, settings, rng=torch.Generator().manual_seed(3))


def auc_of(model: CollaborativeModel, rows: Rows) -> float:
    value = auc(rows.labels.numpy(), score(model, rows))
    assert value is not None
    return value


def test_planted_tastes_are_learned_by_vectors_and_by_codes() -> None:
    train, valid, test = planted(1, 3000), planted(2, 800), planted(3, 2000)
    for model in (factorisation(), hashed(), hashed(shared=True)):
        assert auc_of(model, test) < 0.6
        fitted(model, train, valid)
        assert auc_of(model, test) > 0.75


def test_shuffled_labels_teach_nothing() -> None:
    train, valid = (planted(seed, 3000, shuffled=True) for seed in (1, 2))
    model = hashed()
    fitted(model, train, valid)
    assert 0.45 < auc_of(model, planted(3, 4000, shuffled=True)) < 0.55


def test_fitting_keeps_the_state_with_the_best_auc_of_the_hard_codes() -> None:
    model, valid = hashed(), planted(2, 800)
    seen = []
    inner = model.score
    model.score = lambda rows: seen.append(inner(rows)) or inner(rows)  # type: ignore
    result = fitted(model, planted(1, 1500), valid, epochs=30)
    judged = [auc(valid.labels.numpy(), scores.numpy()) for scores in seen]
    assert result.epochs == 30 == len(judged) - 1, "before the first epoch and after each"
    assert result.valid_auc == max(judged) == judged[result.best_epoch]
    assert auc_of(model, valid) == result.valid_auc
    users, items = (torch.from_numpy(bits).float() * 2 - 1 for bits in model.all_bits())
    hard = (users[valid.users] * items[valid.items]).sum(-1)
    assert torch.equal(hard, torch.from_numpy(score(model, valid)))


def test_an_initial_state_that_no_epoch_betters_is_the_one_kept() -> None:
    model, train, valid = hashed(), planted(1, 1500), planted(2, 800)
    fitted(model, train, valid)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    worse = Rows(train.users, train.items, 1 - train.labels)
    result = fitted(model, worse, valid, epochs=500, patience=5)
    assert (result.epochs, result.best_epoch) == (5, 0)
    assert result.valid_auc == auc_of(model, valid) > 0.75
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_fitting_stops_when_patience_is_over() -> None:
    result = fitted(hashed(), planted(1, 1500), planted(2, 800), epochs=500, patience=5)
    assert result.epochs == result.best_epoch + 5 < 500


def test_one_seed_gives_one_model_and_another_seed_another() -> None:
    train, valid = planted(1, 1000), planted(2, 300)
    bits = []
    for seed in (1, 1, 2):
        model = hashed(seed)
        fitted(model, train, valid, epochs=5)
        bits.append(np.concatenate(model.all_bits()))
    assert np.array_equal(bits[0], bits[1])
    assert not np.array_equal(bits[0], bits[2])


def test_fitting_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    fitted(hashed(), planted(1, 500), planted(2, 300), epochs=2)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("n_positive", [0, 5])
def test_validation_rows_of_one_label_are_refused_in_one_line(n_positive: int) -> None:
    ids = np.arange(1, 6)
    valid = Rows.of(ids, ids, np.arange(5) < n_positive)
    with pytest.raises(InputError, match=f"{n_positive} of 5 validation rows") as caught:
        fitted(hashed(), planted(1, 100), valid)
    assert len(str(caught.value).splitlines()) == 1


def test_no_train_row_is_refused() -> None:
    with pytest.raises(InputError, match="no train rows"):
        fitted(hashed(), planted(1, 0), planted(2, 100))


def test_a_loss_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="smaller lr"):
        fitted(factorisation(), planted(1, 1000), planted(2, 100), lr=1e30)


@given(
    st.floats(1e-3, 1, exclude_min=True),
    st.integers(1, 20),
    st.integers(0, 3000),
)
def test_beta_never_falls_and_stays_at_1_after_the_ramp(
    step: float, every: int, epochs: int
) -> None:
    beta = beta_after(epochs, step=step, every=every)
    assert 0 <= beta <= beta_after(epochs + 1, step=step, every=every) <= 1
    ramp = every * int(np.ceil(1 / step) + 1)
    assert beta_after(ramp + epochs, step=step, every=every) == 1.0


def test_beta_follows_the_ramp_while_fitting_and_ends_at_1() -> None:
    model = hashed(beta_step=0.25, beta_every=2)
    betas = []
    start = model.start_epoch
    model.start_epoch = lambda epoch: (start(epoch), betas.append(model.beta))  # type: ignore
    fitted(model, planted(1, 300), planted(2, 100), epochs=13)
    assert betas == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_the_gradient_passes_straight_through_replaced_and_kept_elements(beta: float) -> None:
    rng = torch.Generator().manual_seed(1)
    z = (torch.rand(200, 50, generator=rng) * 1.8 - 0.9).requires_grad_()
    weight = torch.randn(200, 50, generator=rng)
    out = binarise(z, beta, rng)
    (out * weight).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad, weight)
    replaced = out != z
    assert torch.equal(out[replaced], z.sign()[replaced])
    assert replaced.float().mean().item() == pytest.approx(beta, abs=0.02)


def test_a_bit_is_1_only_above_0() -> None:
    assert sign(torch.tensor([-0.5, -0.0, 0.0, 1e-30])).tolist() == [-1, -1, -1, 1]


def test_with_bits_0_and_1_a_logit_is_never_negative() -> None:
    rows = planted(1, 500)
    positive, both = hashed(code_space="01"), hashed(code_space="pm1")
    for model in (positive, both):
        model.start_epoch(1000)
    assert positive(rows).min() >= 0
    assert both(rows).min() < 0
    assert torch.equal(positive(rows).detach(), positive.score(rows))
    ones = torch.ones(2, DIM)
    assert inner_product(ones, -ones, code_space="01").tolist() == [0, 0]
    assert inner_product(ones, -ones, code_space="pm1").tolist() == [-DIM, -DIM]


def test_a_shared_layer_gives_equal_vectors_equal_codes_and_separate_layers_do_not() -> None:
    for shared in (True, False):
        model = hashed(shared=shared)
        with torch.no_grad():
            model.vectors.users[: N_ITEMS + 1] = model.vectors.items
        users, items = model.all_bits()
        assert np.array_equal(users[: N_ITEMS + 1], items) is shared
    count = [sum(p.numel() for p in hashed(shared=s).parameters()) for s in (False, True)]
    assert count[0] - count[1] == DIM * DIM + DIM


def test_vectors_are_propagated_once_for_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, rng = planted(1, 200), torch.Generator().manual_seed(1)
    vectors = LightGCN(
        rows, n_users=N_USERS, n_items=N_ITEMS, dim=DIM, layers=2, init_std=0.1, rng=rng
    )
    calls = []
    propagate = vectors.vectors
    monkeypatch.setattr(vectors, "vectors", lambda: calls.append(1) or propagate())
    model = hashed(vectors=vectors)
    for use in (vectors, model, model.score, lambda rows: model.all_bits()):
        use(rows)
        assert calls.pop() and not calls


def test_the_padding_code_is_all_zero() -> None:
    users, items = hashed().all_bits()
    assert users.shape == (N_USERS + 1, DIM)
    assert items.shape == (N_ITEMS + 1, DIM)
    assert not users[0].any()
    assert not items[0].any()
    assert users[1:].any()
