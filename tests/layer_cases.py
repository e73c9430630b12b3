"""Tensors for the tests of layer kinds: counted entries, live torch modules, and dense twins of operands never formed."""

from functools import partial
from itertools import product

import numpy as np

from modescope.layers import matrices
from modescope.matrix import Blocks, Convolution, Matrix, Product, Skip, Tensor

_SETTINGS = """groups stride padding dilation kernel_size num_heads embed_dim hidden_size num_layers bidirectional proj_size
in_features out_features num_embeddings"""


def counting(name, shape, stored="float32", *, aliases=(), **declared):
    """A tensor whose entries count up in row-major order; `config_x` is declared as "config.x", `lora_x` as "lora.x"."""
    said = {key.replace("config_", "config.", 1).replace("lora_", "lora.", 1): str(value) for key, value in declared.items()}
    return Tensor(name, tuple(shape), stored, partial(counted, tuple(shape)), said, tuple(aliases))


def counted(shape):
    return np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape)


def filled(name, array, stored="float64", **declared):
    """A tensor with the entries of an array."""
    return Tensor(name, array.shape, stored, partial(np.asarray, array), {key: str(value) for key, value in declared.items()})


def by_name(*tensors):
    return {tensor.name: tensor for tensor in tensors}


def seen(*tensors, view=None):
    """Every matrix of a checkpoint made of these tensors, by (tensor, view)."""
    return {(m.tensor, m.view): m for m in matrices(tensors, view=view) if isinstance(m, Matrix)}


def skipped(*tensors, view=None):
    """Every reason of a checkpoint made of these tensors, by name."""
    return {s.name: s.reason for s in matrices(tensors, view=view) if isinstance(s, Skip)}


def live(module, prefix="", *, bare=False):
    """Parameters and buffers of a torch module as tensors; with nothing declared where `bare`."""
    found = []
    for path, part in module.named_modules():
        for kind, entries in (("parameter", part.named_parameters(recurse=False)), ("buffer", part.named_buffers(recurse=False))):
            for leaf, values in entries:
                declared = {"module": type(part).__name__, **_settings(part)}
                if kind == "buffer":
                    declared["buffer"] = "true"
                array = values.detach().numpy().copy()
                name = ".".join(filter(None, (prefix, path, leaf)))
                found.append(Tensor(name, array.shape, array.dtype.name, partial(np.asarray, array), {} if bare else declared))
    return found


def _settings(part):
    values = {key: getattr(part, key) for key in _SETTINGS.split() if hasattr(part, key)}
    return {key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for key, value in values.items()}


def formed(matrix):
    """The entries (out, in) of a matrix, also where Modescope never forms them."""
    operand = matrix.read()
    match operand:
        case Product():
            return operand.scale * (operand.left @ operand.right)
        case Blocks():
            count, rows, columns = operand.blocks.shape
            whole = np.zeros((count * rows, count * columns))
            for index, block in enumerate(operand.blocks):
                whole[index * rows : (index + 1) * rows, index * columns : (index + 1) * columns] = block
            return whole
        case Convolution():
            return _circulant(operand)
        case _:
            return operand


def _circulant(c):
    """The operator as a matrix: output (channel, position), input (channel, position), indices wrapped around the grid."""
    coarse = tuple(n // t for n, t in zip(c.grid, c.stride, strict=True))
    outputs, inputs = c.kernel.shape[:2]
    whole = np.zeros((outputs, *coarse, inputs * c.groups, *c.grid))
    for channel in range(outputs):
        group = channel // (outputs // c.groups)
        for at in product(*map(range, coarse)):
            for tap in product(*map(range, c.kernel.shape[2:])):
                where = tuple((p * t + k * d) % n for p, t, k, d, n in zip(at, c.stride, tap, c.dilation, c.grid, strict=True))
                for i in range(inputs):
                    whole[(channel, *at, group * inputs + i, *where)] += c.kernel[(channel, i, *tap)]
    return whole.reshape(outputs * int(np.prod(coarse)), -1)


def singular_values(array):
    return np.linalg.svd(array, compute_uv=False)
