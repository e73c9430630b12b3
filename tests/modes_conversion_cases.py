"""Networks for the tests of conversion: one of each layer that modes can stand for, and what surrounds them."""

from typing import Any

import torch
from torch import Tensor, nn

from modescope.shipped import demo_path

IMAGES = (6, 3, 9, 9)


def mlp(dtype: torch.dtype = torch.float64, seed: int = 0, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16, bias), nn.ReLU(), nn.Linear(16, 14, bias), nn.ReLU(), nn.Linear(14, 3, bias)).to(dtype)


def inputs(count: int = 40, size: int = 12, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, size, dtype=torch.float64, generator=generator)
    return (drawn * torch.linspace(0.1, 2, size, dtype=torch.float64) + 1).to(dtype)


def images(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(IMAGES, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(dtype)


def convolutional(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 10, 3, stride=2, padding=1, dilation=1, padding_mode="reflect"),
        nn.Tanh(),
        nn.Conv2d(10, 10, 3, groups=2),
        nn.Tanh(),
        nn.Conv2d(10, 8, (3, 1), padding="same", bias=False),
        nn.Flatten(2),
        nn.Conv1d(8, 7, 3, dilation=2),
        nn.Flatten(),
        nn.Linear(35, 12),
    ).to(dtype)


def truncated_twin(model: nn.Module, modes: int) -> nn.Module:
    """A copy whose unfolded weights are their truncated SVD, by torch itself."""
    import copy

    twin = copy.deepcopy(model)
    with torch.no_grad():
        for module in twin.modules():
            if type(module) in (nn.Linear, nn.Conv1d, nn.Conv2d) and getattr(module, "groups", 1) == 1:
                u, s, vh = torch.linalg.svd(module.weight.flatten(1).double(), full_matrices=False)
                out, inn = module.weight.flatten(1).shape
                if modes * (out + inn + 1) < out * inn:
                    module.weight.copy_(((u[:, :modes] * s[:modes]) @ vh[:modes]).reshape(module.weight.shape))
    return twin


def digits() -> Any:
    """The network that ships with the package, as its example builds it."""
    from safetensors.torch import load_file

    net = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    net.load_state_dict(load_file(demo_path()))
    return net.eval()
