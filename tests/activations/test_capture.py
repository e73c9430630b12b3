"""Capture: what is taken equals what the modules give when they are called one by one, whatever works in place afterwards."""

import numpy as np
import pytest
import torch
from torch import nn

from activation_cases import CONVOLUTIONS, FUNCTIONS, MODULES, Functional, HandwrittenSwish, Residual, image, rows
from modescope import activations
from modescope.activations import Stack, Summed, capture, collect
from modescope.errors import UsageError

X = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_activation_that_is_a_function_is_followed_and_corrupts_nothing(name):
    function, values = FUNCTIONS[name]
    model = Functional(function)
    taken = collect(model, "fc1", X)
    before = model.fc1(X)
    assert np.array_equal(taken["fc1", "input"], rows(X))
    assert np.array_equal(taken["fc1", "preactivation"], rows(before))
    assert np.array_equal(taken["fc1", "postactivation"], rows(values(before)))


@pytest.mark.parametrize("name", MODULES)
def test_an_activation_that_is_a_module_is_followed_and_corrupts_nothing(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), MODULES[name], nn.Linear(6, 2)).eval()
    before = model[0](X).detach()
    after = model[1](before.clone()).detach()
    taken = collect(model, "0", X)
    assert np.array_equal(taken["0", "preactivation"], rows(before))
    assert np.array_equal(taken["0", "postactivation"], rows(after))
    assert np.array_equal(collect(model, "2", X, what="input")["2", "input"], rows(after))


def test_an_activation_module_written_by_hand_counts_as_a_whole():
    model = nn.Sequential(nn.Linear(5, 6), HandwrittenSwish())
    with capture(model, "0") as taken:
        model(X)
    y = model[0](X)
    np.testing.assert_allclose(taken["0", "postactivation"], rows(y * torch.sigmoid(y)), rtol=0, atol=1e-7)
    assert taken.activation("0") == "HandwrittenSwish"


def test_a_sum_in_place_leaves_the_preactivation_and_is_said_to_come_between():
    model = Residual()
    x = torch.randn(7, 4)
    first = torch.relu(model.fc1(x))
    taken = collect(model, ("fc1", "fc2"), x, what=("input", "preactivation"))
    assert np.array_equal(taken["fc1", "preactivation"], rows(model.fc1(x)))
    assert np.array_equal(taken["fc2", "input"], rows(first))
    assert np.array_equal(taken["fc2", "preactivation"], rows(model.fc2(first)))
    assert np.array_equal(collect(model, "fc1", x)["fc1", "postactivation"], rows(first))
    for what in ("postactivation", ("postactivation", "preactivation")):  # to take is no part of the model, and not what is told
        with pytest.raises(UsageError, match=r"layer 'fc2', postactivation: expected.*found none; i?add took it first"):
            collect(model, "fc2", x, what=what)


def test_what_happens_to_a_tensor_after_it_was_taken_does_not_reach_it():
    class Wiping(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x):
            x = x + 0
            y = self.fc(x)
            z = torch.relu(y)
            for tensor in (x, y, z):
                tensor.zero_()
            return z

    model = Wiping()
    y = model.fc(X)
    for sink, read in ((Stack, lambda a: a.mean(0)), (Summed, lambda a: a.mean)):
        with capture(model, "fc", into=sink) as taken:
            model(X)
        for kind, expected in (("input", X), ("preactivation", y), ("postactivation", y.relu())):
            np.testing.assert_allclose(read(taken["fc", kind]), rows(expected).mean(0), rtol=0, atol=1e-12)


def test_a_change_in_place_hidden_in_a_view_is_seen():
    def through_a_view(y):
        y.view(-1)[0] += 1
        return torch.relu(y)

    with pytest.raises(UsageError, match=r"found none; .* took it first"):
        collect(Functional(through_a_view), "fc1", X, what="postactivation")


def test_inference_mode_outside_is_left_and_inside_it_no_postactivation_is_promised():
    model = Functional(torch.relu_)
    with torch.inference_mode():
        assert np.array_equal(collect(model, "fc1", X)["fc1", "postactivation"], rows(model.fc1(X).relu()))
    with capture(model, "fc1") as taken, torch.inference_mode():
        model(X)
    assert np.array_equal(taken["fc1", "preactivation"], rows(model.fc1(X)))
    with pytest.raises(UsageError, match=r"layer 'fc1', postactivation: .*inference_mode.*no_grad"):
        _ = taken["fc1", "postactivation"]


