"""The LLM: equal scores however rows are batched, adapters that survive, training resumed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

from stages.io.errors import InputError
from stages.io.progress import Progress
from stages.io.seeds import generator
from stages.llm.adapters import (
    add_adapter,
    check_adapter,
    load_adapter,
    store_adapter,
    trainable_parameters,
)
from stages.llm.fetching.write import write_llm
from stages.llm.hardware import resolve_precision
from stages.llm.load import Llm, load_llm
from stages.llm.packing import Group, collate, group_rows, pack, pack_evenly, shuffled_batches
from stages.llm.params import Tuning
from stages.llm.score import batch_scores, score_prompts
from stages.llm.tune import LabelledPrompts, Tuned, tune
from stages.prompts.tokenizer import answer_id, load_tokenizer, tokenize

TUNING = Tuning(
    epochs=3, batch_rows=8, micro_tokens=600, weight_decay=0.0, warmup=0.1, floor=0.0, evaluations=3
)
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear", "last_layers": None}


@pytest.fixture(scope="module")
def plain(tiny_llm_folder: Path) -> nn.Module:
    """The same LLM as transformers runs it by itself."""
    return AutoModelForCausalLM.from_pretrained(tiny_llm_folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def llm(tiny_llm_folder: Path) -> Llm:
    return load_llm(tiny_llm_folder, precision="float32")


def adapted(folder: Path, **changes: object) -> Llm:
    return add_adapter(load_llm(folder, precision="float32"), **{**LORA, **changes}, seed=3)


def prompts_of(seed: int, n: int) -> tuple[list[str], list[str]]:
    """Random prompts, some with equal prefixes, as whole prompts and prefixes."""
    rng = np.random.default_rng(seed)
    words = ["Fargo", "Alien³", "M*A*S*H", "Amélie", "0101", "172.16", "Toy Story", "“Z”"]
    heads = ["Liked: " + ", ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(4)]
    prefixes = [heads[i] for i in rng.integers(0, 4, n)]
    tails = ["\nItem: " + " ".join(rng.choice(words, rng.integers(1, 6))) for _ in range(n)]
    return [p + t + "\nAnswer:" for p, t in zip(prefixes, tails, strict=True)], prefixes


@pytest.mark.parametrize("score", ["yes_logit", "yes_minus_no"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), budget=st.sampled_from([1, 200, 4096]))
def test_any_batching_gives_the_scores_of_one_by_one(
    llm: Llm, plain: nn.Module, score: str, seed: int, n: int, budget: int
) -> None:
    prompts, prefixes = prompts_of(seed, n)
    alone = []
    for prompt in prompts:
        ids = torch.tensor([llm.tokenizer(prompt)["input_ids"]])
        logits = plain(input_ids=ids, use_cache=False).logits[0, -1].detach()
        yes, no = logits[llm.answer_ids]
        alone.append((yes if score == "yes_logit" else yes - no).item())
    for shared in (None, prefixes):
        scores = score_prompts(llm, prompts, prefixes=shared, score=score, token_budget=budget)
        np.testing.assert_allclose(scores, alone, atol=2e-5, rtol=1e-5)


def test_a_shuffled_set_gets_the_same_scores(llm: Llm) -> None:
    prompts, prefixes = prompts_of(0, 20)
    order = np.random.default_rng(1).permutation(20)
    scores = score_prompts(llm, prompts, prefixes=prefixes)
    shuffled = score_prompts(
        llm, [prompts[i] for i in order], prefixes=[prefixes[i] for i in order]
    )
    np.testing.assert_allclose(shuffled, scores[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layers", [8, 24])
def test_rounding_makes_no_other_kind_of_llm(llm_folder: Path, tmp_path: Path, layers: int) -> None:
    """Logits of middle layers in bfloat16 lie up to 0.25 apart, packed or not."""
    write_llm(
        source=str(llm_folder),
        revision=None,
        layers=layers,
        folder=tmp_path / "llm",
        downloads=tmp_path,
    )
    assert load_llm(tmp_path / "llm", precision="bfloat16").causal_lm.dtype == torch.bfloat16


def test_shared_prefixes_give_the_gradients_of_rows_alone(tiny_llm_folder: Path) -> None:
    llm = adapted(tiny_llm_folder)
    prompts, prefixes = prompts_of(5, 10)
    ids = tokenize(llm.tokenizer, prompts)
    gradients = []
    for shared in (prefixes, None):
        for part in pack(group_rows(ids, shared), 600):
            batch = collate(part)
            weights = torch.as_tensor(batch.rows + 1.0, dtype=torch.float32)
            (batch_scores(llm, batch, "yes_logit") * weights).sum().backward()
        parameters = trainable_parameters(llm.model)
        gradients.append({name: p.grad.clone() for name, p in parameters.items()})
        llm.model.zero_grad()
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max().clamp(min=1)
        assert (gradient - gradients[1][name]).abs().max() / scale < 1e-5, name


def test_groups_hold_every_row_once_and_rebuild_its_tokens(llm: Llm) -> None:
    prompts, prefixes = prompts_of(2, 30)
    ids = tokenize(llm.tokenizer, prompts)
    groups = group_rows(ids, prefixes, most_rows=3)
    assert sorted(row for group in groups for row in group.rows) == list(range(30))
    for group in groups:
        assert len(group.rows) <= 3
        for row, suffix in zip(group.rows, group.suffixes, strict=True):
            assert group.prefix + suffix == ids[row]
            assert suffix


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("multiple", [1, 2, 3])
def test_pieces_of_a_step_are_cut_from_its_groups_so_that_they_end_together(
    llm: Llm, shared: bool, multiple: int
) -> None:
    prompts, prefixes = prompts_of(3, 24)
    ids = tokenize(llm.tokenizer, prompts)
    groups = group_rows(ids, prefixes if shared else [""] * len(ids), most_rows=4)
    for batch in [*([group] for group in groups), *shuffled_batches(groups, 5, generator(1, "b"))]:
        whole, even = pack(batch, 10_000, multiple), pack_evenly(batch, 10_000, multiple)
        rows = sorted(row for group in batch for row in group.rows)
        assert sorted(row for piece in even for group in piece for row in group.rows) == rows
        for group in (group for piece in even for group in piece):
            for row, suffix in zip(group.rows, group.suffixes, strict=True):
                assert group.prefix + suffix == ids[row] and suffix
        assert len(whole) <= len(even) <= min(multiple, len(rows))
        assert longest(even) <= longest(whole)
        if multiple == 1:
            assert even == whole


def test_a_cut_must_save_more_than_the_prefix_that_is_computed_twice() -> None:
    suffixes = [[1] * 10, [2] * 10, [3] * 10, [4] * 20]
    for prefix, lengths in ((0, [20, 30]), (10, [30, 40]), (1000, [1050])):
        pieces = pack_evenly([Group([5, 6, 7, 8], [9] * prefix, suffixes)], 10_000, 2)
        found = sorted(sum(group.length for group in piece) for piece in pieces)
        assert found == lengths


def longest(pieces: list[list[Group]]) -> int:
    return max(sum(group.length for group in piece) for piece in pieces)


def test_an_epoch_trains_on_every_row_once_in_batches_of_the_asked_size(llm: Llm) -> None:
    prompts, prefixes = prompts_of(2, 50)
    groups = group_rows(tokenize(llm.tokenizer, prompts), prefixes, most_rows=4)
    batches = list(shuffled_batches(groups, 8, np.random.default_rng(0)))
    rows = [[row for group in batch for row in group.rows] for batch in batches]
    assert sorted(row for batch in rows for row in batch) == list(range(50))
    assert max(map(len, rows)) < 8 + 4


def test_answers_are_single_tokens_and_each_digit_is_its_own(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    assert tokenizer.convert_ids_to_tokens(answer_id(tokenizer, " Yes")) == "ĠYes"
    assert len(tokenizer("0101101001011010")["input_ids"]) == 16
    with pytest.raises(InputError, match="not one token"):
        answer_id(tokenizer, " Absolutely not")


def test_an_adapter_reloads_to_the_same_scores(tiny_llm_folder: Path, tmp_path: Path) -> None:
    llm = adapted(tiny_llm_folder)
    weights = {name: torch.randn_like(p) / 9 for name, p in trainable_parameters(llm.model).items()}
    store_adapter(llm, weights, tmp_path / "adapter")
    prompts, prefixes = prompts_of(1, 8)
    scores = score_prompts(llm, prompts, prefixes=prefixes)
    plain = load_llm(tiny_llm_folder, precision="float32")
    assert np.abs(score_prompts(plain, prompts) - scores).max() > 0.01
    again = load_adapter(plain, tmp_path / "adapter")
    np.testing.assert_allclose(score_prompts(again, prompts, prefixes=prefixes), scores, atol=2e-5)
    further = load_adapter(
        load_llm(tiny_llm_folder, precision="float32"), tmp_path / "adapter", trainable=True
    )
    np.testing.assert_array_equal(score_prompts(further, prompts, prefixes=prefixes), scores)


def test_an_empty_or_missing_adapter_is_refused(tiny_llm_folder: Path, tmp_path: Path) -> None:
    llm = adapted(tiny_llm_folder)  # fresh: every lora_B is zero
    weights = {name: p.detach() for name, p in trainable_parameters(llm.model).items()}
    store_adapter(llm, weights, tmp_path / "adapter")
    with pytest.raises(InputError, match="empty"):
        check_adapter(tmp_path / "adapter")
    with pytest.raises(InputError, match="no such file"):
        check_adapter(tmp_path / "nowhere")


def test_only_the_last_layers_are_adapted_when_asked(tiny_llm_folder: Path) -> None:
    names = trainable_parameters(adapted(tiny_llm_folder, last_layers=1).model)
    assert names and all(".layers.1." in name for name in names)
    with pytest.raises(InputError, match="2 layers"):
        adapted(tiny_llm_folder, last_layers=3)


def test_unknown_layer_names_are_refused(tiny_llm_folder: Path) -> None:
    with pytest.raises(InputError, match=r"lora\.targets"):
        adapted(tiny_llm_folder, targets=["nothing_proj"])


def test_bfloat16_is_chosen_only_where_the_cpu_multiplies_it() -> None:
    flags = Path("/proc/cpuinfo")
    if not flags.is_file():
        pytest.skip("no /proc/cpuinfo to compare with")
    native = any(flag in flags.read_text() for flag in ("avx512_bf16", "amx_bf16"))
    chosen = resolve_precision("auto", torch.device("cpu"))
    assert chosen == (torch.bfloat16 if native else torch.float32)
    assert resolve_precision("float32", torch.device("cpu")) == torch.float32


def planted(n: int, seed: int) -> LabelledPrompts:
    """Prompts whose label says whether the candidate is one of three films."""
    rng = np.random.default_rng(seed)
    films = rng.integers(0, 6, n)
    names = ["Alien", "Brazil", "Casablanca", "Dune", "Eraser", "Fargo"]
    prefixes = [f"User code: {u:03b}" for u in rng.integers(0, 8, n)]
    prompts = [
        f"{p}\nItem: {names[film]}\nAnswer:" for p, film in zip(prefixes, films, strict=True)
    ]
    return LabelledPrompts.hard(prompts, prefixes, (films % 2).astype(np.int8))


def train(
    folder: Path,
    data: LabelledPrompts,
    scratch: Path,
    valid: LabelledPrompts | None = None,
    **changes: int,
) -> Tuned:
    """Trains a new adapter; `changes` are those of `TUNING`."""
    return tune(
        adapted(folder, dropout=0.1),
        [data],
        valid or planted(128, 99),
        settings=TUNING.model_copy(update=changes),
        score="yes_minus_no",
        learning_rate=2e-3,
        seed=1,
        scratch=scratch,
        title="test",
    )


def shuffled(data: LabelledPrompts) -> LabelledPrompts:
    labels = np.random.default_rng(0).permutation(data.labels)
    return LabelledPrompts.hard(data.prompts, data.prefixes, labels)


def test_training_learns_a_planted_rule_and_nothing_from_shuffled_labels(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    data, valid = planted(320, 0), planted(128, 99)
    tuned = train(tiny_llm_folder, data, tmp_path / "a")
    assert tuned.best["auc"] > 0.9
    assert tuned.curve[-1]["rows"] == 960
    last = train(
        tiny_llm_folder, shuffled(data), tmp_path / "b", valid=shuffled(valid), evaluations=1
    )
    assert 0.35 < last.best["auc"] < 0.65


def test_who_watches_is_told_each_step_and_evaluation_and_changes_nothing(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    told: list[tuple[float, Mapping[str, float]]] = []
    data, changes = planted(24, 0), {"epochs": 1, "evaluations": 2}
    plain = train(tiny_llm_folder, data, tmp_path / "plain", **changes)
    watched = tune(
        adapted(tiny_llm_folder, dropout=0.1),
        [data],
        planted(128, 99),
        settings=TUNING.model_copy(update=changes),
        score="yes_minus_no",
        learning_rate=2e-3,
        seed=1,
        scratch=tmp_path / "watched",
        title="test",
        watch=lambda rows, values: told.append((rows, values)),
    )
    assert watched.curve == plain.curve
    aucs = [(rows, values["validation AUC"]) for rows, values in told if len(values) == 1]
    assert aucs == [(entry["rows"], entry["auc"]) for entry in plain.curve]
    steps = [rows for rows, values in told if "loss" in values]
    assert steps == sorted(set(steps)) and steps[-1] == 24


def soft(data: LabelledPrompts) -> LabelledPrompts:
    """Says of liked films that they are liked with probability 0.7, of others 0.2."""
    targets = np.where(data.labels == 1, 0.7, 0.2).astype(np.float32)
    return replace(data, targets=targets)


def test_the_loss_is_bce_against_the_targets_and_not_against_the_labels(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    data = soft(planted(12, 0))
    llm = adapted(tiny_llm_folder)
    scores = torch.from_numpy(score_prompts(llm, data.prompts, score="yes_minus_no"))
    expected, of_labels = (
        functional.binary_cross_entropy_with_logits(scores, torch.as_tensor(held).float()).item()
        for held in (data.targets, data.labels)
    )
    tuned = tune(
        llm,
        [data],
        data,
        settings=TUNING.model_copy(update={"epochs": 1, "batch_rows": 12, "evaluations": 1}),
        score="yes_minus_no",
        learning_rate=0.0,
        seed=1,
        scratch=tmp_path,
        title="test",
    )
    assert tuned.curve[0]["loss"] == pytest.approx(expected, abs=1e-4)
    assert abs(of_labels - expected) > 0.01


def test_soft_targets_teach_probabilities_and_auc_still_goes_by_labels(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    data = soft(planted(320, 0))
    tuned = train(tiny_llm_folder, data, tmp_path)
    assert tuned.best["auc"] > 0.9
    entropy = -np.mean(
        data.targets * np.log(data.targets) + (1 - data.targets) * np.log1p(-data.targets)
    )
    assert entropy - 0.02 < tuned.curve[-1]["loss"] < entropy + 0.05, "as low as it can be"


def test_a_cut_training_ends_with_the_same_adapter(
    tiny_llm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = planted(160, 0)
    whole = train(tiny_llm_folder, data, tmp_path / "whole")
    monkeypatch.setattr("stages.llm.tune.CHECKPOINT_SECONDS", 0.0)
    advance = Progress.advance
    for cut_after in (3, 20, 30):  # steps since the last start; 60 in all
        steps = iter(range(1000))

        def cut(self: Progress, n: int, note: str = "") -> None:
            advance(self, n, note)
            if next(steps) == cut_after:  # noqa: B023
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "advance", cut)
        try:
            resumed = train(tiny_llm_folder, data, tmp_path / "cut")
        except KeyboardInterrupt:
            continue
    monkeypatch.setattr(Progress, "advance", advance)
    resumed = train(tiny_llm_folder, data, tmp_path / "cut")
    assert resumed.curve == whole.curve
    for name, weights in whole.weights.items():
        assert torch.equal(resumed.weights[name], weights), name


def test_one_class_is_refused_before_training(tiny_llm_folder: Path, tmp_path: Path) -> None:
    data = planted(32, 0)
    ones = LabelledPrompts.hard(data.prompts, data.prefixes, np.ones(32))
    with pytest.raises(InputError, match="one class"):
        train(tiny_llm_folder, ones, tmp_path)
