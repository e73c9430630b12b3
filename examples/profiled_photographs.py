"""Claim: modes of two face detectors find the face in photographs and tell faces from scraps; those of shuffled weights do not.

    python scripts/models.py facenet-pytorch && pip install scikit-image
    python examples/profiled_photographs.py --page photographs.html --faces faces.html          # two minutes on one core

The first two networks of MTCNN (Zhang et al. 2016) look at pictures that ship with scikit-image: P-Net, which is convolutional
throughout and looks at 12x12 pixels at a time, at eight photographs in three sizes, without labels; R-Net, which looks at 24x24,
at the 100 faces and 100 scraps of background of `skimage.data.lfw_subset`. Beside each stand copies of it with the entries of every
weight in random places.

Claimed: the first mode of P-Net's output is the one that tells a face from none, to a cosine of 0.98; of all positions in all
pictures the one with its largest signal sees the only face in them, and so do the copies in at most one of ten; R-Net is right on
at least 99 % of its images, and from its second convolution on the share of the variance of its signals that lies between faces and
scraps is larger than in every copy; it is above 0.9 in its output, and in every layer more than five times what permuted labels
show; its hidden layers with at least 32 modes have largest eigenvalues above 1.5 times the edge of noise, the copies at most 1.2.

Not claimed: that the further exemplars of that mode are faces, most are round or bright, and P-Net hands over many candidates by
design; that the first mode of a hidden layer is the one of faces; that modes above the noise respond more selectively than random
directions do, which is not so in every layer of the VGG-16 of `vgg16_trunk.py`; anything on other photographs.
"""

import argparse
import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from downloads import archive
from numpy.typing import NDArray
from torch import Tensor, nn

import modescope as ms
from modescope.blocks import Note
from modescope.profiles.exemplars import Exemplars
from modescope.profiles.images import images
from modescope.profiles.passing import bases, passes
from modescope.profiles.receptive import fields
from modescope.profiles.survey import survey
from modescope.reports import Report

ORDINARY = ("astronaut", "chelsea", "coffee", "rocket", "stereo_motorcycle")
PHOTOGRAPHS = (*ORDINARY, "hubble_deep_field", "immunohistochemistry", "retina")
SHORT, SIDE, STEP = (64, 116, 168), 64, 52  # shorter sides of photographs, squares cut from them: windows of 12 occur once
FACE = ("astronaut", (75, 180), (180, 270))  # rows and columns of the photograph, by eye
OUTPUT, DRAWS = "conv4_1", 10
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Square:
    """Where a square was cut: photograph, first row and column in it, and how many of its pixels are one of the square."""

    name: str
    row: float
    column: float
    scale: float


@dataclass(frozen=True)
class Found:
    """What drives the first mode of an output furthest: photograph, the middle of what is seen in it, and the signal."""

    name: str
    row: float
    column: float
    signal: float

    @property
    def face(self) -> bool:
        """Whether its middle lies on the face."""
        name, rows, columns = FACE
        return self.name == name and rows[0] <= self.row <= rows[1] and columns[0] <= self.column <= columns[1]


@dataclass(frozen=True)
class Layer:
    """One layer of R-Net: separation of faces and scraps by `eta`, and its largest eigenvalue over the edge of noise."""

    name: str
    rank: int
    eta: float
    eta_permuted: float
    ratio: float | None


class PNet(nn.Module):
    """The proposal network, up to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1, self.pool1 = nn.Conv2d(3, 10, 3), nn.PReLU(10), nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of no face and a face, and corrections of the box."""
        x = self.prelu2(self.conv2(self.pool1(self.prelu1(self.conv1(x)))))
        x = self.prelu3(self.conv3(x))
        return self.conv4_1(x), self.conv4_2(x)


