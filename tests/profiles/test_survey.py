"""Layers are found by running the network, in the order in which they run, and what is left out is said."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from modescope.errors import UsageError
from modescope.profiles.images import images
from modescope.profiles.passing import bases, signals
from modescope.profiles.survey import survey
from profiles_architectures import NETWORKS, Inception, Shared, ViT, made, norms_of_use, plain

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weighted_layer_that_runs_is_found_with_the_shape_of_its_output(name):
    model, x = made(name)
    seen = []
    handles = [
        module.register_forward_hook(lambda _m, _a, out, name=name: seen.append((name, out)))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
    ]
    with torch.no_grad():
        model(x[:4])
    for handle in handles:
        handle.remove()
    found = survey(model, x[:4])
    assert len(found.sites) == NETWORKS[name][2]
    called = [(site.layer, site.shape) for site in found.sites if "attention" not in site.layer]
    assert called == [
        (name, (out.shape[1:] if out.ndim != 3 or name in "025" else (out.shape[2], out.shape[1]))) for name, out in seen
    ]


def test_calls_of_one_layer_are_sites_of_their_own_in_the_order_in_which_they_run():
    found = survey(Shared().eval(), X)
    assert [site.name for site in found.sites] == ["stem", "shared@0", "shared@1", "head"]
    assert [site.shape for site in found.sites[1:3]] == [(4, 8, 8), (4, 4, 4)]


def test_what_did_not_run_and_what_cannot_be_projected_is_said_with_the_reason():
    assert dict(survey(Inception().eval(), X).skipped) == {"aux": "the network did not call it on these images"}
    assert "without calling a layer" in dict(survey(ViT(fused=False).eval(), X).skipped)["attention.in_proj_weight"]
    rows = nn.Sequential(nn.Flatten(0, 1), nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(UsageError, match="2: its output has 12 rows for 4 images"):
        survey(rows, X)


def test_layers_are_asked_for_by_name_or_pattern():
    assert [site.name for site in survey(plain(), X, layers="[02]").sites] == ["0", "2"]
    assert [site.name for site in survey(plain(), X, layers=("8", "0")).sites] == ["0", "8"]
    with pytest.raises(UsageError, match="got 'conv1'; there are '0', '2', '4', '8', '10'"):
        survey(plain(), X, layers="conv1")
    with pytest.raises(UsageError, match="aux: the network did not call it"):
        survey(Inception().eval(), X, layers="aux")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (None, "expected a torch nn.Module, got NoneType"),
        (nn.Sequential(nn.ReLU()), "it has no linear layer and no convolution"),
        (
            nn.Sequential(nn.Conv2d(2, 3, 3)),
            r"expected images that the network runs on, got RuntimeError for a batch of shape \(4, 3",
        ),
        (nn.Sequential(nn.LSTM(8, 4)), "LSTM multiplies with its weights inside one call"),
    ],
)
def test_networks_without_layers_to_project_are_refused_with_the_reason(model, said):
    with pytest.raises(UsageError, match=said):
        survey(model, X if not isinstance(model, nn.Sequential) or not isinstance(model[0], nn.LSTM) else X[:, 0])


def test_a_lazy_layer_that_never_ran_is_skipped_with_the_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
        with pytest.raises(UsageError, match=r"1: its weight has no shape before the network ran once"):
            survey(lazy, X)
        lazy(X)
        assert [site.name for site in survey(lazy, X).sites] == ["1"]


@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_script_module_is_refused_with_a_reason(how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.script(plain()) if how == "script" else torch.jit.trace(plain(), X)
    with pytest.raises(UsageError, match="got TorchScript"):
        survey(model, X)


class Wrapped(nn.Module):
    """A wrapper as data parallelism makes it."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


CHANGED = {
    "weight norm": lambda model: parametrizations.weight_norm(model[0]),
    "spectral norm": lambda model: parametrizations.spectral_norm(model[2]),
    "orthogonal": lambda model: parametrizations.orthogonal(model[8]),
    "pruned": lambda model: prune.random_unstructured(model[2], "weight", 0.5),
}


@pytest.mark.parametrize("name", CHANGED)
def test_modes_are_those_of_the_weight_that_a_parametrised_layer_uses(name):
    torch.manual_seed(0)
    model = plain().double().eval()
    CHANGED[name](model)
    found = survey(model, X)
    known = bases(model, found)
    for site in found.sites:
        if site.module.groups == 1 if hasattr(site.module, "groups") else True:
            with torch.no_grad():
                expected = torch.linalg.svdvals(site.module.weight.flatten(1))
            assert known[site.name].s == pytest.approx(expected.numpy(), rel=1e-6)


def test_a_wrapper_and_tied_weights_change_names_only():
    torch.manual_seed(0)
    model = plain().eval()
    model[10] = nn.Linear(12, 12)
    model.append(nn.Linear(12, 12))
    model[11].weight = model[10].weight
    data = images(X)
    alone, inside = survey(model, X), survey(Wrapped(model), X)
    assert [f"module.{site.name}" for site in alone.sites] == [site.name for site in inside.sites]
    ours = signals(model, data, alone, bases(model, alone))
    theirs = signals(Wrapped(model), data, inside, bases(Wrapped(model), inside))
    for name, values in ours.items():
        assert (values == theirs[f"module.{name}"]).all()
    with torch.no_grad():
        parallel = survey(nn.DataParallel(model), X)
    assert [site.name for site in parallel.sites] == [site.name for site in inside.sites]


@pytest.mark.parametrize("name", ["ResNet-18", "DenseNet", "ViT, torch's attention"])
def test_looking_changes_nothing(name):
    model, x = made(name)
    model.train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    survey(model, x)
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_batch_norm_of_a_layer_is_the_one_that_takes_its_output():
    model, x = made("ResNet-18")
    norms = {site.name: site.norm for site in survey(model, x).sites}
    assert norms["stages.1.0.conv2"] == "stages.1.0.bn2"
    assert norms["stages.1.0.downsample.0"] == "stages.1.0.downsample.1"
    assert norms["fc"] == ""
    dense, x = made("DenseNet")
    assert {site.norm for site in survey(norms_of_use(dense), x).sites[1:]} == {""}
