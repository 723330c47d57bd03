"""Derives independent random streams from (seed, labels) without any global state."""

from hashlib import blake2b

import numpy as np


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed that is a pure function of ``keys`` (the same on every machine and in every process)."""
    text = "\x1f".join(
        f"{type(key).__name__[0]}{key}".replace("\x1e", "\x1e0").replace("\x1f", "\x1e1") for key in keys
    )
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def stream(*keys: int | str) -> np.random.Generator:
    """An independent generator for ``keys``, e.g. ``stream(seed, "questions", step)``."""
    return np.random.Generator(np.random.PCG64(derive_seed(*keys)))