def test_a_normalisation_between_is_named_and_its_own_postactivation_is_there():
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True)).eval()
    with pytest.raises(UsageError, match="batch_norm took it first"):
        collect(model, "0", X, what="postactivation")
    expected = model[1](model[0](X)).relu()
    assert np.array_equal(collect(model, "1", X, what="postactivation")["1", "postactivation"], rows(expected))


def test_an_identity_or_a_silent_dropout_between_changes_nothing():
    model = nn.Sequential(nn.Linear(5, 6), nn.Identity(), nn.Dropout(0.5), nn.Tanh())
    taken = collect(model, ("0", "1", "2"), X, what="postactivation")
    for name in ("0", "1", "2"):
        assert np.array_equal(taken[name, "postactivation"], rows(torch.tanh(model[0](X))))


def test_a_container_gives_what_its_last_module_gives():
    model = nn.Sequential(nn.Sequential(nn.Linear(5, 6)), nn.ReLU(inplace=True))
    taken = collect(model, ("0", "0.0"), X)
    assert np.array_equal(taken["0", "preactivation"], taken["0.0", "preactivation"])
    assert np.array_equal(taken["0", "postactivation"], taken["0.0", "postactivation"])


def test_the_model_itself_is_a_layer_by_its_empty_name():
    model = Functional(torch.relu)
    assert np.array_equal(collect(model, "", X, what="preactivation")["", "preactivation"], rows(model(X)))


def test_a_layer_called_twice_gives_the_samples_of_both_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x):
            return self.fc(torch.relu(self.fc(x)))

    model = Twice()
    first = model.fc(X)
    second = model.fc(first.relu())
    taken = collect(model, "fc", X, what=("input", "preactivation"))
    assert np.array_equal(taken["fc", "input"], np.vstack([rows(X), rows(first.relu())]))
    assert np.array_equal(taken["fc", "preactivation"], np.vstack([rows(first), rows(second)]))


def test_a_shared_module_is_known_by_both_names():
    shared = nn.Linear(5, 5)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    taken = collect(model, ("0", "2"), X, what="input")
    assert np.array_equal(taken["0", "input"], taken["2", "input"])


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_channels_are_columns_and_positions_are_samples(name):
    convolution = CONVOLUTIONS[name]()
    model, x = nn.Sequential(convolution, nn.ReLU(inplace=True)), image(convolution)
    taken = collect(model, "0", x)
    assert np.array_equal(taken["0", "input"], rows(x, 1))
    assert np.array_equal(taken["0", "preactivation"], rows(convolution(x), 1))
    assert np.array_equal(taken["0", "postactivation"], rows(convolution(x).relu(), 1))


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("at_once", [1, 1 << 22])
def test_the_unfolded_weight_acts_on_the_patches(name, at_once, monkeypatch):
    monkeypatch.setattr("modescope.activations._layout.AT_ONCE", at_once)
    convolution = CONVOLUTIONS[name]().double()
    x = image(convolution).double()
    patches = collect(convolution, "", x, what="input", patches=True)["", "input"]
    weight = convolution.weight.detach()
    w = (weight.transpose(0, 1) if convolution.transposed else weight).reshape(convolution.out_channels, -1).numpy()
    found = patches @ w.T + convolution.bias.detach().numpy()
    np.testing.assert_allclose(found, rows(convolution(x), 1), rtol=0, atol=1e-12)


def test_patches_of_a_grouped_convolution_hold_every_groups_columns():
    convolution = nn.Conv2d(4, 6, 3, groups=2, bias=False).double()
    x = image(convolution).double()
    patches = collect(convolution, "", x, what="input", patches=True)["", "input"]
    w = convolution.weight.detach().reshape(2, 3, -1).numpy()
    found = np.hstack([patches[:, :18] @ w[0].T, patches[:, 18:] @ w[1].T])
    np.testing.assert_allclose(found, rows(convolution(x), 1), rtol=0, atol=1e-12)


