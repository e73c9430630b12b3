import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_cases import counting, read_all, reasons, same
from modescope import checkpoints
from modescope.matrix import Tensor

torch = pytest.importorskip("torch")
prune = pytest.importorskip("torch.nn.utils.prune")
nn = torch.nn


def sample(_folder: Path) -> tuple[Any, dict[str, Any]]:
    layer = nn.Linear(4, 3)
    arrays = {"0.weight": counting(3, 4), "0.bias": counting(3)}
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(arrays["0.weight"]))
        layer.bias.copy_(torch.from_numpy(arrays["0.bias"]))
    return nn.Sequential(layer, nn.ReLU()), arrays


def opened(module: Any) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in checkpoints.open(module).tensors}


def everything(module: Any) -> tuple[Any, ...]:
    """All of a model that reading might change."""
    state = {name: value.detach().clone() for name, value in (*module.named_parameters(), *module.named_buffers())}
    return state, {name: m.training for name, m in module.named_modules()}, {name: p.grad for name, p in module.named_parameters()}


def unchanged(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    (old, *rest), (new, *others) = before, after
    return old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old) and rest == others


def every_kind() -> Any:
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2), dilation=(1, 2), groups=2),
            "up": nn.ConvTranspose1d(3, 2, 4, output_padding=1, stride=2),
            "norm": nn.BatchNorm2d(6),
            "embed": nn.Embedding(10, 4, padding_idx=0),
            "attention": nn.MultiheadAttention(8, 2, batch_first=True),
            "lstm": nn.LSTM(4, 5, num_layers=2, bidirectional=True, proj_size=3),
        }
    )


def test_names_are_exactly_those_of_parameters_then_buffers_of_each_layer():
    model = every_kind()
    tensors = opened(model)
    parameters = [name for name, tensor in tensors.items() if "buffer" not in tensor.declared]
    buffers = [name for name, tensor in tensors.items() if "buffer" in tensor.declared]
    assert parameters == [name for name, _ in model.named_parameters()]
    assert buffers == [name for name, _ in model.named_buffers()]
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        assert same(tensors[name].read(), value.detach().numpy())


CONV = {"module": "Conv2d", "groups": "2", "stride": "2,2", "padding": "1,2", "dilation": "1,2", "kernel_size": "3,5"}
DECLARED: dict[str, dict[str, str]] = {
    "conv.weight": {**CONV, "transposed": "false"},
    "up.weight": {"module": "ConvTranspose1d", "transposed": "true", "output_padding": "1", "stride": "2"},
    "norm.running_mean": {"module": "BatchNorm2d", "buffer": "true", "eps": "1e-05", "num_features": "6"},
    "embed.weight": {"module": "Embedding", "num_embeddings": "10", "embedding_dim": "4", "padding_idx": "0"},
    "attention.in_proj_weight": {"module": "MultiheadAttention", "num_heads": "2", "embed_dim": "8", "batch_first": "true"},
    "attention.out_proj.weight": {"module": "Linear", "in_features": "8", "out_features": "8"},
    "lstm.weight_hh_l1_reverse": {
        "module": "LSTM",
        "hidden_size": "5",
        "num_layers": "2",
        "bidirectional": "true",
        "proj_size": "3",
    },
}


@pytest.mark.parametrize(("name", "declared"), DECLARED.items())
def test_layers_declare_their_class_and_hyperparameters(name, declared):
    found = opened(every_kind())[name].declared
    assert {key: found.get(key) for key in declared} == declared


def test_a_subclass_declares_the_torch_class_it_descends_from():
    mine = type("Mine", (nn.Conv2d,), {})
    assert opened(mine(1, 2, 3))["weight"].declared["module"] == "Conv2d"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_layer_declares_what_it_was():
    tensors = opened(torch.jit.script(nn.Sequential(nn.Linear(3, 2))))
    assert {name: tensor.declared["module"] for name, tensor in tensors.items()} == {"0.weight": "Linear", "0.bias": "Linear"}
    assert tensors["0.weight"].read().shape == (2, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_numbers_on_a_gpu_come_to_the_cpu_and_the_model_stays():
    model, arrays = sample(Path())
    model.cuda()
    assert same(opened(model)["0.weight"].read(), arrays["0.weight"])
    assert model[0].weight.is_cuda


def test_a_class_of_ones_own_declares_itself():
    own = type("Own", (nn.Module,), {})()
    own.weight = nn.Parameter(torch.ones(2, 2))
    assert opened(own)["weight"].declared["module"] == "Own"


def test_the_transposed_layer_of_another_library_declares_itself():
    conv1d = type("Conv1D", (nn.Module,), {"__module__": "transformers.pytorch_utils"})
    mine = type("Mine", (conv1d,), {})()
    mine.weight = nn.Parameter(torch.ones(2, 6))
    assert opened(mine)["weight"].declared["module"] == "Conv1D"


def test_tied_parameters_and_shared_layers_are_one_tensor_with_all_names():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    model["again"] = model["head"]
    tensors = opened(model)
    assert {name: tensor.aliases for name, tensor in tensors.items()} == {"embed.weight": ("head.weight", "again.weight")}
    assert tensors["embed.weight"].declared["module"] == "Embedding"


def old_hook(make: Any, layer: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch says that it has a newer way
        return make(layer)


class Symmetric(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, value: Any) -> Any:
        return value.triu() + value.triu(1).transpose(-1, -2)


def symmetric() -> Any:
    layer = nn.Linear(4, 4)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


COMPUTED = {
    "parametrised": symmetric,
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)),
    "old weight norm": lambda: old_hook(nn.utils.weight_norm, nn.Linear(5, 4)),
    "old spectral norm": lambda: old_hook(nn.utils.spectral_norm, nn.Linear(5, 4)),
    "pruned": lambda: prune.random_unstructured(nn.Linear(5, 4), "weight", 0.5),
}


