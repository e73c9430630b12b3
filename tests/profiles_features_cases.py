"""Small vision networks, and what is done to each of them before features of its modes are made."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from modescope.profiles.basis import Basis
from modescope.profiles.features import Feature, visualise
from modescope.profiles.passing import bases
from modescope.profiles.survey import Survey, survey


@dataclass(frozen=True, eq=False)
class Looked:
    """A network that was looked over."""

    model: Any
    survey: Survey
    bases: dict[str, Basis]
    shape: tuple[int, ...]

    def features(self, site: str, modes: Any, **options: Any) -> tuple[Feature, ...]:
        given = {"survey": self.survey, "basis": self.bases.get(site), "shape": self.shape, "transforms": "none"}
        return visualise(self.model, site, modes, **(given | options))


def looked(model: Any, *shape: int, bn: str = "ignore") -> Looked:
    """At a few random images of this shape."""
    like = next(model.parameters())
    few = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(like.dtype)
    found = survey(model, few)
    return Looked(model, found, bases(model, found, bn=bn), shape)


def chain(*layers: Any, seed: int = 0) -> Any:
    """Layers in a row with weights of their own generator, in float64."""
    model = nn.Sequential(*layers).double()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=random, dtype=torch.float64) / max(tensor[0].numel(), 1) ** 0.5)
    return model


def small(channels: int = 1, *, inplace: bool = False, seed: int = 0) -> Any:
    """Two convolutions and a linear layer for images of 7 x 9."""
    return chain(
        nn.Conv2d(channels, 5, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(5, 6, 3),
        nn.ReLU(inplace=inplace),
        nn.Flatten(),
        nn.Linear(6 * 5 * 7, 4),
        seed=seed,
    )


@cache
def digits() -> tuple[Looked, Any, Any]:
    """A network that tells digits apart, images that it was not trained with, and their labels."""
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    images, labels = torch.tensor(data / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(target)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 32),
        nn.ReLU(inplace=True),
        nn.Linear(32, 10),
    )
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in model.parameters():
            scale = (2 / max(tensor[0].numel(), 1)) ** 0.5 if tensor.ndim > 1 else 0.0
            tensor.copy_(scale * torch.randn(tensor.shape, generator=random))
    first, second = ([torch.zeros_like(p) for p in model.parameters()] for _ in range(2))
    for step in range(1, 201):  # Adam by hand: the one of torch loads a compiler
        rows = torch.randint(0, 1300, (64,), generator=random)
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, g, m, v in zip(model.parameters(), slopes, first, second, strict=True):
                m.lerp_(g, 0.1)
                v.lerp_(g.square(), 0.001)
                p -= 3e-3 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    return looked(model, 1, 8, 8), images[1300:], labels[1300:]


def scores(found: Looked, site: str, images: Any, how: Any) -> Any:
    """(N, r) aggregated signals of images, by a hook written here."""
    kept = []
    module = next(one.module for one in found.survey.sites if one.name == site)
    handle = module.register_forward_hook(lambda _module, _args, output: kept.append(output.detach().clone()))
    with torch.no_grad():
        found.model(images)
    handle.remove()
    output = kept[-1].double()
    bias = 0.0 if module.bias is None else module.bias.detach().double()
    channels_last = output.movedim(1, -1) - bias  # of a linear layer with one row an image this changes nothing
    signals = (channels_last @ torch.tensor(found.bases[site].directions())).movedim(-1, 1)
    return how(signals if signals.ndim > 2 else signals[..., None]).numpy()


def state(model: Any) -> list[Any]:
    """Everything that making features must leave as it is."""
    parts: list[Any] = []
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        parts += [name, tensor.detach().clone().numpy().tobytes(), tensor.requires_grad, tensor.grad is None]
    for name, module in model.named_modules():
        hooks = (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
        parts += [name, module.training, hooks]
    random = np.random.get_state(legacy=True)  # noqa: NPY002 it is the global one that must not change
    return [*parts, torch.random.get_rng_state().numpy().tobytes(), random[1].tobytes(), random[2]]
