"""Claim: training a small VGG makes edges that random writers do not have, and kernels smoother than the chi-squared rule assumes.

    python scripts/models.py dataset-fashion-mnist && python examples/vgg_fashion_mnist.py       # three seeds, a few minutes

A VGG-style network (16-16-32-32-64-64, 3x3, max pooling after the first two pairs, one linear layer) on 10,000 Fashion-MNIST
pictures of 14x14, from Gaussian weights, with batch norm and without it at the same weight decay. Every network is looked at as it
starts, as it ends, and as it ends with the output side of each weight turned by a random rotation, which keeps every kernel and
destroys all that consecutive layers agree on: whatever edges are left then are false.

Claimed, for every seed and both arms: kernels have fewer effective taps after training, averaged over the gaps; the exact law shows
at least five edges after training, the top chain has p < 0.001, and the isotropic Beta and the chi-squared rule show more edges
than the exact law; in all initial and turned networks together the exact law shows as good as none, as its level says.

Not claimed: that the additional edges of those two rules mean anything (over three seeds the Beta rule drew one in three of six
turned networks, at a level of 5 %); an effect of batch norm, though in these seeds there are fewer edges with it; that any mode
detects edges of pictures, for which every mode and random smooth filters would have to be compared; anything on other data.
"""

import argparse
import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from downloads import archive
from torch import Tensor, nn

import modescope as ms

WIDTHS, TAPS, DECAY, RATE, BATCH, EPOCHS, PICTURES = (16, 16, 32, 32, 64, 64), 3, 2e-3, 0.05, 64, 6, 10_000
RULES = ("rotation", "beta", "chi_squared")
State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """One network at one stage: effective taps of each gap, edges by rule, the top chain, and the smallest quarters."""

    seed: int
    batch_norm: bool
    stage: str
    accuracy: float
    taps: tuple[float, ...]
    edges: Mapping[str, int]
    chain: float
    quarters: tuple[float, ...]


def data(kind: str, count: int) -> tuple[Tensor, Tensor]:
    """The first pictures of a set ("train", "t10k"), halved in size, and their labels."""
    folder = archive("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"
    pixels = gzip.decompress((folder / f"{kind}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{kind}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 14, 2, 14, 2)[:count].mean(axis=(2, 4)) / 255.0
    return torch.tensor(images[:, None], dtype=torch.float32), torch.tensor(
        np.frombuffer(labels, np.uint8, offset=8)[:count].copy()
    ).long()


def network(generator: torch.Generator, *, batch_norm: bool) -> nn.Sequential:
    """Untrained, with weights from N(0, 2 / fan-in): for these the law of the null holds exactly."""
    parts: list[nn.Module] = []
    channels = 1
    for place, width in enumerate(WIDTHS):
        parts += [nn.Conv2d(channels, width, TAPS, padding=1), *([nn.BatchNorm2d(width)] if batch_norm else []), nn.ReLU()]
        if place in {1, 3}:
            parts.append(nn.MaxPool2d(2))
        channels = width
    model = nn.Sequential(*parts, nn.Flatten(), nn.Linear(channels * 9, 10))
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * (2 / layer.weight[0].numel()) ** 0.5
            layer.bias.data.zero_()
    return model


def train(seed: int, *, batch_norm: bool, epochs: int, pictures: int) -> tuple[tuple[State, float], tuple[State, float]]:
    """A network before and after its training, with its accuracy on 2,000 test pictures."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    model, (images, labels) = network(generator, batch_norm=batch_norm), data("train", pictures)
    before, optimizer = _state(model), torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=DECAY)
    for epoch in range(epochs):
        model.train()
        optimizer.param_groups[0]["lr"] = RATE * (0.1 if epoch >= 0.8 * epochs else 1.0)
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return before, _state(model)


def _state(model: nn.Module) -> tuple[State, float]:
    model.eval()
    images, labels = data("t10k", 2000)
    with torch.no_grad():
        right = float((model(images).argmax(dim=1) == labels).float().mean())
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}, right


def turned(state: State, seed: int) -> State:
    """The same readers behind random writers: each weight times a random rotation of its outputs."""
    rng, found = np.random.default_rng(seed), {}
    for name, weight in state.items():
        if weight.ndim > 1:
            q, r = np.linalg.qr(rng.normal(size=(len(weight), len(weight))))
            found[name] = np.tensordot(q * np.sign(np.diag(r)), weight.astype(np.float64), 1)
    return found


def look(state: State, **said: object) -> Network:
    """Count edges by every rule, on the weights as they are stored."""
    weights = {name: weight for name, weight in state.items() if weight.ndim > 1}
    graphs = {rule: ms.graph(weights, null=rule, structure=(), workers=1) for rule in RULES}
    channels = ms.graph(weights, convention="channel", structure="near_kernels", workers=1)
    exact = graphs["rotation"]
    edges = {rule: sum(one.significant for one in graph) for rule, graph in graphs.items()}
    quarters = tuple(one.structure["near_kernels"].quarter.z or 0.0 for one in channels)
    return Network(
        **said, taps=tuple(float(one.effective.mean()) for one in exact), edges=edges, chain=exact.chains[0].p, quarters=quarters
    )


def networks(seeds: Iterable[int], *, epochs: int = EPOCHS, pictures: int = PICTURES) -> list[Network]:
    """Every seed and arm: initial, trained, and trained with turned writers."""
    found = []
    for seed in seeds:
        for arm in (True, False):
            (before, first), (after, last) = train(seed, batch_norm=arm, epochs=epochs, pictures=pictures)
            stages = (("initial", before, first), ("trained", after, last), ("turned", turned(after, seed), float("nan")))
            found += [look(state, seed=seed, batch_norm=arm, stage=name, accuracy=right) for name, state, right in stages]
    return found


def table(found: Iterable[Network]) -> str:
    """One line a network and stage."""
    lines = [
        "seed  norm  stage    accuracy   exact   beta   chi2  top chain p   effective taps by gap | z of the smallest quarters"
    ]
    for one in found:
        start = f"{one.seed:4d}  {'yes' if one.batch_norm else 'no':>4s}  {one.stage:8s} {one.accuracy:8.3f}"
        counts = " ".join(f"{one.edges[rule]:6d}" for rule in RULES)
        taps, quarters = (" ".join(f"{value:5.1f}" for value in values) for values in (one.taps, one.quarters))
        lines.append(f"{start} {counts} {one.chain:12.1e}   {taps} | {quarters}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    print(table(networks(range(parser.parse_args().seeds))))
