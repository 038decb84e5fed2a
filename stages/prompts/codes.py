"""Binary codes as text: digits, dot-decimal, words, each made of packed bytes and read back.

- Digits: `0101…`, as in BinLLM section 2.1.2. An LLM has to count to know which bit a digit is.
- Dot-decimal: `10101100 00010000 11111110 00000001` is `172.16.254.1` (BinLLM, Equation 4): every 8
  bits one number from 0 to 255, the first bit the most significant, joined by dots.
- Words, which are not the paper's: each bit has two words of its own, one for 0 and one for 1. So a
  word that stands in both codes is a bit on which they agree, and words that stood there before are
  what attention of a language model finds anyway.
"""

import re
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.prompts.words import WORDS

BITS_PER_NUMBER = 8
MOST_BITS_IN_WORDS = len(WORDS) // 2

Form = Literal["digits", "dotted", "words"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")


def pack(bits: str) -> bytes:
    """Packs `0101…` into bytes, the first bit the most significant of the first byte.

    Raises:
        InputError: anything but 0 and 1, or a width that is no positive multiple of 8.
    """
    if bits.strip("01"):
        raise InputError(f"code {bits!r}: expected only 0 and 1")
    _check_width(len(bits), f"code {bits!r}")
    return int(bits, base=2).to_bytes(len(bits) // BITS_PER_NUMBER, "big")


def unpack(packed: bytes) -> str:
    """Returns the `0101…` of packed bytes.

    Raises:
        InputError: there is no byte.
    """
    _check_width(len(packed) * BITS_PER_NUMBER, f"packed code {packed!r}")
    return "".join(f"{byte:08b}" for byte in packed)


def to_dotted(packed: bytes) -> str:
    """Returns the dot-decimal form of packed bytes.

    Raises:
        InputError: there is no byte.
    """
    _check_width(len(packed) * BITS_PER_NUMBER, f"packed code {packed!r}")
    return ".".join(str(byte) for byte in packed)


def from_dotted(dotted: str) -> bytes:
    """Packs the dot-decimal form into bytes; each code has one such form and no other.

    Raises:
        InputError: a part is no number from 0 to 255 in plain digits without leading zeros.
    """
    for part in dotted.split("."):
        if not _NUMBER.fullmatch(part) or int(part) > 255:
            raise InputError(
                f"code {dotted!r}: {part!r} is no number from 0 to 255 without leading zeros"
            )
    return bytes(int(part) for part in dotted.split("."))


def to_words(packed: bytes) -> str:
    """Returns the words of packed bytes, separated by spaces.

    Raises:
        InputError: there is no byte, or more bits than have words.
    """
    bits = unpack(packed)
    if len(bits) > MOST_BITS_IN_WORDS:
        raise InputError(
            f"codes of {len(bits)} bits: {MOST_BITS_IN_WORDS} have words; set "
            "materialize_prompts.bits to digits, or pretrain_hash.dim lower"
        )
    return " ".join(WORDS[2 * place + int(bit)] for place, bit in enumerate(bits))


def from_words(words: str) -> bytes:
    """Packs the words of a code into bytes.

    Raises:
        InputError: a word is none of the two of its bit, or their number no multiple of 8.
    """
    bits = ""
    for place, word in enumerate(words.split(" ")):
        pair = WORDS[2 * place : 2 * place + 2]
        if word not in pair:
            raise InputError(
                f"code {words!r}: {word!r} is no word of bit {place}: {' or '.join(pair)}"
            )
        bits += str(pair.index(word))
    return pack(bits)


# How a form is written, and read back.
WRITTEN: dict[Form, Callable[[bytes], str]] = {
    "digits": unpack,
    "dotted": to_dotted,
    "words": to_words,
}
READ: dict[Form, Callable[[str], bytes]] = {
    "digits": pack,
    "dotted": from_dotted,
    "words": from_words,
}


def pack_rows(bits: NDArray[np.bool_]) -> list[bytes]:
    """Packs (n, width) bits into n byte strings, as `pack` does.

    Raises:
        InputError: the width is no positive multiple of 8.
    """
    _check_width(bits.shape[1], "codes")
    return [row.tobytes() for row in np.packbits(bits, axis=1, bitorder="big")]


def _check_width(width: int, what: str) -> None:
    if width == 0 or width % BITS_PER_NUMBER:
        raise InputError(f"{what}: {width} bits wide, expected a positive multiple of 8")
