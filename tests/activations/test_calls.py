"""Raw outputs handed to functions, call by call."""

import numpy as np
import pytest
import torch
from torch import nn

from activation_cases import CONVOLUTIONS, Functional, Residual, image, same, state
from modescope.activations import Call, outputs, tapped
from modescope.errors import UsageError

X = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))


class Kept:
    """A sink that keeps copies."""

    def __init__(self):
        self.calls = []

    def __call__(self, call):
        self.calls.append(Call(call.layer, call.module, call.nth, call.output.clone()))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_is_handed_on_is_the_output_before_work_in_place(name):
    convolution, kept = CONVOLUTIONS[name](), Kept()
    model, x = nn.Sequential(convolution, nn.ReLU(inplace=True)), image(convolution)
    with tapped(model, {"0": kept}):
        model(x)
    (call,) = kept.calls
    assert torch.equal(call.output, convolution(x))
    assert (call.layer, call.module, call.nth) == ("0", convolution, 0)


def test_nothing_is_copied_or_held():
    class Differentiated(Functional):
        def forward(self, x):
            with torch.enable_grad():  # as networks do that give forces
                return super().forward(x)

    model, seen, given = Differentiated(torch.relu), [], []
    model.fc1.register_forward_hook(lambda _m, _a, output: given.append(output.data_ptr()))
    with tapped(model, {"fc1": lambda call: seen.append((call.output.data_ptr(), call.output.requires_grad))}):
        model(X)
    assert seen == [(given[0], False)]


def test_calls_of_a_module_used_again_are_numbered_anew_whenever_the_model_is_called():
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.spare = nn.Linear(5, 5), nn.Linear(5, 5)

        def forward(self, x):
            if x.shape[0] == 3:
                raise ZeroDivisionError(self.fc(x))
            return self.fc(self.fc(x).relu_())

    model, kept = Again(), Kept()
    with tapped(model, {"fc": kept, "spare": kept}) as calls:
        assert dict(calls) == {"fc": 0, "spare": 0}
        with pytest.raises(ZeroDivisionError):
            model(X[:3])
        for _ in outputs(model, X, batch=6):
            pass
    assert [call.nth for call in kept.calls] == [0, 0, 1, 0, 1]
    assert dict(calls) == {"fc": 5, "spare": 0}
    first = torch.cat([call.output for call in kept.calls[1:] if call.nth == 0])
    np.testing.assert_allclose(first, model.fc(X).detach(), rtol=0, atol=1e-6)


def test_a_shared_module_is_handed_on_under_every_name():
    shared, kept = nn.Linear(5, 5), Kept()
    model = nn.Sequential(shared, nn.ReLU(), shared)
    with tapped(model, {"0": kept, "2": kept}):
        model(X)
    assert [(call.layer, call.nth) for call in kept.calls] == [("0", 0), ("2", 0), ("0", 1), ("2", 1)]


def test_the_sink_runs_in_evaluation_mode_and_without_gradients_and_the_model_is_given_back():
    model = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Dropout()).train()
    model[2].eval()
    before, seen = state(model), []
    with tapped(model, {"2": lambda _call: seen.append((torch.is_grad_enabled(), model.training))}):
        model(X)
    assert seen == [(False, False)]
    assert same(before, state(model))
    with pytest.raises(ZeroDivisionError), tapped(model, {"0": lambda _call: 1 / 0}):
        model(X)
    assert same(before, state(model))


def test_residual_blocks_called_in_inference_mode_are_handed_on():
    model, kept, x = Residual(), Kept(), torch.randn(4, 4)
    with tapped(model, {"fc2": kept, "": kept}), torch.inference_mode():
        model(x)
    hidden = model.fc2(model.fc1(x).relu())
    assert torch.equal(kept.calls[0].output, hidden)
    assert torch.equal(kept.calls[1].output, (hidden + x).relu())


def test_a_recurrent_layer_gives_its_hidden_states():
    layer, kept, x = nn.LSTM(5, 4), Kept(), torch.randn(3, 2, 5)
    with tapped(layer, {"": kept}):
        layer(x)
    np.testing.assert_allclose(kept.calls[0].output, layer(x)[0].detach(), rtol=0, atol=1e-6)


def test_what_cannot_be_tapped_is_named():
    class Mapped(nn.Module):
        def forward(self, x):
            return {"x": x}

    model = Mapped()
    with pytest.raises(UsageError, match="layer '': expected it to give a tensor, got dict"), tapped(model, {"": print}):
        model(X)
    with pytest.raises(UsageError, match="did you mean 'fc1'"), tapped(Functional(torch.relu), {"fc_1": print}):
        pass
    with pytest.raises(UsageError, match="got none"), tapped(Functional(torch.relu), {}):
        pass
