"""Prompts: fields, order, odd titles, and the limit on their length."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.codes import from_dotted, pack, to_dotted, unpack
from stages.common.errors import InputError
from stages.llm.prompt_content import Content, Flips
from stages.llm.prompt_text import UNKNOWN, Row, build_prompt, build_prompts, code_texts, quoted
from stages.llm.tokenizer import load_tokenizer, token_limit

FULL = Row(7, ["Fargo (1996)", "Heat (1995)"], "Alien (1979)", "0101", "1100")


def text_of(row: Row) -> str:
    prompt = build_prompt(row)
    return prompt.prefix + prompt.suffix


def test_fields_stand_in_the_papers_order() -> None:
    text = text_of(FULL)
    fields = ['"Fargo (1996)"', '"Heat (1995)"', "0101", '"Alien (1979)"', "1100", "Answer:"]
    assert [text.index(f) for f in fields] == sorted(text.index(f) for f in fields)
    assert text.endswith("Answer:")


def test_text_only_prompts_hold_no_word_of_codes() -> None:
    assert "code" not in text_of(Row(7, ["Fargo"], "Alien")).lower()


def test_id_only_prompts_hold_no_title() -> None:
    text = text_of(Row(7, None, "Alien (1979)", "0101", "1100"))
    assert "Alien" not in text and '"' not in text
    assert "0101" in text and "1100" in text


def test_an_empty_history_has_its_own_word() -> None:
    assert "liked: none\n" in text_of(Row(7, [], "Alien"))


def test_rows_of_one_user_and_history_share_their_prefix() -> None:
    other = Row(8, FULL.history, "Brazil (1985)", "0101", "0011")
    assert build_prompt(FULL).prefix == build_prompt(other).prefix
    assert build_prompt(FULL).suffix != build_prompt(other).suffix


@given(title=st.text())
def test_any_title_stays_one_quoted_line(title: str) -> None:
    line = quoted(title)
    assert line[0] == line[-1] == '"' and '"' not in line[1:-1]
    assert len(line.splitlines()) == 1


@given(title=st.text(st.characters(categories=["L", "N", "P"], exclude_characters='"'), min_size=1))
def test_letters_of_all_scripts_survive(title: str) -> None:
    assert quoted(title) == f'"{title}"'


def test_too_long_prompts_lose_their_oldest_titles_and_are_counted(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    history = [f"Film number {i} of a very long list" for i in range(10)]
    row = Row(7, history, "Alien (1979)", "0101", "1100")
    whole = build_prompts([row], tokenizer, 8192)
    assert whole.shortened == 0
    built = build_prompts([row, FULL], tokenizer, 100)
    assert built.shortened == 1
    assert all(n <= 100 for n in built.n_tokens)
    kept = history[built.titles_dropped :]
    assert 0 < len(kept) < 10
    assert built.prompts[0] == build_prompt(Row(7, kept, "Alien (1979)", "0101", "1100"))
    one_more = Row(7, history[built.titles_dropped - 1 :], "Alien (1979)", "0101", "1100")
    assert build_prompts([one_more], tokenizer, 8192).n_tokens[0] > 100


def test_lengths_are_those_of_the_whole_prompt(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    built = build_prompts([FULL], tokenizer, 8192)
    assert built.n_tokens == [len(tokenizer(text_of(FULL))["input_ids"])]


def test_a_title_that_alone_passes_the_limit_is_named(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    with pytest.raises(InputError, match=r"row 9: .* 40 tokens"):
        build_prompts([Row(9, ["Fargo"], "long " * 200)], tokenizer, 40)


def test_the_limit_is_the_llms_own(tiny_llm_folder: Path, tmp_path: Path) -> None:
    assert token_limit(tiny_llm_folder) == 8192
    with pytest.raises(InputError, match="no such file"):
        token_limit(tmp_path)


CODES = {"uid": [1, 2], "bits": ["01", "10"], "dotted": ["1", "2"], "trained": [True, False]}


@pytest.mark.parametrize(
    ("compress", "untrained", "expected"),
    [
        (False, "learned", {1: "01", 2: "10"}),
        (True, "learned", {1: "1", 2: "2"}),
        (False, "word", {1: "01", 2: "unknown"}),
    ],
)
def test_codes_stand_as_asked(compress: bool, untrained: str, expected: dict[int, str]) -> None:
    assert code_texts(CODES, "uid", compress=compress, untrained=untrained) == expected


@given(packed=st.binary(min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_noise_flips_the_same_bits_of_both_forms_of_a_code(packed: bytes, seed: int) -> None:
    bits, dotted = (
        Flips(0.3, np.random.default_rng(seed))(code)
        for code in (unpack(packed), to_dotted(packed))
    )
    assert pack(bits) == from_dotted(dotted)


def test_noise_flips_the_share_of_bits_it_is_asked_for() -> None:
    flips = Flips(0.2, np.random.default_rng(1))
    flipped = sum(flips("0" * 32).count("1") for _ in range(1000))
    assert 0.19 < flipped / 32_000 < 0.21
    assert Flips(0.0, np.random.default_rng(1))("0" * 32) == "0" * 32
    assert flips(UNKNOWN) == UNKNOWN


def test_rows_of_one_history_share_the_noise_in_the_users_code() -> None:
    interactions = pa.table(
        {
            "row": range(4),
            "uid": [1, 1, 1, 2],
            "iid": [1, 1, 1, 1],
            "history": [[], [], [1], [1]],
        }
    )
    codes = {1: "0" * 32, 2: "0" * 32}
    content = Content({1: "Alien"}, True, 10, codes, codes)
    rows = content.rows(interactions, Flips(0.5, np.random.default_rng(1)))
    users = [row.user_code for row in rows]
    assert users[0] == users[1] and len(set(users)) == 3
    assert len({row.item_code for row in rows}) == 4
    assert {row.user_code for row in content.rows(interactions)} == {"0" * 32}
