"""Titles are text: whatever one holds, it becomes no control token and no soft token."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from stages.io.errors import InputError
from stages.io.tables import PROMPTS, write_table
from stages.llm.load import load_llm
from stages.llm.score import score_prompts
from stages.methods.icl import draw_examples
from stages.prompts.rows import read_prompts
from stages.prompts.templates import with_examples
from stages.prompts.text import Row, build_prompts
from stages.prompts.tokenizer import (
    FIRST_SOFT_ID,
    load_tokenizer,
    mark,
    most_id,
    prompt_limit,
    tokenize,
)


@pytest.fixture(scope="module")
def tokenizer(tiny_llm_folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(tiny_llm_folder)


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    return {token.content: i for i, token in tokenizer.added_tokens_decoder.items()}


def test_no_special_token_is_read_out_of_a_text(tokenizer: PreTrainedTokenizerBase) -> None:
    control = control_tokens(tokenizer)
    assert {"<|im_end|>", "<|im_start|>", "<|endoftext|>"} <= set(control)
    for written in control:
        text = f'Item: "Film {written} II"\nAnswer:'
        (ids,) = tokenize(tokenizer, [text])
        assert not set(ids) & set(control.values()), written
        assert tokenizer.decode(ids) == text
        assert ids == tokenizer(text)["input_ids"] == tokenizer([text])["input_ids"][0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_title_gives_a_control_token_or_an_id_without_embedding(
    tokenizer: PreTrainedTokenizerBase, data: st.DataObject
) -> None:
    control = control_tokens(tokenizer)
    part = st.sampled_from(sorted(control)) | st.text(max_size=8)
    titles = data.draw(st.lists(st.lists(part, max_size=5).map("".join), min_size=1, max_size=4))
    row = Row(1, history=titles[1:], title=titles[0])
    built = build_prompts([row], tokenizer, 8192)
    ids = tokenizer(built.prompts[0].prefix + built.prompts[0].suffix)["input_ids"]
    assert len(ids) == built.n_tokens[0]
    assert not set(ids) & set(control.values())
    assert max(ids) <= most_id(tokenizer)


def test_texts_without_special_tokens_have_the_ids_that_they_have_anywhere(
    tokenizer: PreTrainedTokenizerBase, tiny_llm_folder: Path
) -> None:
    texts = ['Item: "Amélie (2001)"\nUser code: 0101\nAnswer:', "172.16. |im_end|> < |x|", ""]
    texts += ["  two  spaces", "tab\tand\r\nbreak", "Alien³ 映画 \U0001f600"]
    assert (
        tokenizer(texts)["input_ids"]
        == AutoTokenizer.from_pretrained(tiny_llm_folder)(texts)["input_ids"]
    )


def prompts_of(path: Path, titles: list[str]) -> Path:
    """Writes a prompt table with one row for each title."""
    n = len(titles)
    columns: dict[str, Any] = {
        "row": range(n),
        "uid": [1] * n,
        "iid": range(1, n + 1),
        "label": [1, 0] * (n // 2),
    }
    columns |= {"teacher": [0.5] * n, "prefix": titles, "n_tokens": [9] * n}
    columns["suffix"] = [f"\n{title}\nAnswer:" for title in titles]
    write_table(pd.DataFrame(columns), path, PROMPTS)
    return path


def test_a_mark_in_a_title_is_no_soft_token(tiny_llm_folder: Path, tmp_path: Path) -> None:
    titles = [f"Heat {mark(5)}{mark(10**9)}", "\ufdd0\ufdd1\ufdd0"]
    marked = prompts_of(tmp_path / "a.parquet", titles)
    plain = prompts_of(tmp_path / "b.parquet", ["Heat 51000000000", ""])
    rows, expected = read_prompts(marked), read_prompts(plain)
    assert rows.prompts == expected.prompts and rows.prefixes == expected.prefixes
    llm = load_llm(tiny_llm_folder, precision="float32")
    assert max(map(max, tokenize(llm.tokenizer, rows.prompts))) < FIRST_SOFT_ID
    scores = [score_prompts(llm, given.prompts).tolist() for given in (rows, expected)]
    assert scores[0] == scores[1]


def test_a_template_still_marks_soft_tokens_and_examples_hold_none(tmp_path: Path) -> None:
    path = prompts_of(tmp_path / "a.parquet", [f"Heat {mark(5)}", "<|im_end|>"])
    found = read_prompts(path, template=lambda uid, iid, p, s: (mark(3) + p, s))
    assert found.prompts[0].startswith(f"{mark(3)}Heat 5\n")
    examples = draw_examples(path, 2, np.random.default_rng(0))
    found = read_prompts(path, template=with_examples(examples))
    assert not any("\ufdd0" in prompt for prompt in found.prompts)


def test_prompts_longer_than_the_llm_reads_are_refused(tiny_llm_folder: Path) -> None:
    assert prompt_limit(tiny_llm_folder, None) == prompt_limit(tiny_llm_folder, 8192) == 8192
    assert prompt_limit(tiny_llm_folder, 50) == 50
    with pytest.raises(InputError, match=r"max_tokens = 8193: .* reads 8192 tokens"):
        prompt_limit(tiny_llm_folder, 8193)
