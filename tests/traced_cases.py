"""Small architectures, and an oracle of who feeds whom: change one channel that a layer writes and see which inputs move."""

import math
from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 the name torch gives it

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)
BUMP = 30.0


def feeds(model, inputs):
    """Every (writer, reader) among the modules with weights, with its pairs (channel written, channel read) that are joined.

    One run per written channel: its module gives its clean output plus a bump, all others give theirs as it was, so that only
    what lies between two modules can carry the bump. Normalisations are cut down to their gains, and attention attends to all
    alike: what joins everything to everything is no channel of its own.
    """
    model = model.double().eval()
    inputs = tuple(value.double() if value.is_floating_point() else value for value in inputs)
    names = {module: name for name, module in model.named_modules() if isinstance(module, WEIGHTED)}
    with torch.no_grad(), _simplified():
        clean_in, clean_out = _recorded(model, inputs, names, {}, None)
        found = {}
        for writer in clean_out:
            axis = _axis(writer)
            for channel in range(clean_out[writer][0].shape[axis]):
                moved, _ = _recorded(model, inputs, names, clean_out, (writer, channel))
                for reader, seen in moved.items():
                    for before, after in zip(clean_in[reader], seen, strict=True):
                        if before.is_floating_point():
                            change = (before - after).abs().movedim(_axis(reader), 0).flatten(1).amax(1)
                            pairs = {(channel, int(at)) for at in torch.nonzero(change > 1e-9)[:, 0]}
                            if pairs:
                                found.setdefault((names[writer], names[reader]), set()).update(pairs)
    return found


def told(wiring):
    """The same from a wiring, by the names of the modules."""
    found = {}
    sizes = {layer.name: layer.channels for layer in wiring.layers}
    for link in wiring.links:
        rows = range(sizes[link.target]) if link.rows is None else link.rows.tolist()
        pairs = {(row, at) for at, row in enumerate(rows) if row >= 0}
        key = tuple(end.rpartition(".weight")[0] for end in (link.source, link.target))
        found.setdefault(key, set()).update(pairs)
    return found


def _axis(module):
    return 1 if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d) else -1


def _recorded(model, inputs, modules, frozen, bumped):
    seen, gave = {}, {}

    def before(module, args):
        seen.setdefault(module, []).append(args[0].clone())

    def after(module, _args, output):
        calls = gave.setdefault(module, [])
        if frozen:
            output = frozen[module][len(calls)].clone()
            if module is bumped[0]:
                output.movedim(_axis(module), 0)[bumped[1]] += BUMP
        calls.append(output.clone())
        return output

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(before).remove)
            stack.callback(module.register_forward_hook(after).remove)
        model(*inputs)
    return seen, gave


@contextmanager
def _simplified():
    def last(x, _shape, weight=None, bias=None, eps=0.0):
        return (x if weight is None else x * weight) + (0 if bias is None else bias)

    def first(x, _groups, weight=None, bias=None, eps=0.0):
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return x * weight.reshape(shape) + bias.reshape(shape)

    def own(module, x):
        return x * module.weight

    def alike(scores, dim):
        return torch.ones_like(scores) / scores.shape[dim]

    def attended(query, _key, value, **_options):
        return torch.ones(query.shape[-2], value.shape[-2], dtype=value.dtype) @ value

    with ExitStack() as stack:
        for place, name, simple in (
            *((F, "layer_norm", last), (F, "group_norm", first), (HandRMSNorm, "forward", own)),
            *((torch.Tensor, "softmax", alike), (F, "scaled_dot_product_attention", attended)),
        ):
            stack.enter_context(patch.object(place, name, simple))
        yield


class HandRMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(size) + 0.5)

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def block(*layers):
    return nn.Sequential(*layers)


class ChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 3, 3), nn.Linear(3 * 4, 5)

    def forward(self, x):
        return self.fc(F.max_pool2d(F.relu(self.conv(x)), 2).permute(0, 2, 3, 1).reshape(x.shape[0], -1))