def test_one_image_without_a_batch_is_unfolded_too():
    convolution = nn.Conv2d(2, 3, 3)
    x = image(convolution)[:1]
    one, several = (collect(convolution, "", v, patches=True, what=("input", "preactivation")) for v in (x[0], x))
    for kind in ("input", "preactivation"):
        np.testing.assert_allclose(one["", kind], several["", kind], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("first", [False, True])
def test_time_steps_of_a_sequence_are_samples_and_hidden_states_are_postactivations(kind, first):
    layer = kind(3, 4, batch_first=first, bidirectional=True)
    x = torch.randn(5, 7, 3)
    with capture(layer, "") as taken:
        layer(x)
    assert np.array_equal(taken["", "input"], rows(x))
    assert np.array_equal(taken["", "postactivation"], rows(layer(x)[0]))
    assert taken.activation("") == ("tanh" if kind is nn.RNN else kind.__name__)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_what_the_activation_inside_a_recurrent_layer_takes_is_refused_and_not_taken_for_its_output(kind):
    layer, x = kind(3, 4), torch.randn(5, 3)
    with pytest.raises(UsageError, match=r"preactivation: .*got \w+, which applies its own inside; take its hidden states"):
        collect(layer, "", x, what="preactivation")
    with torch.no_grad():
        hidden = layer(x)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    assert np.array_equal(collect(layer, "", x, what="postactivation")["", "postactivation"], rows(hidden))


def test_an_activation_after_a_recurrent_layer_is_not_taken_for_its_own():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(5, 4)

        def forward(self, x):
            return torch.relu_(self.gru(x)[0])

    model = Recurrent()
    assert np.array_equal(collect(model, "gru", X, what="postactivation")["gru", "postactivation"], rows(model.gru(X)[0]))


def test_a_packed_sequence_gives_the_steps_that_are_there():
    layer, x = nn.GRU(3, 4), torch.randn(6, 2, 3)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 2]))

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = layer

        def forward(self, x):
            return self.gru(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([6, 2])))[1]

    taken = collect(Packed(), "gru", x, what=("input", "postactivation"))
    assert np.array_equal(taken["gru", "input"], rows(packed.data))
    assert np.array_equal(taken["gru", "postactivation"], rows(layer(packed)[0].data))


def test_an_encoder_layer_is_not_run_as_one_kernel_past_its_modules():
    torch.manual_seed(0)
    layer, x = nn.TransformerEncoderLayer(6, 2, 10, batch_first=True).eval(), torch.randn(3, 5, 6)
    with torch.no_grad():
        plain = layer(x)
    taken = collect(layer, ("", "linear1", "linear2", "self_attn.out_proj"), x, what=("input", "preactivation"))
    np.testing.assert_allclose(taken["", "preactivation"], rows(plain), rtol=0, atol=1e-5)
    hidden = collect(layer, "linear1", x, what="postactivation")["linear1", "postactivation"]
    assert np.array_equal(hidden, taken["linear2", "input"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_floating_type_is_widened_exactly(dtype):
    model = Functional(torch.relu).to(dtype)
    x = X.to(dtype)
    taken = collect(model, "fc1", X)  # which goes to the type of the model
    assert np.array_equal(taken["fc1", "input"], x.double().numpy())
    assert np.array_equal(taken["fc1", "preactivation"], model.fc1(x).detach().double().numpy())
    assert all(array.dtype == np.float64 for array in taken.values())


@pytest.mark.parametrize(
    ("layer", "shape", "axis"),
    [
        (nn.BatchNorm2d(3), (2, 3, 4, 5), 1),
        (nn.BatchNorm1d(3), (2, 3), 1),
        (nn.BatchNorm1d(3), (2, 3, 4), 1),
        (nn.GroupNorm(1, 3), (2, 3, 4), 1),
        (nn.InstanceNorm1d(3), (2, 3, 4), 1),
        (nn.MaxPool2d(2), (2, 3, 4, 6), 1),
        (nn.LayerNorm(5), (2, 3, 4, 5), -1),
        (nn.Linear(5, 5), (2, 3, 4, 5), -1),
        (nn.ReLU(), (2, 4, 5), -1),
    ],
)
def test_the_axis_of_the_channels_follows_from_the_kind_of_layer(layer, shape, axis):
    x = torch.randn(shape)
    layer.eval()
    taken = collect(layer, "", x, what=("input", "preactivation"))
    assert np.array_equal(taken["", "input"], rows(x, axis))
    assert np.array_equal(taken["", "preactivation"], rows(layer(x), axis))


def test_an_axis_that_cannot_be_known_is_asked_for():
    x = torch.randn(2, 3, 4, 5)
    with pytest.raises(UsageError, match=r"axis of the channels of ReLU is not known for values \(2, 3, 4, 5\); pass axis"):
        collect(nn.ReLU(), "", x, what="input")
    assert np.array_equal(collect(nn.ReLU(), "", x, what="input", axis=1)["", "input"], rows(x, 1))
    with pytest.raises(UsageError, match="expected axis 7"):
        collect(nn.ReLU(), "", x, what="input", axis=7)


def test_the_two_sinks_agree():
    model = Functional(torch.tanh)
    with capture(model, "fc1", into=Stack) as arrays, capture(model, "fc1", into=Summed) as sums:
        for part in X.split(4):
            model(part)
    for key in arrays:
        samples, found = arrays[key], sums[key]
        assert found.count == len(samples) == 11
        np.testing.assert_allclose(found.second, samples.T @ samples / 11, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 7, 1 << 18])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (9, 5), (2, 3, 5)])
