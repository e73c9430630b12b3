"""Weights kept as modes, W = xi_out diag(s) xi_in: the three factors as one matrix, known by them and never formed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import prod

import numpy as np

from modescope.layers._names import named_freely
from modescope.layers._reasons import why_not
from modescope.layers._rows import Read
from modescope.matrix import Array, Matrix, Product, Skip, Tensor

_PLAIN = re.compile(r"(?P<stem>(?:.*\.)?)(?P<role>xi_out|s|xi_in)\Z", re.DOTALL)
_NUMBERED = re.compile(r"(?P<path>(?:.*\.)?)(?P<number>\d{1,6})\.\Z", re.DOTALL)
_ORTHONORMAL = re.compile(r"(?P<stem>(?:.*\.)?)parametrizations\.(?P<role>xi_out|xi_in)\.original\Z", re.DOTALL)
_PARAMETRISED = re.compile(r"(?P<stem>(?:.*\.)?parametrizations\.[^.]{1,200}\.original)(?P<role>[012])\Z", re.DOTALL)


@dataclass(frozen=True)
class _Factors:
    """Names of the three factors of one weight, of which a tensor is one.

    Attributes:
        names: xi_out, s and xi_in.
        orthonormal: Whether the patterns are the Q factors of what is stored.
        tied: Whether xi_out is the transpose of the next layer's xi_in, as patterns that neighbours share are kept once.
        own: Whether the name alone says so; a bare `s` or `original0` may be anything.
    """

    names: tuple[str, str, str]
    orthonormal: bool = False
    tied: bool = False
    own: bool = True


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where all three factors are there or the name is that of a pattern, since nobody else uses such names."""
    return 3 if named_freely(tensor) and _found(tensor, tensors) is not None else 0


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix | Skip]:
    """The product, from the input patterns; the other two factors say where they went."""
    mine = _found(tensor, tensors)
    reason = "factor of modes without the others" if mine is None else _why_no_product(mine, tensors)
    if mine is None or reason is not None:
        yield Skip(tensor.name, tensor.shape, str(reason))
    elif tensor.name != mine.names[2]:
        yield Skip(tensor.name, tensor.shape, f"analysed together with {mine.names[2]}")
    else:
        xi_out, s, xi_in = (tensors[name] for name in mine.names)
        join = _orthonormal_product if mine.orthonormal else _tied_product if mine.tied else _product
        yield Matrix(
            xi_in.name,
            "product",
            (_sides(mine, tensors)[0], prod(xi_in.shape[1:])),
            xi_in.stored,
            partial(join, xi_out.read, s.read, xi_in.read),
            note="the output patterns are the input patterns of the next layer" if mine.tied else "",
            parts=mine.names,
        )


def _found(tensor: Tensor, tensors: Mapping[str, Tensor]) -> _Factors | None:
    """The first reading of the name that the other tensors bear out: all three exist, or the name can mean nothing else."""
    read = _readings(tensor.name)
    whole = (one for one in read if all(name in tensors for name in one.names) and (_is_certain(one) or _fit(one, tensors)))
    return next(whole, None) or next((one for one in read if one.own and _is_pattern_or_beside_one(one, tensor, tensors)), None)


def _is_certain(mine: _Factors) -> bool:
    """Whether the names alone say so, whatever the shapes are."""
    return mine.own and not mine.tied


def _is_pattern_or_beside_one(mine: _Factors, tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    return tensor.name != mine.names[1] or mine.names[0] in tensors or mine.names[2] in tensors


@lru_cache(1 << 16)
def _readings(name: str) -> tuple[_Factors, ...]:
    """What the name may be a factor of."""
    found = []
    if plain := _PLAIN.match(name):
        stem = plain["stem"]
        found.append(_Factors((f"{stem}xi_out", f"{stem}s", f"{stem}xi_in")))
        if (numbered := _NUMBERED.match(stem)) and plain["role"] != "xi_out":
            following = f"{numbered['path']}{int(numbered['number']) + 1}.xi_in"
            found.append(_Factors((following, f"{stem}s", f"{stem}xi_in"), tied=True))
        if plain["role"] == "s":
            found.append(_orthonormal(stem))
    elif stored := _ORTHONORMAL.match(name):
        found.append(_orthonormal(stored["stem"]))
    elif weight := _PARAMETRISED.match(name):
        stem = weight["stem"]
        found.append(_Factors((f"{stem}0", f"{stem}1", f"{stem}2"), own=False))
    return tuple(found)


def _orthonormal(stem: str) -> _Factors:
    inner = f"{stem}parametrizations."
    return _Factors((f"{inner}xi_out.original", f"{stem}s", f"{inner}xi_in.original"), orthonormal=True)


def _sides(mine: _Factors, tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Shape of xi_out as (out, p), however it is stored."""
    shape = tensors[mine.names[0]].shape
    return shape[::-1] if mine.tied else shape


def _fit(mine: _Factors, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the shapes are (out, p), (p,) and (p, in, *kernel)."""
    xi_out, s, xi_in = _sides(mine, tensors), tensors[mine.names[1]].shape, tensors[mine.names[2]].shape
    return len(s) == 1 and len(xi_out) == 2 and len(xi_in) > 1 and xi_out[1] == s[0] == xi_in[0]


def _why_no_product(mine: _Factors, tensors: Mapping[str, Tensor]) -> str | None:
    missing = [name for name in mine.names if name not in tensors]
    if missing:
        return f"factor of modes whose other factors are missing: {', '.join(missing)}"
    for name in mine.names:
        tensor = tensors[name]
        # Its type and its path are judged, not its class, since frozen strengths are a buffer, nor its storage, which is read here.
        judged = replace(tensor, name=name.replace("parametrizations.", "") + ".weight", declared={}, aliases=())
        if (reason := why_not(judged, tensors)) is not None:
            return f"factor of modes, of which {name} is {reason}"
    shapes = ", ".join(str(tensors[name].shape) for name in mine.names)
    if not _fit(mine, tensors):
        return f"factors of modes of shapes {shapes}, expected (out, p), (p,) and (p, in)"
    (out, p), inputs = _sides(mine, tensors), prod(tensors[mine.names[2]].shape[1:])
    if mine.orthonormal and p > min(out, inputs):
        return f"factors of modes of shapes {shapes}, expected no more orthonormal patterns than their length"
    return None


def _product(xi_out: Read, s: Read, xi_in: Read) -> Product:
    return _joined(_matrix(xi_out), s, _matrix(xi_in))


def _tied_product(following: Read, s: Read, xi_in: Read) -> Product:
    return _joined(_matrix(following).T, s, _matrix(xi_in))


def _orthonormal_product(xi_out: Read, s: Read, xi_in: Read) -> Product:
    return _joined(_q(_matrix(xi_out)), s, _q(_matrix(xi_in).T).T)


def _joined(xi_out: Array, s: Read, xi_in: Array) -> Product:
    return Product(xi_out * np.asarray(s(), np.float64), xi_in)


def _matrix(read: Read) -> Array:
    factor = read()
    return np.asarray(factor.reshape(factor.shape[0], -1), np.float64)


def _q(tall: Array) -> Array:
    """Q with the diagonal of R positive, as the layer counts its patterns."""
    q, r = np.linalg.qr(tall)
    return q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
