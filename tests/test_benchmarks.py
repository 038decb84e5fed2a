"""The LLM benchmarks: the reference's way scores as ours does, and operations are counted right."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import llm_reference
from benchmarks.roofline import Roof, Sizes, scoring_work, training_work, visible_pairs
from benchmarks.steps import adapter_shape, packed_groups, prompt_tokens
from stages.io.errors import InputError
from stages.llm.adapters import add_adapter, trainable_parameters
from stages.llm.load import Llm, load_llm
from stages.llm.packing import Group, collate, group_rows
from stages.llm.score import batch_scores, score_prompts
from stages.prompts.tokenizer import tokenize

# The outside peers run in environments of their own.
COMMANDS = sorted(
    path.stem
    for path in (Path(__file__).resolve().parent.parent / "benchmarks").glob("*.py")
    if "\ndef main(" in path.read_text(encoding="utf-8") and not path.stem.startswith("peer_")
)
HEADS = ["Liked: Fargo, Heat", "Liked: none", "Liked: Alien, Toy Story, Amélie"]
PREFIXES = [HEADS[i] for i in (0, 1, 0, 2, 0, 2)]
PROMPTS = [f"{head}\nItem: {'Heat ' * (i + 1)}\nAnswer:" for i, head in enumerate(PREFIXES)]
LABELS = np.array([0, 1, 1, 0, 1, 0])

# torch counts `addmm` by itself, but not where it adds in place.
IN_PLACE = {torch.ops.aten.addmm_: lambda _, a, b, **kwargs: 2 * a[0] * a[1] * b[1]}


@pytest.fixture(scope="module")
def llm(tiny_llm_folder: Path) -> Llm:
    """Two layers with an adapter that changes scores."""
    llm = add_adapter(
        load_llm(tiny_llm_folder, precision="float32"),
        rank=4,
        alpha=8,
        dropout=0.0,
        targets="all-linear",
        last_layers=None,
        seed=1,
    )
    rng = torch.Generator().manual_seed(1)
    for parameter in trainable_parameters(llm.model).values():
        parameter.data = 0.05 * torch.randn(parameter.shape, generator=rng)
    return llm


@pytest.fixture
def groups(llm: Llm) -> list[Group]:
    return group_rows(tokenize(llm.tokenizer, PROMPTS), PREFIXES)


def test_the_references_way_gives_our_scores(llm: Llm) -> None:
    ours = score_prompts(llm, PROMPTS, prefixes=PREFIXES, score="yes_minus_no")
    theirs = llm_reference.score(llm, PROMPTS, kind="yes_minus_no", autocast=False, seed=1)
    assert np.abs(ours).max() > 0.01
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_the_references_training_has_the_loss_of_our_scores(llm: Llm) -> None:
    scores = torch.from_numpy(score_prompts(llm, PROMPTS, score="yes_logit"))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        scores, torch.from_numpy(LABELS).float()
    )
    loss = llm_reference.train(
        llm,
        PROMPTS,
        LABELS,
        kind="yes_logit",
        autocast=False,
        batch_rows=4,
        learning_rate=0.0,
        seed=1,
    )
    assert loss == pytest.approx(expected.item(), abs=1e-4)


def test_visible_pairs_are_those_a_mask_would_show(groups: list[Group]) -> None:
    for group in groups:
        prefix, pairs = len(group.prefix), 0
        for suffix in group.suffixes:  # each row alone, less the prefix it repeats
            alone = prefix + len(suffix)
            pairs += alone * (alone + 1) // 2 - prefix * (prefix + 1) // 2
        assert visible_pairs(group) == pairs + prefix * (prefix + 1) // 2


def test_tokens_are_counted_with_and_without_sharing(llm: Llm, groups: list[Group]) -> None:
    token_ids = tokenize(llm.tokenizer, PROMPTS)
    assert prompt_tokens(groups) == sum(map(len, token_ids))
    tokens, padded = packed_groups(groups)
    assert padded == tokens == sum(group.length for group in groups) < prompt_tokens(groups)


def test_operations_forward_are_those_that_torch_counts(
    llm: Llm, tiny_llm_folder: Path, groups: list[Group]
) -> None:
    sizes = Sizes.of(tiny_llm_folder)
    rank, targets = adapter_shape(llm)
    one = groups[0]  # a batch of one group has no padding
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter, torch.no_grad():
        batch_scores(llm, collate([one]), "yes_logit")
    products = _matrix_products(counter)
    attention = 4 * sizes.attention * visible_pairs(one)
    assert scoring_work(sizes, [one], rank, targets) - attention == products
    assert scoring_work(sizes, [one], 0, targets) < products + attention


def test_operations_of_training_are_those_that_torch_counts_up_to_the_lowest_layer(
    llm: Llm, tiny_llm_folder: Path, groups: list[Group]
) -> None:
    sizes = Sizes.of(tiny_llm_folder)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        batch_scores(llm, collate([groups[0]]), "yes_logit").sum().backward()
    llm.model.zero_grad()
    needed = training_work(sizes, [groups[0]], *adapter_shape(llm))
    needed -= 3 * 4 * sizes.attention * visible_pairs(groups[0])
    assert 0.95 * needed < _matrix_products(counter) <= needed  # no gradient below layer 0


def test_the_roof_counts_one_pass_through_all_layers(tiny_llm_folder: Path) -> None:
    sizes = Sizes.of(tiny_llm_folder)
    weights = sum(
        p.numel()
        for name, p in load_llm(tiny_llm_folder, precision="float32").model.named_parameters()
        if "proj" in name
    )
    assert Roof(sizes, torch.float32, tokens=3).run() == 2 * weights * 3


def test_the_roof_of_an_llm_that_is_not_there_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="models/llm: no such folder; run `dvc repro`"):
        Sizes.of(tmp_path / "models/llm")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_benchmark_imports_what_there_is_and_says_what_it_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as caught:
        module.main()
    assert caught.value.code == 0
    assert module.__doc__.split()[0] in capsys.readouterr().out


def _matrix_products(counter: FlopCounterMode) -> int:
    """Operations of linear layers and the head; attention multiplies batches of matrices (bmm)."""
    counts = counter.get_flop_counts()["Global"]
    return sum(n for operation, n in counts.items() if "bmm" not in str(operation))