@pytest.mark.parametrize("case", COMPUTED)
def test_the_weight_is_the_one_the_layer_uses_and_its_ingredients_are_skipped(case):
    torch.manual_seed(0)
    model = nn.Sequential(COMPUTED[case]()).eval()
    with torch.no_grad():  # a step of training: what a hook stored is out of date now
        for parameter in model.parameters():
            parameter.mul_(2).add_(0.1)
    tensors = opened(model)
    layer = model[0]
    inputs = torch.eye(layer.in_features) if isinstance(layer, nn.Linear) else None
    found = torch.from_numpy(np.array(tensors["0.weight"].read()))
    with torch.no_grad():
        if inputs is not None:
            torch.testing.assert_close(layer(inputs) - layer.bias, found.T)
        else:
            torch.testing.assert_close(layer.weight, found)
    ingredients = [name for name in reasons(model) if "weight" in name]
    assert ingredients
    assert all("effective weight" in reasons(model)[name] for name in ingredients)
    covered = {*tensors, *ingredients}
    assert {name for name, _ in (*model.named_parameters(), *model.named_buffers())} <= covered


@pytest.mark.parametrize("case", COMPUTED)
@pytest.mark.parametrize("mode", [True, False])
def test_reading_leaves_numbers_gradients_and_mode_as_they_were(case, mode):
    torch.manual_seed(0)
    model = nn.Sequential(COMPUTED[case](), nn.Dropout()).train(mode)
    model[1].train(not mode)
    before, generator = everything(model), torch.get_rng_state()
    read_all(model)
    assert unchanged(before, everything(model))
    assert torch.equal(generator, torch.get_rng_state())


def test_the_mode_comes_back_after_a_computation_that_fails():
    model = nn.Sequential(symmetric()).train()
    tensor = opened(model)["0.weight"]
    with torch.no_grad():
        model[0].parametrizations.weight.original.data = torch.ones(4)  # has no triangle
    with pytest.raises(RuntimeError):
        tensor.read()
    assert all(module.training for module in model.modules())


def test_a_live_model_is_read_as_it_is_now():
    model, _ = sample(Path())
    tensor = opened(model)["0.weight"]
    with torch.no_grad():
        model[0].weight.fill_(7)
    assert (tensor.read() == 7).all()


def test_the_models_memory_cannot_be_written_through_ours():
    model, _ = sample(Path())
    with pytest.raises(ValueError, match="read-only"):
        opened(model)["0.weight"].read()[0, 0] = 1


def test_tensors_without_numbers_are_skipped_with_their_reason():
    model = nn.ModuleDict({"meta": nn.Linear(3, 2, device="meta"), "lazy": nn.LazyLinear(3), "narrow": nn.Linear(2, 2).bfloat16()})
    told = reasons(model)
    assert "meta" in told["meta.weight"]
    assert "not initialised" in told["lazy.weight"]
    assert opened(model).keys() == {"narrow.weight", "narrow.bias"}
    assert opened(model)["narrow.weight"].stored == "bfloat16"


class Settings:
    def __init__(self, **values: Any) -> None:
        self.values = values

    def to_dict(self) -> dict[str, Any]:
        return self.values


def test_the_outermost_config_stands_in_every_tensor_below_it():
    model = nn.ModuleDict({"body": nn.ModuleDict({"fc": nn.Linear(2, 2)}), "other": nn.Linear(2, 2)})
    model["body"].config = Settings(model_type="gpt2", n_head=12, auto_map={"A": "b"})
    model["body"]["fc"].config = Settings(model_type="inner")
    tensors = opened(model)
    assert tensors["body.fc.weight"].declared["config.n_head"] == "12"
    assert tensors["body.fc.weight"].declared["config.model_type"] == "gpt2"
    assert not any(key.startswith("config.") for key in tensors["other.weight"].declared)


def test_a_thunk_carries_its_own_layer_and_not_the_whole_model():
    model = nn.ModuleDict({"small": nn.Linear(2, 2), "large": nn.Linear(1000, 1000)})
    assert len(pickle.dumps(opened(model)["small.weight"])) < 20_000
