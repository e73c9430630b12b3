"""Claim: the channels of a CNN can be put in a smooth order that leaves its function as it is, and one knows how good the order is.

    python examples/permuted_channels.py            # three seeds, half a minute on one core

Convolutions 1-12-24-48 with batch norm and ReLU on digits, in double precision (`digits_cnn.py`). For every convolution the
order is sought in which neighbouring channels respond most alike, over 360 test images and all positions (`||D P S||^2`, D the
difference of neighbours), and all three orders are applied at once. Claimed, in every seed: the outputs change by less than
1e-12 of the largest, and no decision does; the responses are at least a tenth smoother than in the order that the network has,
and than in the mean of all orders; for 12 channels the order is proven to be the best, and for 24 and 48 it lies within a
twentieth of a lower bound; sorting by the first principal component is never better. A rotation is smoother still, but is no
network: it misses ReLU by more than a tenth of the largest response.

Not claimed: that training brings an order about or needs one, or that the order means anything. The network before its
training, the control, gains more from an order than the trained one, in every convolution; and the order that a network has is
as rough as the mean of all orders, to within a third. Nothing is said of networks whose channels are told apart elsewhere
(groups, shuffles): the library refuses those that it sees.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from digits_cnn import images, network, responses, train
from numpy.typing import NDArray
from torch import nn

from modescope import checkpoints, moments
from modescope.descrambling import reordering
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.operators import forward_difference
from modescope.descrambling.permutations import Ordering, smoothest_order
from modescope.descrambling.wiretaps import right
from modescope.spectral_graph.wiring.finding import find

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One convolution: its order beside that of its first principal component, and what a rotation does to ReLU."""

    name: str
    found: Ordering
    component: float
    mismatch: float


@dataclass(frozen=True)
class Network:
    """What one network shows, and how its outputs changed when all its orders were applied."""

    seed: int
    stage: str
    accuracy: float
    layers: tuple[Layer, ...]
    proof: reordering.Difference


def look(model: nn.Sequential, *, seed: int, stage: str) -> Network:
    """Find the order of every convolution, and run the network in all of them."""
    model.eval()
    _, (pictures, labels) = images()
    wiring = find(checkpoints.open(model), model=model, inputs=pictures[:2])
    state: Any = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    after, layers = dict(state), []
    for name, (before, behind) in responses(model, pictures).items():
        second = right(moments.of(behind))
        smooth = forward_difference(len(second))
        found, rotation = smoothest_order(second, smooth), smoothest(second, smooth)
        sorted_by = np.argsort(rotation.u[:, 0])
        component = float(((np.diff(behind[:, sorted_by], axis=1)) ** 2).sum() / len(behind))
        off = reordering.mismatch(rotation.p, lambda x: np.maximum(x, 0), before) / np.abs(behind).max()
        layers.append(Layer(name, found, component, float(off)))
        after = reordering.reordered(after, reordering.plan(wiring, name, found.order, after))

    def run(weights: Any) -> Array:
        twin = network(0).eval()
        twin.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        with torch.no_grad():
            outputs: Array = twin(pictures).numpy()
        return outputs

    accuracy = float((run(after).argmax(axis=1) == labels.numpy()).mean())
    return Network(seed, stage, accuracy, tuple(layers), reordering.difference(run, state, after))


def networks(seeds: Iterable[int]) -> list[Network]:
    """Every seed, before and after its training."""
    torch.set_num_threads(1)
    found = []
    for seed in seeds:
        model = network(seed)
        found.append(look(model, seed=seed, stage="initial"))
        train(model, seed)
        found.append(look(model, seed=seed, stage="trained"))
    return found


def table(found: Iterable[Network]) -> str:
    """One line a convolution."""
    head = "seed network  accuracy  outputs off  layer     channels  order/own  order/mean  own/mean  sorted/order  gap to bound"
    lines = [f"{head}  rotation/order  ReLU off"]
    for one in found:
        for i, layer in enumerate(one.layers):
            o = layer.found
            start = f"{one.seed:4d} {one.stage:8s} {one.accuracy:8.3f} {one.proof.relative:12.0e}" if i == 0 else " " * 35
            own = f"{o.value / o.identity:10.3f} {o.value / o.random_mean:11.3f} {o.identity / o.random_mean:9.3f}"
            gap = "proven" if o.exact else f"{o.gap or 0.0:.3f}"
            end = f"{layer.component / o.value:13.2f} {gap:>13s} {o.rotation / o.value:15.2f} {layer.mismatch:9.2f}"
            lines.append(f"{start}  {layer.name:9s} {len(o.order):8d} {own} {end}")
    return "\n".join(lines)


def main() -> None:
    """Train, reorder, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    print(table(networks(range(parser.parse_args().seeds))))


if __name__ == "__main__":
    main()