class Basic(nn.Module):
    def __init__(self, in_, out, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = block(nn.Conv2d(in_, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if in_ != out else None

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.blocks = block(Basic(3, 3), Basic(3, 4, 2), Basic(4, 4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(3 + 2 * at) for at in range(3)])
        self.convs = nn.ModuleList([nn.Conv2d(3 + 2 * at, 2, 3, padding=1) for at in range(3)])
        self.last = nn.Linear(9, 2)

    def forward(self, x):
        found = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            found.append(conv(F.relu(norm(torch.cat(found, 1)))))
        return self.last(torch.cat(found, 1).mean((2, 3)))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b1 = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 1)
        self.b2, self.c, self.head = nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(3, 2, 1), nn.Conv2d(7, 2, 1)

    def forward(self, x):
        x = self.stem(x).relu()
        branches = [self.a(x), self.b2(self.b1(x).relu()), self.c(F.max_pool2d(x, 3, 1, 1))]
        return self.head(torch.cat(branches, dim=1).relu_())


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.mid = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.up, self.join, self.out = nn.ConvTranspose2d(4, 2, 2, 2), nn.Conv2d(5, 3, 3, padding=1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        skip = F.relu(self.down(x))
        up = self.up(F.relu(self.mid(F.max_pool2d(skip, 2))))
        up = F.pad(up, (0, skip.shape[3] - up.shape[3], 0, skip.shape[2] - up.shape[2]))
        return self.out(F.interpolate(F.relu(self.join(torch.cat([skip, up], 1))), scale_factor=2))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 1, groups=2)
        self.depth, self.two = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 4, 1, groups=2)

    def forward(self, x):
        x = F.relu(self.one(self.stem(x)))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.two(self.depth(x))


class Inverted(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3)
        self.expand = block(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.ReLU6(inplace=True))
        self.depth = block(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6), nn.ReLU6(inplace=True))
        self.squeeze, self.excite = nn.Linear(6, 2), nn.Linear(2, 6)
        self.project = block(nn.Conv2d(6, 3, 1), nn.BatchNorm2d(3))
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, x):
        x = self.stem(x)
        y = self.depth(self.expand(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean([2, 3])))))
        return self.head(x + self.project(y * gate[:, :, None, None]))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (layer(x).view(n, t, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = (q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)).softmax(-1)
        return self.out((scores @ v).transpose(1, 2).reshape(n, t, d))


class Pre(nn.Module):
    def __init__(self, width, heads, norm):
        super().__init__()
        self.norm1, self.norm2, self.attention = norm(width), norm(width), Attention(width, heads)
        self.up, self.down = nn.Linear(width, 5), nn.Linear(5, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gated(nn.Module):
    """Pre-norm blocks with RMS norms written by hand, fused attention, and a gated MLP."""

    def __init__(self, width=6):
        super().__init__()
        self.norm1, self.norm2 = HandRMSNorm(width), HandRMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gate, self.up, self.down = nn.Linear(width, 5), nn.Linear(width, 5), nn.Linear(5, width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in (q, k, v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, d))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Transformer(nn.Module):
    def __init__(self, make, width=6):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(11, width), nn.Embedding(5, width)
        self.blocks, self.norm, self.head = block(make(), make()), nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))[:, -1].softmax(-1)


class Post(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.attention, self.norm1, self.norm2 = Attention(width, 2), nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 5), nn.Linear(5, width)

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.down(F.relu(self.up(x))))


class Vision(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.patches = nn.Conv2d(2, width, 4, 4)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 5, width))
        self.block, self.norm, self.head = Pre(width, 2, nn.LayerNorm), nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(self.norm(self.block(x))[:, 0])


class Windows(nn.Module):
    """Patch merging and shifted windows, as in a Swin transformer."""

    def __init__(self):
        super().__init__()
        self.stem, self.mix, self.merge, self.norm = nn.Conv2d(2, 3, 1), nn.Linear(3, 3), nn.Linear(12, 4), nn.LayerNorm(12)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        y = torch.roll(x, (-1, -1), (1, 2)).view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        y = self.mix(y).view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        x = x + torch.roll(y, (1, 1), (1, 2))
        parts = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        return self.merge(self.norm(torch.cat(parts, -1)))


