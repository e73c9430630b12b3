import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modescope.laws.marchenko_pastur import quantile
from modescope.laws.volume_tail import volume_tail


def noise(n, q):
    return quantile((np.arange(n) + 0.5) / n, q)


@pytest.mark.parametrize("n", [1024, 4096, 16384])
@pytest.mark.parametrize(("q", "share"), [(1.0, 0.7311), (0.5, 0.8145), (0.25, 0.8699), (0.1, 0.9180)])
def test_share_of_noise_in_the_tail_does_not_depend_on_the_number_of_values(n, q, share):
    assert volume_tail(noise(n, q)) / n == pytest.approx(share, abs=0.002)


def test_plain_product_would_overflow_where_the_logarithms_do_not():
    z = noise(4096, 1.0)[::-1]
    with np.errstate(over="ignore"):
        assert np.isinf(np.cumprod(z)).any()


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=60))
def test_count_is_the_first_at_which_the_product_falls_below_one(values):
    z = np.sort(np.array(values) / np.mean(values))[::-1]
    count = volume_tail(values)
    logs = np.cumsum(np.log(z))
    assert (logs[: count - 1] >= -1e-9).all()
    assert logs[count - 1] < 1e-9 or count == z.size


def test_scale_and_order_do_not_matter():
    values = np.random.default_rng(0).exponential(size=300)
    assert volume_tail(values) == volume_tail(1e-8 * values[::-1])
