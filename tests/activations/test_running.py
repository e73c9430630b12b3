"""Running a model over data: every kind of input, moments in one pass, and a model that is given back as it was."""

import sys
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from activation_cases import Functional, rows, same, state
from modescope import activations, moments
from modescope.activations import capture, collect
from modescope.errors import UsageError

X = torch.randn(23, 5, generator=torch.Generator().manual_seed(0))
FORMS = {
    "tensor": X,
    "array": X.numpy(),
    "array of doubles": X.double().numpy(),
    "array that is not in one piece": np.asfortranarray(X.numpy()[::-1])[::-1],
    "list of tensors": list(X.split(7)),
    "generator of arrays": lambda: (part.numpy() for part in X.split(4)),
    "pairs": [(part, torch.zeros(len(part))) for part in X.split(5)],
    "DataLoader": DataLoader(TensorDataset(X, torch.arange(23)), batch_size=6),
    "mapping": {"x": X},
    "mappings": [{"x": part} for part in X.split(8)],
    "with an empty batch": [X[:0], X],
}


@pytest.mark.parametrize("form", FORMS)
def test_data_in_any_form_give_the_same_moments(form):
    model = Functional(torch.relu).double()
    data = FORMS[form]() if callable(FORMS[form]) else FORMS[form]
    found = activations.moments(model, "fc1", data, what="postactivation")
    expected = moments.of(model.fc1(X.double()).relu().detach().numpy())
    assert found.count == 23
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=0, atol=1e-11)


@pytest.mark.parametrize("batch", [None, 1, 5, 23, 100])
def test_the_size_of_the_batches_does_not_matter_and_progress_counts_them(batch):
    seen = []
    model = Functional(torch.relu).double()
    found = activations.moments(model, "fc2", X, batch=batch, progress=lambda done, total: seen.append((done, total)))
    expected = moments.of(model.fc1(X.double()).relu().detach().numpy())
    np.testing.assert_allclose(found.second, expected.second, rtol=0, atol=1e-12)
    count = 1 if batch is None else -(-23 // batch)
    assert seen == [(i + 1, count) for i in range(count)]


def test_the_length_of_a_generator_is_not_known():
    seen = []
    parts = (part for part in X.split(10))
    activations.moments(Functional(torch.relu), "fc1", parts, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, None), (2, None), (3, None)]


def test_several_layers_take_one_pass():
    model, calls = Functional(torch.relu), []
    model.register_forward_hook(lambda *_: calls.append(1))
    found = activations.streamed(model, ("fc1", "fc2"), list(X.split(10)), what=("input", "preactivation"))
    assert set(found) == {(layer, kind) for layer in ("fc1", "fc2") for kind in ("input", "preactivation")}
    assert len(calls) == 3


def test_streaming_keeps_no_sample():
    model, chunk = nn.Sequential(nn.Linear(32, 32), nn.ReLU()), torch.randn(2000, 32)
    activations.streamed(model, "0", [chunk])
    peaks = []
    for count in (3, 30):
        tracemalloc.start()  # which sees what NumPy holds
        activations.streamed(model, "0", (chunk for _ in range(count)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


class Awkward(nn.Module):
    """Dropout, running statistics, a counting buffer, frozen weights and modules in different modes."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.drop, self.act = nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.ReLU(inplace=True)
        self.register_buffer("calls", torch.zeros(1))
        self.fc.weight.requires_grad_(False)
        self.drop.eval()

    def forward(self, x):
        self.calls += 1
        self.extra = None
        if x.shape[0] == 13:
            raise RuntimeError("thirteen")
        if x.shape[0] == 14:
            raise KeyboardInterrupt
        torch.rand(3)
        return self.act(self.norm(self.drop(self.fc(x))))


@pytest.mark.parametrize("rows_given", [4, 13, 14])
@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_given_back_as_it_was_also_after_an_error_or_an_interrupt(rows_given, mode):
    model = Awkward().train(mode)
    model.drop.train(not mode)
    torch.backends.mha.set_fastpath_enabled(True)  # torch's default, which the tests before may have failed to give back
    before = state(model)
    expected = {4: nullcontext(), 13: pytest.raises(UsageError, match="thirteen"), 14: pytest.raises(KeyboardInterrupt)}
    with expected[rows_given]:
        collect(model, ("fc", "norm", "act"), torch.randn(rows_given, 5, generator=torch.Generator()), what="preactivation")
    assert same(before, state(model))


def test_dropout_is_off_and_statistics_stand_still():
    model = Awkward().train()
    first, second = (collect(model, "norm", X, what="preactivation")["norm", "preactivation"] for _ in range(2))
    assert np.array_equal(first, second)
    model.eval()
    assert np.array_equal(first, rows(model.norm(model.fc(X))))


def test_a_shuffling_loader_draws_no_number_of_the_users_stream():
    model = Functional(torch.relu)
    before = torch.get_rng_state()
    activations.moments(model, "fc1", DataLoader(TensorDataset(X), batch_size=4, shuffle=True))
    assert torch.equal(before, torch.get_rng_state())


def test_a_call_that_fails_inside_a_capture_leaves_the_next_one_whole():
    class TouchyActivation(nn.Module):
        def forward(self, x):
            return 1 / 0 if x.shape[0] == 3 else torch.relu(x)

    model = nn.Sequential(nn.Linear(5, 5), TouchyActivation(), Functional(torch.tanh))
    with capture(model, ("0", "2.fc1")) as taken:
        with pytest.raises(ZeroDivisionError):
            model(X[:3])
        model(X)
    hidden = model[0](X).relu()
    assert np.array_equal(taken["0", "preactivation"], rows(torch.vstack([model[0](X[:3]), model[0](X)])))
    assert np.array_equal(taken["0", "postactivation"], rows(hidden))
    assert np.array_equal(taken["2.fc1", "postactivation"], rows(torch.tanh(model[2].fc1(hidden))))


def test_hooks_of_others_stay_and_are_heard_before_ours():
    model = Functional(torch.relu)
    handle = model.fc1.register_forward_hook(lambda _m, _a, output: output * 2)
    found = collect(model, "fc1", X, what="preactivation")["fc1", "preactivation"]
    assert np.array_equal(found, rows(model.fc1(X)))
    assert len(model.fc1._forward_hooks) == 1
    handle.remove()


def test_gradients_can_be_taken_as_before():
    model = Functional(torch.relu)
    collect(model, "fc1", X)
    model(X).sum().backward()
    assert model.fc1.weight.grad is not None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected data to run the model on, got no batch with a sample"),
        ([X[:0]], "no batch with a sample"),
        ((X, X), "got tuple; put batches in a list"),
        ("data.npy", "got str"),
        (7, "got int"),
        ([None], "expected batch 0 as a tensor or an array, got NoneType"),
        (
            [X[:, :4]],
            r"Functional: expected inputs that the model runs on, got RuntimeError on batch 0 of shape \(23, 4\): mat1",
        ),
        ({"y": X}, r"got TypeError on batch 0 with y"),
        (np.array(["a"]), "got TypeError on batch 0"),
    ],
)
def test_data_the_model_does_not_run_on_are_refused(inputs, message):
    with pytest.raises(UsageError, match=message):
        activations.moments(Functional(torch.relu), "fc1", inputs)


def test_batches_of_no_rows_are_refused():
    with pytest.raises(UsageError, match="at least 1, got 0"):
        activations.moments(Functional(torch.relu), "fc1", X, batch=0)


def test_torch_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"pip install 'modescope\[torch\]'"):
        activations.moments(object(), "fc1", X)