class Grouped(nn.Module):
    """Three query heads share the values of one."""

    def __init__(self):
        super().__init__()
        self.stem, self.query, self.key = nn.Linear(4, 6), nn.Linear(6, 12), nn.Linear(6, 4)
        self.value, self.out = nn.Linear(6, 4), nn.Linear(12, 6)

    def forward(self, x):
        x = self.stem(x)
        n, t, _ = x.shape
        q = self.query(x).view(n, t, 6, 2).transpose(1, 2)
        k, v = (layer(x).view(n, t, 2, 2).transpose(1, 2).repeat_interleave(3, 1) for layer in (self.key, self.value))
        y = torch.einsum("bhqk,bhkd->bhqd", torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1), v)
        return self.out(y.permute(0, 2, 1, 3).flatten(2))


class Branching(nn.Module):
    """Control flow that depends on the numbers, slices written in place, and a vector of constants made on the way."""

    def __init__(self):
        super().__init__()
        self.first, self.left, self.right, self.last = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(x)
        x = F.relu(x) if float(x.sum()) > -1e9 else self.left(x).repeat(1, 2)
        y = x.new_zeros(x.shape[0], 4)
        y[:, :2] = self.left(x)
        y[:, 2:] += self.right(x)
        return self.last(y * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=x.dtype))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(F.relu(self.shared(F.relu(self.shared(F.relu(self.first(x)))))))


class PaddedSkip(nn.Module):
    """A residual connection whose stream is widened with zeros."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.head = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 5, 3, 2, 1), nn.Conv2d(5, 2, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.head(F.relu(self.conv(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))))


class ByHand(nn.Module):
    """Maps written as products of matrices, the weight on either side, and an unembedding tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.tokens, self.one, self.two = nn.Embedding(7, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, ids):
        x = torch.tanh(self.tokens(ids))
        x = torch.addmm(x.new_zeros(4), x, self.one.weight.t())
        x = (self.two.weight @ x.t()).t()
        return x @ self.tokens.weight.t()


class Halves(nn.Module):
    """What becomes of the two halves of one layer's outputs, before the next layer reads them."""

    def __init__(self, joined, writer=None, reader=None):
        super().__init__()
        self.joined, self.writer, self.reader = joined, writer or nn.Linear(3, 8), reader or nn.Linear(4, 2)

    def forward(self, x):
        return self.reader(self.joined(self.writer(x)))


def rotated(x):
    one, other = x.chunk(2, -1)
    return 0.5 * x + 0.3 * torch.cat([-other, one], -1)


class Stacked(nn.Module):
    """Outputs of two layers, side by side along an axis of their own, mixed and added to the stream they were made from."""

    def __init__(self, mixed):
        super().__init__()
        self.stem, self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.weights, self.reader, self.mixed = nn.Parameter(torch.rand(2) + 0.5), nn.Linear(4, 2), mixed

    def forward(self, x):
        x = self.stem(x)
        return self.reader(x + self.mixed(self.weights, torch.stack([self.one(x), self.two(x)], 1)))


