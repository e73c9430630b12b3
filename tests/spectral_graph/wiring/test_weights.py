import pickle
from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from layer_cases import filled, formed
from modescope.checkpoints import Checkpoint
from modescope.errors import MatrixError, UsageError
from modescope.spectral_graph.wiring.weights import config, layers, modules, norm
from wiring_cases import bare, folder, live


def single(module, **options):
    ((layer,),) = layers(live(module), **options).values()
    return layer


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 3),
        nn.Conv1d(4, 6, 5),
        nn.Conv2d(4, 6, (2, 3)),
        nn.Conv3d(2, 3, (1, 2, 3)),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.Conv2d(6, 12, 3, groups=6),
        nn.ConvTranspose1d(4, 6, 3),
        nn.ConvTranspose2d(4, 6, (2, 3)),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.ConvTranspose2d(4, 8, 3, groups=4),
    ],
    ids=str,
)
def test_columns_stand_in_the_order_of_input_channel_then_tap(module):
    """A channel that is on alone excites its own columns only: the response to an impulse holds them, tap by tap."""
    layer = single(module)
    inputs = getattr(module, "in_channels", None) or module.in_features
    assert layer.channels == inputs
    assert layer.taps == prod(getattr(module, "kernel_size", ()))
    assert layer.groups == getattr(module, "groups", 1)
    matrix = formed(layer.matrix).reshape(layer.out, layer.channels, layer.taps)
    kernel = getattr(module, "kernel_size", ())
    side = [2 * k - 1 for k in kernel]
    module = module.double()
    for channel in range(inputs):
        impulse = torch.zeros(1, inputs, *side, dtype=torch.float64)
        impulse[(0, channel, *(k - 1 for k in kernel))] = 1.0
        with torch.no_grad():
            response = module(impulse) - module(torch.zeros_like(impulse))
        found = np.sort(response.reshape(layer.out, -1).numpy(), axis=1)
        expected = np.sort(np.pad(matrix[:, channel], ((0, 0), (0, found.shape[1] - layer.taps))), axis=1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("module", [nn.Conv2d(4, 6, 3, groups=2), nn.Linear(5, 3), nn.ConvTranspose2d(4, 8, 3, groups=4)], ids=str)
def test_biases_are_those_of_the_module(module):
    np.testing.assert_array_equal(single(module).bias(), module.bias.detach().numpy().astype(float))


def test_a_layer_without_a_bias_has_none_and_an_embedding_is_a_writer_without_one():
    assert single(nn.Linear(5, 3, bias=False)).bias is None
    layer = single(nn.Embedding(7, 3))
    assert (layer.out, layer.channels, layer.bias) == (3, 7, None)


@pytest.mark.parametrize("view", [None, "heads"])
def test_parts_of_an_attention_carry_their_part_of_the_bias(view):
    module = nn.MultiheadAttention(8, 2)
    with torch.no_grad():
        module.in_proj_bias.copy_(torch.arange(24.0))
    found = layers(live(module), view=view)["in_proj_weight"]
    names = [f"in_proj_weight {part}" for part in ("query", "key", "value")]
    if view == "heads":
        names = [f"{name} head {head}" for name in names for head in range(2)]
    assert [layer.name for layer in found] == names
    np.testing.assert_array_equal(np.concatenate([layer.bias() for layer in found]), np.arange(24.0))


def test_separate_projections_share_one_bias():
    module = nn.MultiheadAttention(8, 2, kdim=4, vdim=6)
    with torch.no_grad():
        module.in_proj_bias.copy_(torch.arange(24.0))
    found = layers(live(module))
    for index, name in enumerate(("q_proj_weight", "k_proj_weight", "v_proj_weight")):
        (layer,) = found[name]
        np.testing.assert_array_equal(layer.bias(), np.arange(8.0) + 8 * index)


def test_each_gate_of_a_recurrent_layer_is_a_layer_with_its_bias():
    module = nn.LSTM(3, 4)
    found = layers(live(module))["weight_hh_l0"]
    assert [layer.name for layer in found] == [f"weight_hh_l0 gate {gate}" for gate in "ifgo"]
    bias = module.bias_hh_l0.detach().numpy().astype(float).reshape(4, 4)
    for layer, expected in zip(found, bias, strict=True):
        np.testing.assert_array_equal(layer.bias(), expected)


def test_a_square_matrix_stored_in_out_keeps_its_bias_in_order(tmp_path):
    shapes = {"h.0.attn.c_proj.weight": (4, 4), "h.0.attn.c_proj.bias": (4,)}
    checkpoint, arrays = folder(tmp_path, {"model_type": "gpt2"}, shapes)
    (layer,) = layers(checkpoint)["h.0.attn.c_proj.weight"]
    np.testing.assert_array_equal(layer.matrix.read(), arrays["h.0.attn.c_proj.weight"].T)
    np.testing.assert_array_equal(layer.bias(), arrays["h.0.attn.c_proj.bias"])


def test_heads_of_a_projection_stored_in_out_carry_their_part_of_the_bias():
    declared = {"module": "Conv1D", "config.num_attention_heads": 2}
    weight, bias = np.arange(16.0).reshape(4, 4), np.arange(4.0)
    tensors = (filled("attention.query.weight", weight, **declared), filled("attention.query.bias", bias, **declared))
    first, second = layers(Checkpoint(None, "mapping", tensors), view="heads")["attention.query.weight"]
    np.testing.assert_array_equal(second.matrix.read(), weight.T[2:])
    np.testing.assert_array_equal(np.concatenate([first.bias(), second.bias()]), bias)


def test_globs_choose_layers_and_other_views_are_refused():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    assert list(layers(live(model), include="1.*")) == ["1.weight"]
    assert list(layers(live(model), exclude="1.*")) == ["0.weight"]
    with pytest.raises(UsageError, match="'heads'"):
        layers(live(model), view="operator")


def test_layers_travel_to_another_process():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 3, groups=2), nn.BatchNorm2d(4))
    checkpoint = live(model)
    for several in layers(checkpoint).values():
        copy = pickle.loads(pickle.dumps(several[0]))
        np.testing.assert_array_equal(formed(copy.matrix), formed(several[0].matrix))
        np.testing.assert_array_equal(copy.bias(), several[0].bias())
    assert pickle.loads(pickle.dumps(norm(checkpoint, "2"))).read().scale.shape == (4,)


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_does_what_torch_does_with_its_statistics(affine):
    module = nn.BatchNorm1d(6, eps=0.3, affine=affine).double().eval()
    with torch.no_grad():
        module.running_mean.copy_(torch.randn(6, generator=torch.Generator().manual_seed(1)))
        module.running_var.copy_(torch.tensor([0.1, 2.0, 0.0, 0.5, 0.29, 0.31]))
        if affine:
            module.weight.copy_(torch.tensor([1.0, -2.0, 0.0, 3.0, 1.0, 1.0]))
            module.bias.copy_(torch.arange(6.0))
    gains = norm(live(nn.Sequential(module)), "0").read()
    x = torch.randn(5, 6, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(x.numpy() * gains.scale + gains.shift, module(x).numpy(), rtol=0, atol=1e-14 * 30)
    assert gains.small == (0, 2, 4)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_running_variance_that_cannot_be_is_named_with_its_channel(bad):
    module = nn.BatchNorm2d(3)
    with torch.no_grad():
        module.running_var[1] = bad
    found = norm(live(nn.Sequential(module)), "0")
    with pytest.raises(MatrixError, match=r"0\.running_var.*channel 1"):
        found.read()


def test_eps_is_torchs_where_none_is_declared():
    arrays = {"bn.running_mean": (2,), "bn.running_var": (2,), "bn.weight": (2,)}
    gains = norm(bare(arrays), "bn").read()
    assert gains.small == (0, 1)
    checkpoint = bare(arrays | {"other": (1,)})
    assert norm(checkpoint, "other") is None
    assert norm(checkpoint, "") is None


@pytest.mark.parametrize(
    ("arrays", "module", "centred"),
    [
        ({"ln_1.weight": (4,), "ln_1.bias": (4,)}, "ln_1", True),
        ({"ln.weight": (4,)}, "ln", False),
        ({"a.LayerNorm.gamma": (4,), "a.LayerNorm.beta": (4,)}, "a.LayerNorm", True),
        ({"1.weight": (4,), "1.bias": (4,)}, "1", True),
        ({"1.weight": (4,)}, "1", None),  # slopes of an activation look the same
        ({"1.weight": (4,), "1.bias": (5,)}, "1", None),
        ({"lin.weight": (4, 4), "lin.bias": (4,)}, "lin", None),
    ],
)
def test_a_norm_without_statistics_is_known_by_its_name_or_its_shift(arrays, module, centred):
    found = norm(bare(arrays), module)
    assert (None if found is None else found.centred) is centred


def test_a_declared_class_outranks_the_name_and_the_caller_outranks_both():
    model = nn.ModuleDict({"norm_a": nn.PReLU(4), "b": nn.LayerNorm(4, bias=False), "c": nn.RMSNorm(4), "d": nn.GroupNorm(2, 4)})
    checkpoint = live(model)
    assert norm(checkpoint, "norm_a") is None
    assert norm(checkpoint, "b").centred
    assert not norm(checkpoint, "c").centred
    assert not norm(checkpoint, "d").centred
    assert norm(checkpoint, "c", centred=True).centred


def test_a_configuration_tells_layer_norms_without_shift_from_rms_norms(tmp_path):
    shapes = {"norm.weight": (4,)}
    checkpoint, _ = folder(tmp_path, {"model_type": "x", "layer_norm_eps": 1e-5}, shapes)
    assert norm(checkpoint, "norm").centred
    assert config(checkpoint, "model_type") == "x"
    assert config(checkpoint, "nothing") == ""
    checkpoint, _ = folder(tmp_path, {"model_type": "x", "rms_norm_eps": 1e-5}, shapes)
    assert not norm(checkpoint, "norm").centred
    checkpoint, _ = folder(tmp_path, {"model_type": "t5", "layer_norm_epsilon": 1e-5}, shapes)
    assert not norm(checkpoint, "norm").centred


def test_modules_are_named_once_in_the_order_of_the_checkpoint():
    assert list(modules(live(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))) == ["0", "1"]
