"""Small networks of every shape that vision networks have: residual, dense, branched, attending, shared; seeded and untrained."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions around which the input is added, in place activations and all."""

    def __init__(self, n: int, m: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m)
        self.conv2, self.bn2 = nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(n, m, 1, stride, bias=False), nn.BatchNorm2d(m)) if stride > 1 else None

    def forward(self, x):
        kept = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + kept)


class ResNet18(nn.Module):
    """The 21 weighted layers of a ResNet-18, narrow."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        sides = (width, width, 2 * width, 4 * width, 8 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(Block(n, m, 1 if i == 0 else 2), Block(m, m, 1)) for i, (n, m) in enumerate(pairwise(sides))
        )
        self.fc = nn.Linear(8 * width, 5)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3)))


class Bottleneck(nn.Module):
    """The block of a ResNet-50."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(n, m, 1), nn.Conv2d(m, m, 3, padding=1), nn.Conv2d(m, n, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.conv3(self.relu(self.conv2(self.relu(self.conv1(x))))) + x)


class Inverted(nn.Module):
    """The block of a MobileNetV2: wide, depthwise, narrow, and the input added."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n, 3 * n, 1, bias=False),
            nn.BatchNorm2d(3 * n),
            nn.ReLU6(inplace=True),
            nn.Conv2d(3 * n, 3 * n, 3, padding=1, groups=3 * n, bias=False),
            nn.BatchNorm2d(3 * n),
            nn.ReLU6(inplace=True),
            nn.Conv2d(3 * n, n, 1, bias=False),
            nn.BatchNorm2d(n),
        )

    def forward(self, x):
        return x + self.body(x)


class DenseNet(nn.Module):
    """Batch norm and activation before each convolution, whose output is appended to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 4 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(4 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.classifier = nn.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(functional.relu(norm(x), inplace=True))], dim=1)
        return self.classifier(x.mean((2, 3)))


class Inception(nn.Module):
    """Branches of several sizes side by side, and an auxiliary head that runs in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Linear(3, 5)
        self.one = nn.Conv2d(3, 4, 1)
        self.three = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, 4, (1, 3), padding=(0, 1)))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 4, 1))
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        found = self.fc(torch.cat([self.one(x), self.three(x), self.pool(x)], dim=1).relu_().mean((2, 3)))
        return (found, self.aux(x.mean((2, 3)))) if self.training else found


class Fire(nn.Module):
    """The block of a SqueezeNet, with a convolution in place of a linear layer at the end of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.left, self.right = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 3, padding=1)
        self.final = nn.Conv2d(8, 5, 1)

    def forward(self, x):
        x = functional.relu(self.squeeze(x), inplace=True)
        x = functional.relu(torch.cat([self.left(x), self.right(x)], dim=1), inplace=True)
        return self.final(x).mean((2, 3))


class ViT(nn.Module):
    """Patches, a class token and one block of attention: torch's, or one linear layer for query, key and value."""

    def __init__(self, *, fused: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.batch_first = batch_first
        if fused:
            self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
        else:
            self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 5)

    def attended(self, x):
        if hasattr(self, "qkv"):
            q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
            return self.proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        if not self.batch_first:
            x = x.transpose(0, 1)
        found = self.attention(x, x, x, need_weights=False)[0]
        return found if self.batch_first else found.transpose(0, 1)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        x = x + self.attended(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class Shared(nn.Module):
    """One convolution called twice and one pool as often, registered in another order than run."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.pool, self.shared, self.stem = (
            nn.Linear(4, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Conv2d(3, 4, 1),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.pool(self.relu(self.shared(self.stem(x))))
        x = self.pool(self.relu(self.shared(x)))
        return self.head(x.mean((2, 3)))


def plain(*, inplace: bool = True) -> nn.Sequential:
    """Three convolutions and two linear layers in a row, with biases."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.ReLU(inplace=inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 12),
        nn.ReLU(inplace=inplace),
        nn.Linear(12, 5),
    )


def alexnet() -> nn.Module:
    """Features, a pool of fixed size, and a classifier with dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(32, 16), nn.ReLU(inplace=True),
        nn.Dropout(), nn.Linear(16, 5),
    )  # fmt: skip


def mobilenet() -> nn.Module:
    """Two inverted residuals between a stem and a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), Inverted(4), Inverted(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(4, 5)
    )


def along(dimensions: int) -> nn.Module:
    """Two convolutions over one, two or three axes."""
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dimensions - 1]
    return nn.Sequential(
        convolution(3, 4, 3, padding=1), nn.ReLU(inplace=True), convolution(4, 4, 2), pool(1), nn.Flatten(), nn.Linear(4, 5)
    )


def mlp() -> nn.Module:
    """Linear layers alone."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(inplace=True), nn.Linear(8, 5))


RGB = (3, 8, 8)
NETWORKS = {
    "ResNet-18": (ResNet18, RGB, 21),
    "ResNet-50 blocks": (lambda: nn.Sequential(nn.Conv2d(3, 8, 1), Bottleneck(8, 2), Bottleneck(8, 2)), RGB, 7),
    "MobileNetV2": (mobilenet, RGB, 8),
    "DenseNet": (DenseNet, RGB, 5),
    "GoogLeNet": (Inception, RGB, 5),
    "SqueezeNet": (Fire, RGB, 4),
    "ViT, torch's attention": (lambda: ViT(fused=False), RGB, 5),
    "ViT, time first": (lambda: ViT(fused=False, batch_first=False), RGB, 5),
    "ViT, one layer for qkv": (lambda: ViT(fused=True), RGB, 6),
    "AlexNet": (alexnet, (3, 16, 16), 4),
    "Sequential": (plain, RGB, 5),
    "MLP": (mlp, RGB, 2),
    "Conv1d": (lambda: along(1), (3, 9), 3),
    "Conv3d": (lambda: along(3), (3, 4, 5, 6), 3),
    "shared layers": (Shared, RGB, 4),
}
"""By name: how to make it, the shape of one image, and the number of calls of weighted layers in one pass."""


def made(name: str, *, seed: int = 0, count: int = 6) -> tuple[nn.Module, torch.Tensor]:
    """A network in evaluation mode whose batch norms have statistics that are not those of a start, and images for it."""
    build, shape, _ = NETWORKS[name]
    torch.manual_seed(seed)
    model = build().eval()
    return norms_of_use(model), torch.randn(count, *shape)


def norms_of_use(model: nn.Module) -> nn.Module:
    """Give batch norms gains and statistics as training would."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model
