"""Every measure: any shape and rank gives a frozen result of documented, finite numbers, or says why not."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields

import ml_dtypes
import numpy as np
import pytest

from matrices_cases import as_matrix, planted
from modescope.matrix import Array, Blocks, Convolution, Product
from modescope.measures import measures, options
from modescope.quantity import quantities
from modescope.spectrum import decompose

RNG = np.random.default_rng(0)
CASES: dict[str, tuple[object, tuple[int, int]]] = {
    "tall": (RNG.standard_normal((120, 40)), (120, 40)),
    "wide": (RNG.standard_normal((40, 120)).astype(np.float32), (40, 120)),
    "square": (RNG.standard_normal((60, 60)).astype(np.float16), (60, 60)),
    "bfloat16": (RNG.standard_normal((64, 80)).astype(ml_dtypes.bfloat16), (64, 80)),
    "one by one": (np.ones((1, 1)), (1, 1)),
    "one by zero": (np.zeros((1, 1)), (1, 1)),
    "one row": (RNG.standard_normal((1, 50)), (1, 50)),
    "one column": (RNG.standard_normal((50, 1)), (50, 1)),
    "rank zero": (np.zeros((40, 30)), (40, 30)),
    "rank one": (np.outer(np.arange(1.0, 41), np.ones(30)), (40, 30)),
    "all equal": (np.full((40, 40), 0.1, np.float32), (40, 40)),
    "repeated values": (np.eye(50), (50, 50)),
    "low rank": (planted(np.linspace(2, 1, 12), (60, 50)), (60, 50)),
    "dead rows": (np.concatenate([RNG.standard_normal((60, 50)), np.zeros((30, 50))]), (90, 50)),
    "huge": (RNG.standard_normal((50, 40)) * 1e150, (50, 40)),
    "tiny": (RNG.standard_normal((50, 40)) * 1e-150, (50, 40)),
    "product": (Product(RNG.standard_normal((80, 8)), RNG.standard_normal((8, 60)), 2.0), (80, 60)),
    "zero product": (Product(np.zeros((80, 8)), RNG.standard_normal((8, 60))), (80, 60)),
    "blocks": (Blocks(RNG.standard_normal((40, 1, 9))), (40, 360)),
    "operator": (Convolution(RNG.standard_normal((8, 4, 3, 3)), (8, 8), (1, 1), (1, 1)), (512, 256)),
}
HEAVY = {"tail": {"bootstrap": 5, "goodness": 5, "alternatives": True, "farms": 1}, "null": {"twins": 2}}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", measures())
def test_every_measure_survives_every_matrix(name: str, case: str) -> None:
    operand, shape = CASES[case]
    spectrum = decompose(as_matrix(operand, shape=shape))
    measure = measures()[name]
    chosen = {key: value for key, value in HEAVY.get(name, {}).items() if key in options(measure)}
    for extra in ({}, chosen):
        result = measure.analyze(spectrum, **extra)
        assert type(result) is measure.Result
        assert isinstance(result.status, str)
        assert result.status
        json.dumps(asdict(result), allow_nan=not any(_infinite(value) for value in asdict(result).values()))
        assert not any(isinstance(value, float) and math.isnan(value) for value in asdict(result).values())


@pytest.mark.parametrize("name", measures())
def test_a_spectrum_of_the_top_modes_only_is_no_fault(name: str) -> None:
    spectrum = decompose(as_matrix(RNG.standard_normal((90, 80))), k=3)
    assert measures()[name].analyze(spectrum).status


@pytest.mark.parametrize("name", measures())
def test_results_are_frozen_and_every_number_is_documented(name: str) -> None:
    cls = measures()[name].Result
    with pytest.raises(FrozenInstanceError):
        cls(status="x").status = "y"
    documented = quantities(cls)
    texts = {"status", "fit", "calibration"}
    assert {item.name for item in fields(cls)} - set(documented) <= texts
    for quantity in documented.values():
        assert all(asdict(quantity).values())


@pytest.mark.parametrize("name", measures())
def test_a_result_made_from_its_status_alone_has_no_number(name: str) -> None:
    result = measures()[name].Result(status="reason")
    assert all(getattr(result, key) is None for key in quantities(type(result)))


@pytest.mark.parametrize("c", [2.0**-20, 2.0**20])
@pytest.mark.parametrize("name", measures())
def test_dimensionless_numbers_do_not_change_with_the_scale(name: str, c: float) -> None:
    a = np.random.default_rng(3).standard_normal((100, 70))
    one, scaled = (measures()[name].analyze(decompose(as_matrix(x))) for x in (a, a * c))
    for key, quantity in quantities(type(one)).items():
        before, after = getattr(one, key), getattr(scaled, key)
        power = {"1": 0, "count": 0, "probability": 0, "W": 1, "W^2": 2}.get(quantity.unit)
        if before is None or power is None:
            assert (before is None) == (after is None)
            continue
        np.testing.assert_allclose(_array(after), _array(before) * c**power, rtol=1e-10, err_msg=f"{name}.{key}")


def _array(value: object) -> Array:
    return np.asarray(value, dtype=np.float64)


def _infinite(value: object) -> bool:
    return isinstance(value, float) and math.isinf(value)
