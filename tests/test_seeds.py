import subprocess
import sys

import numpy as np
import pytest

from modescope.seeds import generator


def test_the_same_seed_and_names_give_the_same_numbers_in_another_process():
    code = "from modescope.seeds import generator; print(generator(3, 'a.weight', 'dense').integers(2**60))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(other) == generator(3, "a.weight", "dense").integers(2**60)


def test_every_part_of_the_name_and_the_seed_matter():
    names = [(0, "a", "b"), (1, "a", "b"), (0, "b", "a"), (0, "ab", ""), (0, "a"), (0,), (0, "a", "b", ""), (0, "ä\udc80", "\0")]
    draws = [generator(seed, *words).integers(2**60) for seed, *words in names]
    assert len(set(draws)) == len(names)


def test_the_global_generator_is_not_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generator(0, "a").standard_normal(10)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="negative"):
        generator(-1)
