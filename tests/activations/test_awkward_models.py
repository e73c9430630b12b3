"""What networks in the wild are like: compiled, scripted, lazy, hooked by others, writing into their inputs, failing half-way."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 the name torch gives it

from activation_cases import Functional, Residual, image, rows, same, state
from modescope import activations
from modescope.activations import capture, collect
from modescope.errors import UsageError

X = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))


class Named(nn.Module):
    """Calls its activation by keyword."""

    def __init__(self, act):
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.act = nn.Linear(5, 4), act

    def forward(self, x):
        return self.act(input=self.fc(x))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU(inplace=True), nn.Tanh()])
def test_an_activation_called_by_keyword_is_followed(act):
    model = Named(act)
    assert np.array_equal(collect(model, "fc", X)["fc", "postactivation"], rows(model(X)))


@pytest.mark.parametrize("form", [torch.Tensor.clone, lambda x: x.clone().numpy()])
@pytest.mark.parametrize("batch", [None, 4])
def test_a_model_that_writes_into_its_input_leaves_the_data_alone(form, batch):
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 4))
    for given in (form(X), {"input": form(X)}):
        taken = collect(model, "1", given, what="input", batch=batch)
        assert np.array_equal(taken["1", "input"], rows(X.relu()))
        assert np.array_equal(np.asarray(given["input"] if isinstance(given, dict) else given), X.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [torch.compile, lambda model, **how: (model.compile(**how), model)[1]])
@pytest.mark.parametrize("called", [False, True])
def test_compiled_code_is_run_by_torch_itself_meanwhile(compiled, called):
    torch._dynamo.reset()
    plain = nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)).eval()
    model = compiled(copy.deepcopy(plain), backend="eager")
    name = "_orig_mod.0" if hasattr(model, "_orig_mod") else "0"
    with torch.no_grad():
        if called:
            model(X)
        taken = collect(model, name, X, what="preactivation")
        assert np.array_equal(taken[name, "preactivation"], rows(plain[0](X)))
        assert torch.equal(model(X), plain(X))
    assert collect(model, name, X, what="input")[name, "input"].shape == (11, 5)


@pytest.mark.parametrize("layer", ["0", ""])
def test_scripted_modules_are_refused_by_name_and_run_inside_others(layer):
    torch.manual_seed(0)
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(nn.Sequential(nn.Linear(5, 5), nn.ReLU()))
    with pytest.raises(UsageError, match=rf"layer '{layer}': .*got RecursiveScriptModule.*before torch\.jit"):
        collect(scripted, layer, X)
    model = nn.Sequential(scripted, nn.Linear(5, 4), nn.ReLU())
    taken = collect(model, "1", X)
    assert np.array_equal(taken["1", "input"], rows(scripted(X)))


def test_weights_without_a_shape_are_refused():
    with pytest.raises(UsageError, match=r"Sequential: .*'0\.weight' has none yet; call the model once"):
        collect(nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d()), "0", X)


def test_a_model_spread_over_threads_is_refused_and_its_wrapper_alone_is_not():
    model = nn.DataParallel(Functional(torch.relu))
    assert np.array_equal(collect(model, "module.fc1", X, what="input")["module.fc1", "input"], rows(X))
    model.device_ids = [0, 1]
    with pytest.raises(UsageError, match=r"DataParallel over 2 devices; pass its \.module"):
        collect(model, "module.fc1", X)


def test_reparametrised_and_tied_weights_are_those_that_the_layer_uses():
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5))
    model[2].weight = model[0].weight
    nn.utils.parametrizations.weight_norm(model[0])
    before = state(model)
    taken = collect(model, ("0", "2"), X, what=("input", "preactivation"))
    assert np.array_equal(taken["0", "preactivation"], rows(model[0](X)))
    assert np.array_equal(taken["2", "input"], rows(model[0](X).tanh()))
    assert same(before, state(model))


def test_a_layer_in_branches_gives_what_the_layer_gave_and_not_what_became_of_it():
    class Branches(Residual):
        def forward(self, x):
            y = self.fc1(x)
            return F.relu(y, inplace=True).add_(self.fc2(y)).mul_(0)

    model = Branches()
    x = torch.randn(7, 4)
    taken = collect(model, ("fc1", "fc2"), x, what=("input", "preactivation"))
    first = model.fc1(x)
    assert np.array_equal(taken["fc1", "preactivation"], rows(first))
    assert np.array_equal(taken["fc2", "input"], rows(first.relu()))
    assert np.array_equal(taken["fc2", "preactivation"], rows(model.fc2(first.relu())))


def test_the_layout_in_memory_does_not_matter():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    x = image(model[0])
    plain = collect(model, "0", x, patches=True)
    model = model.to(memory_format=torch.channels_last)
    found = collect(model, "0", x.to(memory_format=torch.channels_last), patches=True)
    for key in plain:
        np.testing.assert_allclose(found[key], plain[key], rtol=0, atol=1e-5)


def test_narrow_types_are_summed_in_float64():
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True)).to(torch.bfloat16)
    x = (100 + X).to(torch.bfloat16).repeat(200, 1)
    found = activations.moments(model, "0", list(x.split(50)))
    samples = x.double().numpy()
    np.testing.assert_allclose(found.second, samples.T @ samples / len(samples), rtol=1e-13)


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d])
def test_an_empty_batch_adds_nothing(kind, patches):
    layer = kind(2, 3, 2, padding=1)
    x = image(layer)
    with capture(layer, "", patches=patches, what=("input", "preactivation")) as taken:
        layer(x[:0])
        layer(x)
    expected = collect(layer, "", x, patches=patches, what=("input", "preactivation"))
    assert all(np.array_equal(taken[key], expected[key]) for key in expected)


def test_a_mapping_without_rows_is_passed_over():
    class Peak(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 4)

        def forward(self, x, scale=1.0):
            return self.fc(scale * x).amax(0)

    taken = collect(Peak(), "fc", [{"scale": 2.0, "x": X[:0]}, {"scale": 2.0, "x": X}], what="input")
    assert np.array_equal(taken["fc", "input"], rows(2 * X))


def test_patches_follow_the_output_size_that_a_transposed_convolution_is_told():
    class Told(nn.Module):
        def __init__(self, told):
            super().__init__()
            self.conv, self.told = nn.ConvTranspose2d(2, 3, 3, stride=2, bias=False), told

        def forward(self, x):
            return self.told(self.conv, x)

    x = torch.randn(2, 2, 5, 4)
    for told in (lambda conv, x: conv(x, output_size=[12, 9]), lambda conv, x: conv(x, (2, 3, 12, 9))):
        model = Told(told)
        taken = collect(model, "conv", x, patches=True, what=("input", "preactivation"))
        w = model.conv.weight.detach().transpose(0, 1).reshape(3, -1).double().numpy()
        np.testing.assert_allclose(taken["conv", "input"] @ w.T, taken["conv", "preactivation"], rtol=0, atol=1e-6)
        assert len(taken["conv", "input"]) == 2 * 12 * 9


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("form", [torch.Tensor.to_sparse, lambda x: torch.nested.as_nested_tensor([x, x[:3]])])
def test_what_is_not_dense_is_named_where_it_is_asked_for(form):
    given = form(X)
    layer = nn.Linear(5, 3)
    with capture(layer, "", what="input") as taken:
        layer(given)
    with pytest.raises(UsageError, match="layer '', input: expected a dense tensor"):
        _ = taken["", "input"]


def test_hooks_of_others_are_kept_in_their_order_and_what_they_change_is_what_is_taken():
    model, order = Functional(torch.relu_), []
    model.fc1.register_forward_pre_hook(lambda _m, args: (2 * args[0],))
    model.fc1.register_forward_hook(lambda _m, _a, output: order.append("first") or output + 1)
    model.fc1.register_forward_hook(lambda _m, _a, output: order.append("second") or output * 3)
    before = list(model.fc1._forward_hooks.items())
    taken = collect(model, "fc1", X)
    assert order == ["first", "second"]
    assert list(model.fc1._forward_hooks.items()) == before
    assert np.array_equal(taken["fc1", "input"], rows(2 * X))
    assert np.array_equal(taken["fc1", "preactivation"], rows(model.fc1(X)))
    assert np.array_equal(taken["fc1", "postactivation"], rows(model.fc1(X).relu()))


def test_a_failure_in_the_hook_of_another_before_an_activation_leaves_the_next_call_whole():
    model = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), Functional(torch.tanh))
    fails = [True]

    def hook(*_):
        if fails:
            raise ZeroDivisionError

    model[1].register_forward_pre_hook(hook)
    with capture(model, ("0", "2.fc1"), what="postactivation") as taken:
        with pytest.raises(ZeroDivisionError):
            model(X)
        fails.clear()
        model(X)
    assert len(taken["0", "postactivation"]) == len(taken["2.fc1", "postactivation"]) == 11


def test_an_interrupt_inside_an_activation_leaves_the_next_call_whole():
    class Interrupted(nn.Module):
        def forward(self, x):
            if fails.pop():
                raise KeyboardInterrupt
            return torch.relu(x)

    fails, model = [False, True], nn.Sequential(Functional(torch.tanh), nn.Linear(3, 5), Interrupted())
    model[2].__class__.__name__ = "InterruptedActivation"
    with capture(model, ("0.fc1", "1"), what="postactivation") as taken:
        with pytest.raises(KeyboardInterrupt):
            model(X)
        model(X)
    assert len(taken["0.fc1", "postactivation"]) == 22
    assert len(taken["1", "postactivation"]) == 11


def test_an_activation_that_gives_several_tensors_is_none():
    class PairActivation(nn.Module):
        def forward(self, x):
            return torch.relu(x), x

    model = nn.Sequential(nn.Linear(5, 5), PairActivation())
    with capture(model, "0") as taken:
        model(X)
    assert np.array_equal(taken["0", "postactivation"], rows(model[0](X).relu()))


def test_gradients_of_the_data_and_of_the_weights_are_as_before():
    model, x = Functional(torch.relu), X.clone().requires_grad_()
    model(x).sum().backward()
    before, held = x.grad.clone(), [p.grad.clone() for p in model.parameters()]
    with capture(model, "fc1", what="input") as taken:
        out = model(x)
    assert not out.requires_grad
    assert np.array_equal(taken["fc1", "input"], rows(X))
    assert torch.equal(x.grad, before)
    assert all(torch.equal(p.grad, old) for p, old in zip(model.parameters(), held, strict=True))


def test_inputs_made_in_inference_mode_are_taken():
    with torch.inference_mode():
        x = X + 0
    model = nn.Sequential(nn.Identity(), nn.Linear(5, 4), nn.ReLU(inplace=True))
    assert np.array_equal(collect(model, "1", x)["1", "postactivation"], rows(model[1](X).relu()))
    with capture(model, ("0", "1")) as taken:
        model(x)
    assert np.array_equal(taken["1", "postactivation"], rows(model[1](X).relu()))


def test_outputs_of_the_model_come_batch_by_batch_beside_their_labels():
    model, labels = Functional(torch.relu), torch.arange(11)
    data = list(zip(X.split(4), labels.split(4), strict=True))
    with capture(model, "fc1", what="input") as taken:
        found = list(zip(activations.outputs(model, data), data, strict=True))
    for output, (x, _) in found:
        assert torch.equal(output, model(x))
    assert len(taken["fc1", "input"]) == 11
