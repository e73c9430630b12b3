"""Low-rank adapters (LoRA): the pair as one matrix, scale * B @ A, known by its factors and never formed."""

from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

from modescope.layers._factors import belongs, factor, is_magnitude, scaled_factor
from modescope.layers._names import join
from modescope.layers._reasons import why_not
from modescope.layers._rows import Read
from modescope.matrix import Array, Matrix, Product, Skip, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where the adapter is declared, 2 by the names of its factors."""
    if not belongs(tensor, tensors):
        return 0
    return 3 if tensor.declared.get("module") == "LoRA" else 2


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix | Skip]:
    """The product, from the tensor of the factor applied first; the other tensors of the adapter say where they went."""
    mine = factor(tensor.name)
    if mine is None:
        inner = scaled_factor(tensor, tensors)
        reason = "magnitudes of a weight-decomposed adapter (DoRA), not a linear map"
        yield Skip(tensor.name, tensor.shape, reason if inner is None else f"scale of an adapter, read with {inner}")
        return
    partner = tensors.get(mine.partner)
    against = _why_no_product(tensor, tensors)
    if against is not None or partner is None:
        yield Skip(tensor.name, tensor.shape, against or "factor without its pair")
    elif mine.inner:
        yield _pair(tensor, partner, tensors)
    else:
        yield Skip(tensor.name, tensor.shape, f"analysed together with {partner.name}")


def _why_no_product(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    mine = factor(tensor.name)
    if mine is None or mine.partner not in tensors:
        return f"its pair {mine.partner} is missing" if mine else None
    partner = tensors[mine.partner]
    inner, outer = (tensor, partner) if mine.inner else (partner, tensor)
    if mine.middle in tensors:
        return f"its pair has a third factor ({mine.middle}), which is not supported"
    for one in (tensor, partner):
        reason = why_not(one, tensors)
        if reason is not None:
            return reason if one is tensor else f"its pair {one.name}: {reason}"
    if min(len(inner.shape), len(outer.shape)) < 2 or _sides(inner, mine.in_out)[1] != _sides(outer, mine.in_out)[0]:
        return f"factors of shapes {inner.shape} and {outer.shape} do not multiply"
    return None


def _sides(tensor: Tensor, in_out: bool) -> tuple[int, int]:
    """Inputs and outputs of one factor, its kernel flattened."""
    first, rest = (tensor.shape[0] if tensor.shape else 1), prod(tensor.shape[1:])
    return (first, rest) if in_out else (rest, first)


def _pair(inner: Tensor, outer: Tensor, tensors: Mapping[str, Tensor]) -> Matrix:
    mine = factor(inner.name)
    in_out = mine is not None and mine.in_out
    (n_in, rank), (_, n_out) = _sides(inner, in_out), _sides(outer, in_out)
    declared = _declared_scale(inner, outer)
    alpha = tensors.get(f"{mine.stem}alpha") if mine is not None else None
    if declared is not None or (alpha is not None and scaled_factor(alpha, tensors) is None):
        alpha = None
    known = declared is not None or alpha is not None
    decomposed = any(is_magnitude(name) for name in _beside(inner, tensors))
    read_alpha = alpha.read if alpha is not None else None
    return Matrix(
        inner.name,
        "product",
        (n_out, n_in),
        inner.stored,
        partial(_product, inner.read, outer.read, 1.0 if declared is None else declared, read_alpha, rank, in_out),
        note=join(
            "" if known else "scale not declared: taken as 1",
            "without the magnitudes of DoRA, which rescale the merged weight" if decomposed else "",
        ),
        parts=(inner.name, outer.name, *((alpha.name,) if alpha is not None else ())),
    )


def _declared_scale(inner: Tensor, outer: Tensor) -> float | None:
    for tensor in (inner, outer):
        try:
            return float(tensor.declared["lora.scale"])
        except (KeyError, ValueError):
            continue
    return None


def _beside(inner: Tensor, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Names the magnitudes of this adapter may have, where they exist."""
    mine = factor(inner.name)
    if mine is None:
        return
    after = mine.partner[len(mine.stem) :].partition(".")[2]
    endings = {f".{after}" if after else "", f".{after.removesuffix('.weight')}", ""}
    yield from (name for ending in endings if (name := f"{mine.stem}lora_magnitude_vector{ending}") in tensors)
    yield from (name for name in (f"{mine.stem}dora_scale",) if name in tensors)


def _product(inner: Read, outer: Read, scale: float, alpha: Read | None, rank: int, in_out: bool) -> Product:
    if alpha is not None:
        scale = float(alpha().reshape(())) / rank
    return Product(_flat(outer, in_out), _flat(inner, in_out), scale)


def _flat(read: Read, in_out: bool) -> Array:
    factors = read()
    flat = factors.reshape(factors.shape[0], -1)
    return flat.T if in_out else flat
