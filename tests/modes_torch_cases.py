"""Every module in modes, small, with an input: what torch does with modules is tested on all of them alike."""

import sys
import warnings
from collections.abc import Callable
from os import environ

import torch
from torch import Tensor, nn
from torch.func import functional_call

from modescope.modes.modules.convolution import ModeConv1d, ModeConv2d
from modescope.modes.modules.embedding import ModeEmbedding
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.modules.parametrised import parametrize_modes
from modescope.modes.modules.recurrent import ModeGRUCell, ModeRecurrent, ModeRNNCell

BATCH = 4
MAKERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: ModeLinear(6, 5, 3),
    "frozen": lambda: ModeLinear(6, 5, 3, bias=False, frozen_strength=True),
    "conv1d": lambda: ModeConv1d(3, 4, 3, 2, padding=1),
    "conv2d": lambda: ModeConv2d(2, 3, (3, 2), 2, stride=2, padding=1, padding_mode="reflect"),
    "embedding": lambda: ModeEmbedding(9, 5, 3, padding_idx=2),
    "rnn cell": lambda: ModeRNNCell(6, 5, (3, 2)),
    "gru cell": lambda: ModeGRUCell(6, 5, 3),
    "recurrent": lambda: ModeRecurrent(ModeGRUCell(6, 5, 3), batch_first=True),
    "mlp": lambda: ModeMLP([6, 8, 7, 3], [2, 3, None], activation=torch.tanh),
    "tied mlp": lambda: ModeMLP([6, 8, 7, 3], 3, tied=True, activation=torch.tanh),
    "parametrised": lambda: parametrize_modes(nn.Linear(6, 5), 3),
}
SHAPES = {"conv1d": (3, 7), "conv2d": (2, 5, 4), "recurrent": (3, 6)}


def made(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """The module, its draws the same at each call; torch's own state is given back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = MAKERS[name]()
        for parameter in module.parameters():
            if parameter.dim() == 1:  # biases begin at 0, where a missing one would not be seen
                parameter.data.add_(0.1 * torch.randn(parameter.shape))
        return module.to(dtype)


def given(name: str, dtype: torch.dtype = torch.float64, batch: int = BATCH) -> Tensor:
    """An input of a batch; that of an embedding holds its padding."""
    generator = torch.Generator().manual_seed(5)
    if name == "embedding":
        return torch.cat([torch.full((batch, 1), 2), torch.randint(9, (batch, 3), generator=generator)], 1)
    return torch.randn(batch, *SHAPES.get(name, (6,)), generator=generator, dtype=torch.float64).to(dtype)


def answer(module: nn.Module, x: Tensor) -> Tensor:
    """What the module makes of it, one tensor: of a sequence all its states."""
    found = module(x)
    return found[0] if isinstance(found, tuple) else found


def applied(module: nn.Module, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """The same with other parameters."""
    found = functional_call(module, parameters, (x,))
    return found[0] if isinstance(found, tuple) else found


def loss(out: Tensor) -> Tensor:
    """Of a batch: a mean over its samples of something that no two outputs enter alike."""
    weights = torch.linspace(0.5, 1.5, out[0].numel(), dtype=out.dtype).view_as(out[0])
    return (weights * out).sin().flatten(1).sum(1).mean()


def gradients(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Of every parameter, by name."""
    module.zero_grad()
    loss(answer(module, x)).backward()
    return {name: one.grad for name, one in module.named_parameters()}


DISTRIBUTED = ("linear", "conv2d", "embedding", "recurrent", "mlp", "tied mlp", "parametrised")


def distributed(rank: int, world: int, store: str) -> None:
    """One process of several: with its share of the batch, data parallel or sharded, it gets the gradients of the whole batch."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    warnings.simplefilter("error")
    torch.set_num_threads(1)
    if sys.platform == "linux":
        environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", store=dist.FileStore(store, world), rank=rank, world_size=world)
    try:
        mesh = init_device_mesh("cpu", (world,))
        for name in DISTRIBUTED:
            x = given(name)
            wanted = gradients(made(name), x)
            mine = x[rank::world]
            parallel = DistributedDataParallel(made(name))
            loss(answer(parallel, mine)).backward()
            for key, parameter in parallel.module.named_parameters():
                torch.testing.assert_close(parameter.grad, wanted[key], msg=f"data parallel {name} {key}")
            if name == "parametrised":
                continue  # torch's own parametrizations are not what is tested here
            sharded = made(name)
            if name == "embedding":
                sharded.by_mode()
            fully_shard(sharded, mesh=mesh)
            optimizer = torch.optim.SGD(sharded.parameters(), lr=0.1)
            loss(answer(sharded, mine)).backward()
            for key, parameter in sharded.named_parameters():
                torch.testing.assert_close(parameter.grad.full_tensor(), wanted[key], msg=f"sharded {name} {key}")
            optimizer.step()
            for key, value in sharded.state_dict().items():
                stepped = made(name).state_dict()[key] - 0.1 * wanted[key]
                torch.testing.assert_close(value.full_tensor(), stepped, msg=f"sharded step {name} {key}")
    finally:
        dist.destroy_process_group()