def test_sums_do_not_depend_on_how_a_tensor_is_cut(shape, at_once, monkeypatch):
    monkeypatch.setattr("modescope.activations._sinks.AT_ONCE", at_once)
    x, model = torch.randn(shape).double(), nn.Linear(5, 4).double()
    with capture(model, "", what="input", into=Summed) as taken:
        model(x)
    samples = rows(x)
    assert taken["", "input"].count == len(samples)
    np.testing.assert_allclose(taken["", "input"].second, samples.T @ samples / len(samples), rtol=0, atol=1e-12)


def test_captures_inside_one_another_do_not_disturb_each_other():
    model = Functional(torch.relu)
    with capture(model, "fc1") as outer:
        with capture(model, ("fc1", "fc2"), what="input") as inner:
            model(X)
        model(X)
    assert len(inner["fc2", "input"]) == 11
    assert len(outer["fc1", "postactivation"]) == 22


def test_keyword_arguments_count_in_the_order_of_the_signature():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(second=2 * x, first=x)

    class Inner(nn.Module):
        def forward(self, first, second):
            return first + second

    assert np.array_equal(collect(Named(), "inner", X, what="input")["inner", "input"], rows(X))


@pytest.mark.parametrize(
    ("layers", "what", "message"),
    [
        ("fc3", "input", r"Functional: expected the name of a module, got 'fc3'; did you mean 'fc"),
        ("fc1.weight", "input", "did you mean 'fc1'"),
        ("fc1", "output", "from input, preactivation, postactivation, got 'output'"),
        (
            "fc2",
            "postactivation",
            "layer 'fc2', postactivation: expected an activation that takes the output.*, found none",
        ),
    ],
)
def test_what_is_not_there_is_named(layers, what, message):
    with pytest.raises(UsageError, match=message):
        collect(Functional(torch.relu), layers, X, what=what)


def test_a_model_that_is_none_a_layer_that_is_not_reached_and_a_key_not_asked_for_are_refused():
    with pytest.raises(UsageError, match=r"nn\.Module, got dict"):
        collect({}, "fc", X)
    with pytest.raises(UsageError, match="expected the name of a layer at least, got none"):
        collect(Functional(torch.relu), (), X)
    model = Functional(torch.relu)
    model.spare = nn.Linear(2, 2)
    with pytest.raises(UsageError, match="'spare', input: expected the layer to run, but the model did not call it"):
        collect(model, "spare", X)
    with capture(model, "fc1", what="input") as taken:
        model(X)
    with pytest.raises(UsageError, match=r"expected one of \[\('fc1', 'input'\)\], got \('fc1', 'preactivation'\)"):
        _ = taken["fc1", "preactivation"]


def test_indices_are_no_samples_but_their_embedding_is():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    indices = torch.tensor([[1, 2, 3], [4, 5, 6]])
    with capture(model, ("0",), what=("input", "preactivation")) as taken:
        model(indices)
    assert np.array_equal(taken["0", "preactivation"], rows(model[0](indices)))
    with pytest.raises(UsageError, match="layer '0', input: expected real floating-point values, got int64"):
        _ = taken["0", "input"]


def test_an_output_that_is_no_tensor_is_named():
    class Mapped(nn.Module):
        def forward(self, x):
            return {"x": x}

    with pytest.raises(UsageError, match="layer '', preactivation: expected a tensor, got dict"):
        collect(Mapped(), "", X, what="preactivation")


@pytest.mark.parametrize("run", [activations.collect, activations.streamed])
def test_values_that_are_not_finite_name_the_layer(run):
    model = Functional(torch.relu)
    with torch.no_grad():
        model.fc1.weight[2] = torch.nan
    with pytest.raises(UsageError, match=r"layer 'fc1', preactivation: .*finite.*11 non-finite entries"):
        run(model, "fc1", X, what="preactivation")
