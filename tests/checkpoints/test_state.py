"""What of a training state is the model: the rules all formats share."""

from typing import Any

import numpy as np
import pytest

from checkpoint_cases import counting, read_all, reasons, write_safetensors

W = {"fc.weight": counting(3, 4), "fc.bias": counting(3)}
OTHER = {"conv.weight": counting(2, 5)}


PATHS = "state_dict model model_state model_state_dict net module params generator my_own_key model.state_dict checkpoint.model"
COPIES = "ema model_ema state_dict_ema emaModel averaged_model swa_state shadow_params EMA"


@pytest.mark.parametrize("path", PATHS.split())
def test_the_container_of_a_single_model_is_no_part_of_its_names(path):
    source: dict[str, Any] = W
    for key in reversed(path.split(".")):
        source = {key: source, "epoch": 3}
    assert list(read_all(source)) == list(W)


def test_several_models_keep_the_key_that_tells_them_apart():
    found = read_all({"generator": W, "discriminator": OTHER, "epoch": 3})
    assert list(found) == ["generator.fc.weight", "generator.fc.bias", "discriminator.conv.weight"]


@pytest.mark.parametrize("key", ["fc", "encoder", "ema_block"])
def test_the_name_of_a_layer_is_not_taken_for_a_container(key):
    assert list(read_all({key: {"weight": counting(2, 2), "bias": counting(2)}})) == [f"{key}.weight", f"{key}.bias"]


@pytest.mark.parametrize("key", COPIES.split())
def test_an_averaged_copy_is_one_skip_and_no_weights(key):
    source = {"model": W, key: {name: array + 1 for name, array in W.items()}}
    found = read_all(source)
    assert list(found) == list(W)
    np.testing.assert_array_equal(found["fc.weight"], W["fc.weight"])
    assert "averaged" in reasons(source)[key]
    assert "2 tensors" in reasons(source)[key]


@pytest.mark.parametrize("key", ["ema", "params_ema"])
def test_an_averaged_copy_alone_is_the_model(key):
    assert list(read_all({key: W, "epoch": 3})) == list(W)


def test_a_layer_called_like_an_average_but_of_its_own_shape_is_a_layer():
    found = read_all({"backbone": {"weight": counting(3, 4)}, "ema": {"weight": counting(7, 2)}})
    assert list(found) == ["backbone.weight", "ema.weight"]
    assert list(read_all({"backbone.weight": counting(3, 4), "ema.weight": counting(7, 2)})) == ["backbone.weight", "ema.weight"]


@pytest.mark.parametrize("key", ["optimizer", "optimizer_state_dict", "optimizerG", "optim", "opt_state", "g_optimizer"])
def test_whatever_lies_under_an_optimizers_name_is_one_skip(key):
    source = {"model": W, key: {"anything": {"a": counting(3, 4)}, "b": [counting(3, 4)]}}
    assert list(read_all(source)) == list(W)
    assert reasons(source) == {key: "optimizer state: not a weight (2 tensors)"}


def test_an_optimizer_is_known_by_its_structure_under_any_name():
    adam = {"state": {0: {"exp_avg": counting(3, 4), "exp_avg_sq": counting(3, 4)}}, "param_groups": [{"lr": 0.1}]}
    source = {"model": W, "o": adam}
    assert list(read_all(source)) == list(W)
    assert "optimizer" in reasons(source)["o"]


def test_flat_names_of_moments_copies_and_optimizers_are_no_weights_in_any_format(tmp_path):
    arrays = {f"net.{name}": array for name, array in W.items()}
    arrays |= {f"model_ema.{name}": array + 1 for name, array in W.items()}
    arrays |= {"net.fc.weight.exp_avg": counting(3, 4), "optimizer.0.whatever": counting(3, 4)}
    for source in (write_safetensors(tmp_path / "m.safetensors", arrays), arrays):
        assert list(read_all(source)) == ["net.fc.weight", "net.fc.bias"]
        told = reasons(source)
        assert told.keys() == {"model_ema", "net.fc.weight.exp_avg", "optimizer"}
        assert "averaged" in told["model_ema"]


def test_every_other_value_is_one_skip_with_a_reason():
    other = {"epoch": 3, "name": "x", "flag": True, "best": None, "args": {"a": {"b": [1, 2]}}, "object": object()}
    assert reasons({"model": W, **other}) == {
        "epoch": "a number, not a tensor",
        "name": "a text, not a tensor",
        "flag": "a truth value, not a tensor",
        "best": "nothing, not a tensor",
        "args": "no tensors in it",
        "object": "an object of type object, not a tensor",
    }


def test_a_cycle_ends_and_a_shared_part_is_read_once():
    source: dict[str, Any] = {"model": dict(W)}
    source["model"]["self"] = source
    source["again"] = source["model"]
    assert list(read_all(source)) == list(W)
    assert "same object" in reasons(source)["again"]


def test_a_state_nested_a_thousand_deep_ends_without_an_exception():
    source: dict[str, Any] = {"w": counting(2, 2)}
    for _ in range(1000):
        source = {"x": source}
    assert read_all({"model": W, "deep": source}).keys() == W.keys()


def test_sharing_that_grows_exponentially_is_walked_once():
    lists: Any = [1]
    for _ in range(60):
        lists = [lists, lists]
    assert read_all({"model": W, "bomb": lists}).keys() == W.keys()


def test_thousands_of_layers_called_like_averages_are_judged_in_a_moment():
    arrays = {f"ema{i}.weight": np.ones((2, i % 7 + 1), np.float32) for i in range(5_000)}
    assert read_all(arrays).keys() == arrays.keys()  # copies of nothing