class Selected(nn.Module):
    """Branches weighed channel by channel by another layer, as in selective kernels."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.gate, self.reader = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(3, 8), nn.Linear(4, 2)

    def forward(self, x):
        branches = torch.stack([self.one(x), self.two(x)], 1)
        return self.reader((branches * torch.sigmoid(self.gate(x)).view(-1, 2, 4)).sum(1))


class Joint(nn.Module):
    """Two sorts of tokens in one attention, each with maps of its own."""

    def __init__(self):
        super().__init__()
        self.images, self.texts = nn.Linear(3, 4), nn.Linear(5, 4)
        self.image_values, self.text_values = nn.Linear(4, 4), nn.Linear(4, 4)
        self.image_out, self.text_out = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, images, texts):
        images, texts = self.images(images), self.texts(texts)
        both = torch.cat([images, texts], 1)
        values = torch.cat([self.image_values(images), self.text_values(texts)], 1)
        found = F.scaled_dot_product_attention(both, both, values)
        at = images.shape[1]
        return images + self.image_out(found[:, :at]), texts + self.text_out(found[:, at:])


def vectors(*shape):
    return (torch.randn(2, *shape),)


MEETINGS = OrderedDict(
    sum_of_halves=(lambda: Halves(lambda h: h[:, :4] + h[:, 4:]), lambda: vectors(3)),
    difference_of_halves=(lambda: Halves(lambda h: h[:, :4].relu() - h[:, 4:].relu()), lambda: vectors(3)),
    product_of_halves=(
        lambda: Halves(lambda h: torch.mul(*h.chunk(2, 1)), nn.Conv2d(2, 6, 1), nn.Conv2d(3, 2, 1)),
        lambda: image(2, 3, 3),
    ),
    larger_of_halves=(lambda: Halves(lambda h: torch.max(*h.split(4, -1))), lambda: vectors(3)),
    gated_half=(lambda: Halves(lambda h: h[:, :4] * F.gelu(h[:, 4:])), lambda: vectors(3)),
    reversed=(lambda: Halves(lambda h: h + h.flip(-1), nn.Linear(3, 4)), lambda: vectors(3)),
    rotary=(lambda: Halves(rotated, nn.Linear(3, 4)), lambda: vectors(3)),
    maxout=(lambda: Halves(lambda h: h.view(-1, 4, 2).max(-1)[0]), lambda: vectors(3)),
    maxout_and_skip=(lambda: Halves(lambda h: h[:, :4] + h.view(-1, 4, 2).amax(-1)), lambda: vectors(3)),
    einsum_of_stack=(lambda: Stacked(lambda w, both: torch.einsum("k,bkd->bd", w, both)), lambda: vectors(3)),
    product_with_stack=(lambda: Stacked(lambda w, both: w @ both), lambda: vectors(3)),
    mean_of_stack=(lambda: Stacked(lambda w, both: both.mean(1)), lambda: vectors(3)),
    weighed_branches=(Selected, lambda: vectors(3)),
    joint_attention=(Joint, lambda: (torch.randn(1, 3, 3), torch.randn(1, 2, 5))),
)
"""Channels of one layer that meet each other, and channels of several layers that meet along an axis of their own."""


def image(*shape):
    return (torch.randn(1, *shape),)


def ids(n=5):
    return (torch.arange(n)[None] % 7,)


CASES = OrderedDict(
    mlp=(lambda: block(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 5), nn.Softmax(1)), lambda: (torch.randn(2, 3),)),
    cnn=(
        lambda: block(
            nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
            *(nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)),
            *(nn.LeakyReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(16, 5)),
        ),
        lambda: image(2, 8, 8),
    ),
    channels_last=(ChannelsLast, lambda: image(2, 6, 6)),
    resnet=(ResNet, lambda: image(2, 6, 6)),
    densenet=(Dense, lambda: image(2, 4, 4)),
    inception=(Inception, lambda: image(2, 4, 4)),
    unet=(UNet, lambda: image(2, 5, 5)),
    shuffle=(Shuffle, lambda: image(2, 4, 4)),
    mobilenet=(Inverted, lambda: image(2, 6, 6)),
    pre_norm=(lambda: Transformer(lambda: Pre(6, 2, nn.LayerNorm)), ids),
    rms_norm=(lambda: Transformer(lambda: Pre(6, 3, HandRMSNorm)), ids),
    post_norm=(lambda: Transformer(Post), ids),
    vision=(Vision, lambda: image(2, 8, 8)),
    windows=(Windows, lambda: image(2, 8, 8)),
    grouped_query=(Grouped, lambda: (torch.randn(1, 3, 4),)),
    branching=(Branching, lambda: (torch.randn(2, 3),)),
    padded_skip=(PaddedSkip, lambda: image(2, 4, 4)),
    sequence=(lambda: block(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.GELU(), nn.Conv1d(3, 4, 3, groups=1)), lambda: image(2, 9)),
)


def built(name):
    """A model with random batch statistics, and an input."""
    torch.manual_seed(sum(map(ord, name)))
    make, inputs = {**CASES, **MEETINGS}[name]
    model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.05, 0.1)
            nn.init.uniform_(module.bias, 1, 2)  # no channel is dead, or saturated everywhere
    return model, inputs()
