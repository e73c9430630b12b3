"""Digits networks in modes, briefly trained once for all tests of the examples that use them, and runs that were made up."""

from functools import cache

from example_cases import example

digits = example("digits_in_modes")

BRIEF = 12  # epochs of a second or less; the whole trainings are 60


@cache
def brief(counts, split, init="spectral"):
    """A trained network and how it went; it is shared and must be left as it is."""
    return digits.trained(counts, split, epochs=BRIEF, init=init)
