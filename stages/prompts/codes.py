"""Binary codes as text: bits, packed bytes and dot-decimal, each turned into the others.

`10101100 00010000 11111110 00000001` is `172.16.254.1` (BinLLM, Equation 4): every 8 bits
one number from 0 to 255, the first bit the most significant, joined by dots.
"""

import re

import numpy as np
from numpy.typing import NDArray

from stages.io.errors import InputError

BITS_PER_NUMBER = 8
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
