"""Small models with every kind of layer and activation, and a reference that calls the modules one by one."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 the name torch gives it


class Functional(nn.Module):
    """fc1 -> an activation written as a function -> fc2."""

    def __init__(self, function, width=6):
        super().__init__()
        torch.manual_seed(1)
        self.fc1, self.fc2, self.function = nn.Linear(5, width), nn.Linear(width, 3), function

    def forward(self, x):
        return self.fc2(self.function(self.fc1(x)))


def put_negative_to_zero(y):
    return y.clamp(min=0)


# In every case the values of the activation, by a function of its input that touches nothing in place.
FUNCTIONS = {
    "F.relu": (F.relu, torch.relu),
    "F.relu in place": (lambda y: F.relu(y, inplace=True), torch.relu),
    "torch.relu": (torch.relu, torch.relu),
    "Tensor.relu": (lambda y: y.relu(), torch.relu),
    "Tensor.relu_": (lambda y: y.relu_(), torch.relu),
    "torch.relu_": (torch.relu_, torch.relu),
    "by keyword": (lambda y: F.relu(input=y), torch.relu),
    "clamp": (put_negative_to_zero, torch.relu),
    "tanh": (torch.tanh, torch.tanh),
    "tanh_": (lambda y: y.tanh_(), torch.tanh),
    "F.tanh": (F.tanh, torch.tanh),
    "sigmoid": (torch.sigmoid, torch.sigmoid),
    "gelu": (F.gelu, F.gelu),
    "silu": (F.silu, F.silu),
    "silu in place": (lambda y: F.silu(y, inplace=True), F.silu),
    "leaky_relu_": (lambda y: F.leaky_relu_(y, 0.2), lambda y: F.leaky_relu(y, 0.2)),
    "softplus": (F.softplus, F.softplus),
    "logsigmoid": (F.logsigmoid, F.logsigmoid),
    "sine": (lambda y: torch.sin(y), torch.sin),
    "taken twice": (lambda y: torch.relu(y) + torch.tanh(y), torch.relu),
    "taken and passed on": (lambda y: y + torch.relu(y), torch.relu),
    "after a look at its shape": (lambda y: torch.relu(y) if y.size(0) else y.mean(0), torch.relu),
}

MODULES = {
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6(),
    "PReLU": nn.PReLU(),
    "ELU in place": nn.ELU(inplace=True),
    "SELU": nn.SELU(),
    "CELU": nn.CELU(),
    "GELU": nn.GELU(),
    "SiLU in place": nn.SiLU(inplace=True),
    "Mish": nn.Mish(),
    "Tanh": nn.Tanh(),
    "Sigmoid": nn.Sigmoid(),
    "Softplus": nn.Softplus(),
    "Softsign": nn.Softsign(),
    "Hardtanh in place": nn.Hardtanh(inplace=True),
    "Hardswish": nn.Hardswish(),
    "Hardsigmoid": nn.Hardsigmoid(),
    "LogSigmoid": nn.LogSigmoid(),
    "Tanhshrink": nn.Tanhshrink(),
    "Hardshrink": nn.Hardshrink(),
    "Softshrink": nn.Softshrink(),
    "RReLU": nn.RReLU(),
    "Threshold in place": nn.Threshold(0.1, -1.0, inplace=True),
    "LeakyReLU in place": nn.LeakyReLU(inplace=True),
}


class HandwrittenSwish(nn.Module):
    """x sigmoid(x) of its own hand: the sigmoid takes the layer's output, but is not the activation."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class Residual(nn.Module):
    """Adds in place before the activation, as image networks do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.fc1, self.fc2, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.fc2(self.act(self.fc1(x)))
        y += x
        return self.act(y)


CONVOLUTIONS = {
    "1d": lambda: nn.Conv1d(3, 5, 4, stride=2, padding=1),
    "2d": lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    "2d same, reflected": lambda: nn.Conv2d(2, 3, 4, padding="same", padding_mode="reflect"),
    "2d circular": lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
    "3d": lambda: nn.Conv3d(2, 3, (1, 2, 3), padding=(0, 1, 1)),
    "transposed 1d": lambda: nn.ConvTranspose1d(3, 4, 5, stride=3, padding=1, output_padding=2, dilation=2),
    "transposed 2d": lambda: nn.ConvTranspose2d(3, 2, (2, 3), stride=(2, 1), padding=(0, 2)),
    "transposed 3d": lambda: nn.ConvTranspose3d(2, 2, 2, stride=2),
}


def image(convolution, batch=4):
    """An input for a convolution."""
    torch.manual_seed(3)
    return torch.randn(batch, convolution.in_channels, *(9, 8, 7)[: len(convolution.kernel_size)])


def rows(tensor, axis=-1):
    """One sample per row, in float64."""
    return tensor.detach().movedim(axis, -1).reshape(-1, tensor.shape[axis]).double().numpy()


def state(model):
    """Everything of a model that must be as it was."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_always_called), len(m._forward_hooks_with_kwargs))
        for m in model.modules()
    ]
    tensors = [t.detach().clone() for t in (*model.parameters(), *model.buffers())]
    flags = [m.training for m in model.modules()]
    asks = [(p.requires_grad, p.grad) for p in model.parameters()]
    return hooks, tensors, flags, asks, torch.get_rng_state(), torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled()


def same(one, other):
    """Whether two states are equal to the bit."""
    tensors = all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True)) and torch.equal(one[4], other[4])
    return tensors and (one[0], one[2], one[3], one[5], one[6]) == (other[0], other[2], other[3], other[5], other[6])


class Attending(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self, attention, **options):
        super().__init__()
        self.attn, self.options = attention, options
        with torch.no_grad():
            for tensor in (attention.in_proj_bias, attention.out_proj.bias):  # which torch makes 0
                if tensor is not None:
                    tensor.normal_(generator=torch.Generator().manual_seed(4))
        self.eval()

    def forward(self, x):
        return self.attn(x, x, x, **self.options)[0]
