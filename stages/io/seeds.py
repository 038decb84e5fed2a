"""Randomness: every stream is derived from the root seed and a name."""

import zlib

import numpy as np


def derived_seed(seed: int, name: str) -> int:
    """Returns a 32-bit seed for the stream `name` under the root `seed`.

    Distinct names give independent streams, so that one stage's draws never depend on how many
    another stage took.
    """
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


def generator(seed: int, name: str) -> np.random.Generator:
    """Returns NumPy's generator for the stream `name` under the root `seed`."""
    return np.random.default_rng(derived_seed(seed, name))
