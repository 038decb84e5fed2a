"""Soft tokens: vectors in the place of words, and nothing else changed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from stages.llm.adapters import trainable_parameters
from stages.llm.load import Llm, add_soft_tokens, embedding_scale, embedding_width, load_llm
from stages.llm.packing import Batch, Group, collate, group_rows, pack
from stages.llm.score import batch_scores, score_prompts
from stages.llm.soft_tokens import MappedVectors, SoftTable, SoftTokens
from stages.prompts.tokenizer import FIRST_SOFT_ID, mark, tokenize

WORDS = ["Fargo", "Alien³", "M*A*S*H", "Amélie", "0101", " Toy Story", "“Z”", "\nItem:"]
COUNT = 6


@pytest.fixture(scope="module")
def llm(tiny_llm_folder: Path) -> Llm:
    return load_llm(tiny_llm_folder, precision="float32")


def laid_out(llm: Llm, groups: list[Group]) -> Batch:
    return collate(groups).to(llm.device, llm.causal_lm.dtype)


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table(llm: Llm) -> SoftTable:
    return SoftTable(COUNT, width=embedding_width(llm), scale=embedding_scale(llm), rng=rng())


def mapped(llm: Llm) -> MappedVectors:
    vectors = torch.randn(COUNT, 8, generator=rng(2))
    width, scale = embedding_width(llm), embedding_scale(llm)
    return MappedVectors(vectors, hidden=80, width=width, scale=scale, rng=rng(3))


# A prompt is a list of words and numbers of soft tokens.
parts = st.lists(st.sampled_from(WORDS) | st.integers(0, COUNT - 1), min_size=1, max_size=10)


def written(prompt: list[str | int]) -> str:
    return "".join(mark(part) if isinstance(part, int) else part for part in prompt)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompts=st.lists(parts, max_size=5))
def test_a_mark_is_one_token_and_the_text_between_marks_is_itself(
    llm: Llm, prompts: list[list[str | int]]
) -> None:
    found = tokenize(llm.tokenizer, list(map(written, prompts)))
    assert len(found) == len(prompts)
    for prompt, ids in zip(prompts, found, strict=True):
        numbers = [part for part in prompt if isinstance(part, int)]
        assert [i - FIRST_SOFT_ID for i in ids if i >= FIRST_SOFT_ID] == numbers
        assert llm.tokenizer.decode([i for i in ids if i < FIRST_SOFT_ID]) == "".join(
            part for part in prompt if isinstance(part, str)
        )


def test_a_prompt_without_marks_is_tokenized_as_ever(llm: Llm) -> None:
    prompts = ["Liked: Fargo", "", "Will the user like this item? Answer:"]
    assert tokenize(llm.tokenizer, prompts) == llm.tokenizer(prompts)["input_ids"]
    assert tokenize(llm.tokenizer, []) == []


def test_a_start_token_stands_once_in_front_of_a_prompt(tiny_llm_folder: Path) -> None:
    tokenizer = load_llm(tiny_llm_folder).tokenizer
    tokenizer.backend_tokenizer.post_processor = _starting_with(tokenizer.bos_token_id)
    start = [tokenizer.bos_token_id]
    assert tokenizer("Fargo")["input_ids"][:1] == start
    for text in (f"Fargo{mark(0)} Alien{mark(1)}:", f"{mark(0)} Alien{mark(1)}"):
        (ids,) = tokenize(tokenizer, [text])
        assert ids[:1] == start
        assert ids.count(start[0]) == 1


def _starting_with(token_id: int) -> object:
    return TemplateProcessing(single="<s> $A", special_tokens=[("<s>", token_id)])


class Borrowed(SoftTokens):
    """The vectors of real tokens: soft token k is the token `ids[k]`."""

    def __init__(self, llm: Llm, ids: list[int]) -> None:
        super().__init__()
        self.embed, self.ids = llm.causal_lm.get_input_embeddings(), torch.tensor(ids)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.embed(self.ids[numbers])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompts=st.lists(parts, min_size=1, max_size=6))
def test_vectors_of_real_tokens_score_exactly_as_the_tokens(
    llm: Llm, prompts: list[list[str | int]]
) -> None:
    ids = tokenize(llm.tokenizer, ["Alien³ Amélie 01"])[0][:COUNT]
    add_soft_tokens(llm, Borrowed(llm, ids))
    soft = [[*tokens, 30] for tokens in tokenize(llm.tokenizer, list(map(written, prompts)))]
    real = [[ids[i - FIRST_SOFT_ID] if i >= FIRST_SOFT_ID else i for i in row] for row in soft]
    with torch.inference_mode():
        scores = [
            batch_scores(llm, laid_out(llm, group_rows(rows, None)), "yes_minus_no")
            for rows in (soft, real)
        ]
    assert torch.equal(*scores)


def prompts_of(seed: int, n: int) -> tuple[list[str], list[str]]:
    """Random prompts with soft tokens, some with equal prefixes, and the prefixes."""
    draw = np.random.default_rng(seed)
    heads = [f"Liked: {draw.choice(WORDS)}\nUser:{mark(user)}" for user in (0, 1, 2)]
    prefixes = [heads[i] for i in draw.integers(0, 3, n)]
    prompts = [
        f"{head}\nItem: {draw.choice(WORDS)}{mark(draw.integers(3, COUNT))}\nAnswer:"
        for head in prefixes
    ]
    return prompts, prefixes


@pytest.mark.parametrize("kind", [table, mapped])
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), budget=st.sampled_from([1, 100, 4096]))
def test_any_batching_gives_the_scores_of_one_by_one(
    llm: Llm, kind: object, seed: int, n: int, budget: int
) -> None:
    add_soft_tokens(llm, kind(llm))  # type: ignore[operator]
    prompts, prefixes = prompts_of(seed, n)
    alone = [score_prompts(llm, [prompt]).item() for prompt in prompts]
    grouped = score_prompts(llm, prompts, prefixes=prefixes, token_budget=budget)
    np.testing.assert_allclose(grouped, alone, atol=1e-4, rtol=1e-5)


def gradients(llm: Llm, prompts: list[str], prefixes: list[str] | None) -> dict[str, Tensor]:
    llm.model.zero_grad()
    ids = tokenize(llm.tokenizer, prompts)
    for part in pack(group_rows(ids, prefixes), 200):
        batch = laid_out(llm, part)
        weights = torch.as_tensor(batch.rows + 1.0, dtype=torch.float32)
        (batch_scores(llm, batch, "yes_logit") * weights).sum().backward()
    found = {name: p.grad for name, p in trainable_parameters(llm.model).items()}
    assert all(grad is not None for grad in found.values())
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


def test_gradients_reach_the_vectors_that_stand_in_the_prompts_and_no_others(llm: Llm) -> None:
    add_soft_tokens(llm, table(llm))
    prompts = [f"User:{mark(1)}\nItem:{mark(4)}\nAnswer:", f"User:{mark(1)}\nItem: Fargo\nAnswer:"]
    found = gradients(llm, prompts, None)
    assert list(found) == ["soft_tokens.vectors"]
    reached = found["soft_tokens.vectors"].abs().sum(1) > 0
    assert reached.tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("kind", [table, mapped])
def test_shared_prefixes_give_the_gradients_of_rows_alone(llm: Llm, kind: object) -> None:
    add_soft_tokens(llm, kind(llm))  # type: ignore[operator]
    prompts, prefixes = prompts_of(5, 10)
    shared, alone = gradients(llm, prompts, prefixes), gradients(llm, prompts, None)
    for name, gradient in shared.items():
        scale = gradient.abs().max().clamp(min=1)
        assert (gradient - alone[name]).abs().max() / scale < 1e-5, name


@pytest.mark.parametrize("kind", [table, mapped])
def test_vectors_begin_at_the_scale_of_the_llms_own(llm: Llm, kind: object) -> None:
    weight = llm.causal_lm.get_input_embeddings().weight
    assert embedding_scale(llm) == pytest.approx(weight.double().std().item(), rel=1e-3)
    vectors = kind(llm)(torch.arange(COUNT)).detach()  # type: ignore[operator]
    assert vectors.shape == (COUNT, weight.shape[1])
    ratio = vectors.square().mean().sqrt().item() / embedding_scale(llm)
    assert 0.7 < ratio < 1.4


def test_only_the_map_is_trained_and_not_the_vectors_it_reads(llm: Llm) -> None:
    add_soft_tokens(llm, mapped(llm))
    width = embedding_width(llm)
    sizes = {name: p.numel() for name, p in trainable_parameters(llm.model).items()}
    assert sum(sizes.values()) == 8 * 80 + 80 + 80 * width + width
    assert all(name.startswith("soft_tokens.") for name in sizes)


def test_an_llm_in_bfloat16_is_filled_in_its_own_precision(tiny_llm_folder: Path) -> None:
    llm = load_llm(tiny_llm_folder, precision="bfloat16")
    add_soft_tokens(llm, table(llm))
    found = gradients(llm, [f"User:{mark(1)}\nAnswer:"], None)["soft_tokens.vectors"]
    assert found.dtype == torch.float32 and found[1].any()
