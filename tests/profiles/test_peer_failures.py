"""What a published library for profiles gets wrong, each as a case that this one gets right, from images to profiles."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.profiles.aggregates import AGGREGATES
from modescope.profiles.algebra import ClassProfiles, Profile, ProfilesByClass, per_image
from modescope.profiles.images import images
from modescope.profiles.passing import bases, passes, signals
from modescope.profiles.selection import contributing
from modescope.profiles.survey import survey
from profiles_architectures import NETWORKS, RGB, made, plain


def opened(model, x, labels=None, *, batch=4, layers=None):
    data = images(x, labels, batch=batch)
    found = survey(model, data.first(), layers=layers)
    return model, data, found, bases(model, found)


def profiles(model, x, labels=None, *, share=0.1, compat="", aggregate="mean", batch=4) -> ProfilesByClass:
    """From images to profiles, in one pass."""
    args = opened(model, x, labels, batch=batch)
    running = ClassProfiles(args[1].labels, classes=args[1].classes)
    for passed in passes(*args, aggregate_by=aggregate):
        running.add(passed, {name: contributing(a, share=share, compat=compat) for name, a in passed.signals.items()})
    return running.value()


def by_the_peers_formula(model, layers, x, share):
    """Its per-image profile, on a network without activations in place: evaluate, hook, subtract the bias, project, sort, cut."""
    outputs, found = {}, []
    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(lambda _m, _a, y, n=name: outputs.update({n: y.clone()})) for name in layers]
    model.eval()
    with torch.no_grad():
        for i in range(len(x)):
            model(x[i : i + 1])
            one = {}
            for name, y in outputs.items():
                u = torch.linalg.svd(modules[name].weight.flatten(1), full_matrices=False)[0]
                signal = u.T @ (y[0].reshape(y.shape[1], -1) - modules[name].bias[:, None])
                values, order = signal.mean(1).abs().sort(descending=True)
                sums = values.cumsum(0)
                n = int((sums / sums[-1] <= share).sum())
                kept = n if n == len(values) else n + 1
                weights = values[:kept] / (sums[n - 1] if n else sums[-1])
                one[name] = dict(zip(order[:kept].tolist(), weights.tolist(), strict=True))
            found.append(one)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_weights_are_those_of_the_peer_where_its_code_is_right(share):
    torch.manual_seed(0)
    model, apart = plain(inplace=True).double(), plain(inplace=False).double()
    apart.load_state_dict(model.state_dict())
    layers, x = ("0", "2", "8", "10"), torch.randn(6, *RGB, dtype=torch.float64)
    theirs = by_the_peers_formula(apart, layers, x, share)
    chosen = {name: contributing(a, share=share, compat="ddp") for name, a in signals(*opened(model, x, layers=layers)).items()}
    for one, expected in zip(per_image(chosen), theirs, strict=True):
        for name, weights in expected.items():
            modes = one[name].modes
            assert dict(zip(modes.tolist(), one[name].weight[modes].tolist(), strict=True)) == pytest.approx(weights, abs=1e-9)


def test_an_activation_in_place_does_not_reach_the_signals():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3)
    x = torch.randn(4, *RGB)
    ours = signals(*opened(nn.Sequential(conv, nn.ReLU(inplace=True)), x))["0"]
    alone = opened(conv, x)
    np.testing.assert_array_equal(ours, signals(*alone)[""])
    with torch.no_grad():
        after = conv(x).relu().mean((2, 3)).numpy()
    wrong = (after - alone[3][""].bias) @ alone[3][""].directions()  # what a hook gets that keeps a reference
    assert np.abs(wrong - ours).max() > 0.1 * np.abs(ours).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_has_profiles_of_all_its_layers_that_do_not_depend_on_batches(name):
    model, x = made(name)
    model, x, labels = model.double(), x.double(), [0, 1, 0, 2, 1, 0]
    ours, single = profiles(model, x, labels), profiles(model, x, labels, batch=1)
    assert len(ours.whole.layers) == NETWORKS[name][2]
    assert [one.inputs for one in ours.classes.values()] == [3, 2, 1]
    for layer, one in ours.whole.layers.items():
        assert one.count.sum() >= 6
        np.testing.assert_array_equal(one.count, single.whole[layer].count)
        np.testing.assert_allclose(one.weight, single.whole[layer].weight, atol=1e-9)


@pytest.mark.parametrize("name", AGGREGATES)
def test_every_aggregate_makes_profiles(name):
    assert len(profiles(*made("Sequential"), aggregate=name).whole) > 0


def test_an_unknown_aggregate_is_refused_with_the_names_that_there_are():
    with pytest.raises(UsageError, match="expected one of mean, meanabs, rms, max, min, centre, got 'sum'"):
        profiles(*made("Sequential"), aggregate="sum")


def test_the_mean_does_not_grow_with_the_image():
    conv = nn.Conv2d(3, 6, 1)
    x = torch.randn(2, *RGB)
    small, large = signals(*opened(conv, x))[""], signals(*opened(conv, x.repeat(1, 1, 3, 3)))[""]
    np.testing.assert_allclose(small, large, rtol=1e-5)


def test_hooks_are_gone_after_a_pass_after_an_exception_and_with_two_profilers():
    model, x = made("ResNet-18")

    def hooks():
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())

    kept = model.conv1.register_forward_hook(lambda *_: None)
    args = opened(model, x)
    one, other = passes(*args), passes(*args)
    next(one), next(other)
    assert hooks() == 1
    one.close()
    list(other)
    assert hooks() == 1
    with pytest.raises(UsageError):
        profiles(model, x * float("nan"))
    assert hooks() == 1
    kept.remove()


def test_linear_layers_are_profiled_as_they_are():
    model, x = made("MLP")
    model, x = model.double(), x.double()
    with torch.no_grad():
        y = x.flatten(1) @ model[1].weight.T
    _, data, found, known = opened(model, x)
    np.testing.assert_allclose(signals(model, data, found, known)["1"], y.numpy() @ known["1"].directions(), atol=1e-13)


def test_groups_are_decomposed_one_by_one():
    _, _, _, known = opened(*made("MobileNetV2"))
    depthwise = known["1.body.3"]
    weight = dict(made("MobileNetV2")[0].named_modules())["1.body.3"].weight.detach().double()
    assert depthwise.s.size == depthwise.groups == 12
    np.testing.assert_allclose(depthwise.s, np.sort(weight.flatten(1).norm(dim=1))[::-1], rtol=1e-6)


def test_layers_are_in_the_order_in_which_they_run_and_every_call_has_its_own_entry():
    assert list(profiles(*made("shared layers")).whole.layers) == ["stem", "shared@0", "shared@1", "head"]


def test_the_bias_is_no_part_of_a_profile():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3).double()
    x = torch.randn(5, *RGB, dtype=torch.float64)
    before = profiles(conv, x).whole
    with torch.no_grad():
        conv.bias += 100
    after = profiles(conv, x).whole
    np.testing.assert_array_equal(before[""].count, after[""].count)
    np.testing.assert_allclose(before[""].weight, after[""].weight, rtol=1e-9)


def test_the_sign_of_a_signal_is_kept():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 3)
    x = torch.randn(5, *RGB)
    plus, minus = profiles(conv, x).whole[""], profiles(conv, -x).whole[""]
    assert np.abs(plus.balance).any()
    np.testing.assert_array_equal(plus.balance, -minus.balance)
    np.testing.assert_array_equal(plus.count, minus.count)


def test_an_image_without_signal_chooses_nothing_and_divides_nothing_by_zero():
    conv = nn.Conv2d(3, 6, 3)
    found = profiles(conv, torch.zeros(2, *RGB)).whole
    assert found.inputs == 2
    assert list(found) == []
    assert found != Profile()


def test_weights_of_an_image_sum_to_one_in_every_layer_and_those_of_the_peer_do_not():
    args = opened(*made("ResNet-18"))
    for a in signals(*args).values():
        np.testing.assert_allclose(contributing(a, share=0.5).weights.sum(axis=1), 1)
        assert (np.abs(contributing(a, share=0.5, compat="ddp").weights.sum(axis=1) - 1) > 1e-9).all()


def test_importing_loads_no_framework_and_leaves_seeds_and_warnings_alone():
    code = (
        "import random, sys, warnings, numpy as np; random.seed(1); np.random.seed(1); filters = list(warnings.filters);"
        "state = random.getstate(), np.random.get_state()[1].tolist();"
        "import modescope.profiles;"
        "assert (random.getstate(), np.random.get_state()[1].tolist()) == state;"
        "assert not set(filters) - set(warnings.filters);"
        "assert not {'torch', 'torchvision', 'matplotlib', 'plotly', 'ripser', 'powerlaw'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_a_pass_leaves_global_seeds_alone():
    model, x = made("AlexNet")
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    state, other = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    profiles(model, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == other  # noqa: NPY002


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_the_device_of_the_network_is_that_of_every_tensor():
    model, x = made("ResNet-18")
    expected = profiles(model, x).whole
    assert len(profiles(model.to("cuda"), x).whole.layers) == len(expected.layers)