class RNet(nn.Module):
    """The refining network, up to the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1, self.pool1 = nn.Conv2d(3, 28, 3), nn.PReLU(28), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2, self.pool2 = nn.Conv2d(28, 48, 3), nn.PReLU(48), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_2, self.dense5_1 = nn.Linear(128, 4), nn.Linear(128, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of no face and a face, and corrections of the box."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.pool2(self.prelu2(self.conv2(x)))))
        x = self.prelu4(self.dense4(x.permute(0, 3, 2, 1).flatten(1)))
        corrections = self.dense5_2(x)
        return self.dense5_1(x), corrections


def detector(kind: type[nn.Module]) -> nn.Module:
    """P-Net or R-Net with the weights of facenet-pytorch."""
    model = kind()
    path = archive("facenet-pytorch") / f"facenet_pytorch/data/{kind.__name__.lower()}.pt"
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def shuffled(model: nn.Module, seed: int) -> nn.Module:
    """A copy with the entries of every weight in random places; biases and slopes stay."""
    copy, rng = deepcopy(model), np.random.default_rng(seed)
    for parameter in copy.parameters():
        if parameter.ndim > 1:
            entries = parameter.detach().numpy()
            parameter.data = torch.from_numpy(rng.permutation(entries.ravel()).reshape(entries.shape))
    return copy


def library() -> ModuleType:
    """`skimage.data`, whose pictures are part of the package.

    Raises:
        ModuleNotFoundError: scikit-image is missing.
    """
    try:
        import skimage.data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name}: the photographs ship with scikit-image. Run: pip install scikit-image") from error
    return skimage.data


@cache
def squares() -> tuple[Tensor, tuple[Square, ...]]:
    """Squares (n, 3, 64, 64) of all photographs in all sizes, as the networks take them, and where they are from."""
    found, places = [], []
    for name in PHOTOGRAPHS:
        given = getattr(library(), name)()
        pixels = torch.tensor((given[0] if isinstance(given, tuple) else given)[..., :3].copy()).movedim(-1, 0)[None].float()
        for short in SHORT:
            scale = min(pixels.shape[2:]) / short
            size = [round(side / scale) for side in pixels.shape[2:]]
            small = nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)[0]
            for row in range(0, size[0] - SIDE + 1, STEP):
                for column in range(0, size[1] - SIDE + 1, STEP):
                    found.append(small[:, row : row + SIDE, column : column + SIDE])
                    places.append(Square(name, row * scale, column * scale, scale))
    return scaled(torch.stack(found)), tuple(places)


@cache
def faces() -> tuple[Tensor, Array]:
    """Images (200, 3, 24, 24), grey, as R-Net takes them, and labels: 1 for a face."""
    grey = torch.tensor(library().lfw_subset()[:, :24, :24] * 255, dtype=torch.float32)
    return scaled(grey[:, None].expand(-1, 3, -1, -1).contiguous()), np.repeat([1, 0], 100)


def scaled(pixels: Tensor) -> Tensor:
    """What the networks were trained with, from pixels of 0 to 255."""
    return (pixels - 127.5) * 0.0078125


def direction(model: nn.Module) -> float:
    """Cosine of the first output mode of P-Net and the direction from no face to a face."""
    found = survey(model, squares()[0][:2], layers=OUTPUT)
    return float(bases(model, found)[OUTPUT].u[0] @ np.array([-1.0, 1.0]) / math.sqrt(2))


def best(model: nn.Module, count: int = 5) -> list[Found]:
    """Squares with the largest signals of the first output mode, and the position in each that makes it."""
    pictures, places = squares()
    found = survey(model, pictures[:2], layers=OUTPUT)
    modes = bases(model, found)
    extremes = Exemplars({OUTPUT: modes[OUTPUT].s.size}, count)
    for passed in passes(model, images(pictures), found, modes, aggregate_by="max"):
        extremes.add(passed)
    top, field = extremes.value()[OUTPUT].top, fields(model, found, pictures[:2])[OUTPUT]
    assert top.places is not None
    seen = []
    for index, signal, place in zip(top.indices[0], top.scores[0], top.places[0], strict=True):
        square, (rows, columns) = places[index], field.box(int(place))
        row, column = square.row + square.scale * sum(rows) / 2, square.column + square.scale * sum(columns) / 2
        seen.append(Found(square.name, row, column, float(signal)))
    return seen


def separated(model: nn.Module) -> tuple[float, list[Layer]]:
    """Accuracy of R-Net on faces and scraps, and its layers."""
    found = profiled_faces(model, features=0, shown=0, truncation=False)
    layers = []
    for layer in found.layers:
        apart, noise = layer.separation["z"].eta, layer.validation[0].trained
        assert apart.value is not None
        assert apart.null is not None
        ratio = None if noise is None else noise.ratio
        layers.append(Layer(layer.site, layer.basis.s.size, apart.value, apart.null.mean, ratio))
    assert found.accuracy is not None
    return found.accuracy, layers


def profiled_faces(model: nn.Module, **options: Any) -> ms.NetworkProfile:
    """R-Net on faces and scraps; its output for classes comes first."""
    pictures, labels = faces()
    return ms.profile(model, pictures, labels=labels, classes=("scrap", "face"), select="all", signed=False, **options)


def table(cosine: float, own: Sequence[Found], others: Sequence[Found], tests: Iterable[tuple[str, float, list[Layer]]]) -> str:
    """Exemplars of P-Net and of its copies, then a line for every layer of R-Net and its copies."""
    lines = [f"P-Net: cosine of its first output mode and the direction of faces {cosine:.3f}; the largest signals:"]
    lines += [f"  {one.name:20s} at {one.row:4.0f} {one.column:4.0f} {one.signal:6.2f} {'a face' * one.face}" for one in own]
    lines += [f"the largest signal of {len(others)} shuffled copies is on the face in {sum(one.face for one in others)}"]
    lines += ["R-Net      accuracy  eta (permuted labels), largest eigenvalue over the edge, by layer"]
    for name, accuracy, layers in tests:
        cells = (
            f"{s.name} {s.eta:.2f} ({s.eta_permuted:.3f}) {'-' if s.ratio is None else format(s.ratio, '.2f')}" for s in layers
        )
        lines.append(f"{name:10s} {accuracy:8.3f}  {'; '.join(cells)}")
    return "\n".join(lines)


def page(model: nn.Module, *, features: int = 4) -> Report:
    """P-Net on photographs: exemplars are the parts of pictures that the position sees which made the signal."""
    found = ms.profile(model, squares()[0], aggregate="max", select="all", features=features)
    report = found.report()
    note = Note(f"{len(squares()[0])} squares of {len(PHOTOGRAPHS)} photographs in three sizes, without labels, in P-Net of MTCNN.")
    return Report((note, *report.blocks), report.document, report.items, title="Photographs in a face detector", code=report.code)


def main() -> None:
    """Look, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, help="write the profile of P-Net on photographs to this .html file")
    parser.add_argument("--faces", type=Path, help="write the profile of R-Net on faces to this .html file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    small, large = detector(PNet), detector(RNet)
    others = [best(shuffled(small, seed), 1)[0] for seed in range(DRAWS)]
    copies = [(f"shuffled {seed}", *separated(shuffled(large, seed))) for seed in range(DRAWS)]
    print(table(direction(small), best(small), others, [("R-Net", *separated(large)), *copies]))
    if options.page:
        page(small).save(options.page)
    if options.faces:
        profiled_faces(large, features=4, truncation=True).save(options.faces)


if __name__ == "__main__":
    main()
