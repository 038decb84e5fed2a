"""Codes as digits, words, packed bytes and dot-decimal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.io.errors import InputError
from stages.prompts.codes import (
    MOST_BITS_IN_WORDS,
    READ,
    WRITTEN,
    Form,
    from_dotted,
    from_words,
    pack,
    pack_rows,
    to_dotted,
    to_words,
    unpack,
)
from stages.prompts.words import WORDS

CODES = st.binary(min_size=1, max_size=16)


def test_the_papers_example_holds() -> None:
    packed = pack("10101100000100001111111000000001")
    assert packed == bytes([172, 16, 254, 1])
    assert to_dotted(packed) == "172.16.254.1"


@pytest.mark.parametrize("form", list(WRITTEN))
@given(packed=CODES)
def test_packed_survives_the_way_through_each_form(form: Form, packed: bytes) -> None:
    assert READ[form](WRITTEN[form](packed)) == packed


@given(CODES, st.data())
def test_two_codes_share_as_many_words_as_bits(one: bytes, data: st.DataObject) -> None:
    other = data.draw(st.binary(min_size=len(one), max_size=len(one)))
    shared = set(to_words(one).split()) & set(to_words(other).split())
    assert len(shared) == sum(a == b for a, b in zip(unpack(one), unpack(other), strict=True))


def test_no_word_stands_for_two_bits() -> None:
    assert len(set(WORDS)) == len(WORDS) == 2 * MOST_BITS_IN_WORDS == 256


def test_codes_of_more_bits_than_have_words_are_refused_in_one_line() -> None:
    to_words(bytes(16))
    with pytest.raises(InputError, match="codes of 136 bits: 128 have words; set materialize_prom"):
        to_words(bytes(17))


@pytest.mark.parametrize("words", ["", "red ", "red man dog sun book road ship ship", "man red"])
def test_what_is_no_code_in_words_is_refused(words: str) -> None:
    with pytest.raises(InputError, match="is no word of bit"):
        from_words(words)


@given(st.integers(1, 16).flatmap(lambda n: st.text("01", min_size=8 * n, max_size=8 * n)))
def test_bits_survive_the_way_through_packed_and_dots(bits: str) -> None:
    assert unpack(pack(bits)) == bits
    assert unpack(from_dotted(to_dotted(pack(bits)))) == bits


@given(st.lists(st.integers(0, 255), min_size=1, max_size=16))
def test_dotted_survives_the_way_through_bits(numbers: list[int]) -> None:
    dotted = ".".join(map(str, numbers))
    assert to_dotted(pack(unpack(from_dotted(dotted)))) == dotted


@given(st.integers(1, 4), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_matrix_packs_as_its_rows_do(n_bytes: int, n: int, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    bits = rng.random((n, 8 * n_bytes)) < 0.5
    text = ["".join("1" if bit else "0" for bit in row) for row in bits]
    assert pack_rows(bits) == [pack(row) for row in text]


@given(st.text("01", max_size=40).filter(lambda bits: len(bits) % 8 or not bits))
def test_a_width_that_is_no_multiple_of_8_is_refused_in_one_line(bits: str) -> None:
    with pytest.raises(InputError, match="expected a positive multiple of 8") as caught:
        pack(bits)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="multiple of 8"):
        pack_rows(np.zeros((3, len(bits)), dtype=bool))


def test_an_empty_code_has_no_form() -> None:
    for convert in (unpack, to_dotted):
        with pytest.raises(InputError, match="0 bits wide"):
            convert(b"")


@pytest.mark.parametrize("bits", ["0101010x", " 1010101", "1010101\n", "0b101010", "\uff110000000"])
def test_bits_other_than_0_and_1_are_refused(bits: str) -> None:
    with pytest.raises(InputError, match="only 0 and 1") as caught:
        pack(bits)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("dotted", "part"),
    [
        ("256.1", "256"),
        ("1.-1", "-1"),
        ("01.2", "01"),
        ("1.00", "00"),
        ("1..2", ""),
        ("", ""),
        ("1.2.", ""),
        ("1.+2", "+2"),
        ("1. 2", " 2"),
        ("1.2\n", "2\n"),
        ("1.1e1", "1e1"),
        ("1.٣", "٣"),
        ("1000", "1000"),
    ],
)
def test_a_part_that_is_no_plain_number_up_to_255_is_refused(dotted: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        from_dotted(dotted)
    assert repr(part) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
