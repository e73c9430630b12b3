"""Where all randomness starts: one integer and the names of what it is for, so that neither order nor threads change a draw."""

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for every seed and list of names.

    Args:
        seed: The one integer of a report, not negative.
        *names: What the draws are for: tensor, view, kind of twin. Text of any content; its SHA-256 enters, which is the same on
            every machine, unlike `hash`.

    Raises:
        ValueError: `seed` is negative.
    """
    words = [np.frombuffer(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest(), "<u4") for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *(int(word) for block in words for word in block)]))
