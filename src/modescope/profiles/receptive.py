"""What part of an image one position of a layer's output can depend on: measured by gradients of a surrogate of the network.

The surrogate runs the user's own code. Every convolution and linear map in it takes the mean over channels and spreads it with
positive weights over the same taps, pooling by maxima becomes pooling by sums, activations and batch norms become the identity,
differences and products become sums, and other norms and attention become means over what they look at. All of it is linear with
positive coefficients, so that the gradient of one output position is positive exactly on its receptive field: no weight, no dead
unit and no tie of a maximum can hide a part.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.profiles.survey import Site, Survey, placed, watched

Box = tuple[tuple[int, int], ...]
"""Half-open ranges of an image, one for each axis behind the channels."""

Ranges = NDArray[np.int64]
Rule = Callable[..., Any]

POSITIONS = 1024  # that are looked at one by one where no formula holds
PERIOD = 16  # of positions after which fields behind upsampling repeat
ENLARGED = 3  # times the sides of the image, for fields that do not fit into it
LARGEST = 2**20  # pixels of an enlarged image
UNMEASURED = "not measured, taken as the whole image: "

# Names of functions of torch and of methods of its tensors
IDENTITIES = (
    "relu relu_ relu6 leaky_relu leaky_relu_ prelu elu elu_ selu selu_ celu celu_ gelu silu mish rrelu rrelu_ hardtanh hardtanh_ "
    "hardswish hardsigmoid hardshrink softshrink tanhshrink softplus softsign sigmoid sigmoid_ tanh tanh_ logsigmoid threshold "
    "threshold_ abs abs_ clamp clamp_ clip exp log sqrt rsqrt square pow __pow__ neg __neg__ erf dropout dropout_ dropout1d "
    "dropout2d dropout3d alpha_dropout feature_dropout batch_norm local_response_norm float half bfloat16"
)
SUMS = "sub subtract __sub__ __rsub__ rsub mul multiply __mul__ __rmul__ div divide true_divide __truediv__ maximum minimum"
SUMS_IN_PLACE = "sub_ __isub__ mul_ __imul__ div_ __itruediv__ __idiv__"
PRODUCTS = "matmul __matmul__ mm bmm addmm baddbmm einsum bilinear"


@dataclass(frozen=True, eq=False)
class Field:
    """Receptive fields of the positions of one site.

    Position p along an axis sees `offset + stride * p` up to `offset + stride * p + size`, less what lies outside the image.

    Attributes:
        site: Its name.
        image: Sizes of the axes of the image behind the channels.
        positions: Sizes of the axes of the output; none for one output for a whole image.
        size: Along each axis of the image; the largest inside the image where no formula holds.
        stride: Along each axis, a fraction behind upsampling, 0 where fields do not move with the position.
        offset: Where the field of the first position begins, negative in the padding; inside the image where no formula holds.
        boxes: (positions, axes, 2) half-open ranges inside the image, by index of the position, row-major.
        note: What is not as it usually is, or empty.
    """

    site: str
    image: tuple[int, ...]
    positions: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[float, ...]
    offset: tuple[int, ...]
    boxes: Ranges
    note: str = ""

    @property
    def whole(self) -> bool:
        """Whether every position sees the whole image."""
        return _is_whole(self.boxes, self.image)

    def box(self, place: int) -> Box:
        """What one position sees inside the image, by its index, row-major."""
        return tuple((int(start), int(stop)) for start, stop in self.boxes[place])


@dataclass(frozen=True)
class _Line:
    """Fields along one axis."""

    size: int
    stride: int
    offset: int

    def cut(self, positions: Any, image: int) -> Ranges:
        """Half-open ranges inside an image of this size."""
        start = self.offset + self.stride * np.asarray(positions)
        found: Ranges = np.clip(np.stack([start, start + self.size], axis=-1), 0, image)
        return found


def fields(model: Any, survey: Survey, few: Any, /, *, sites: Iterable[str] | None = None) -> dict[str, Field]:
    """Receptive fields of sites of a network in its input.

    Exact for images of this size wherever positions mix by convolution, pooling, padding, resizing, indexing and linear maps, with
    sums and branches around them: the box of a position is the hull of what it can depend on. A formula is read from positions at
    the borders and in the middle and holds for all of them; where there is none, all positions are looked at.

    Args:
        model: The network; it is given back as it was.
        survey: Of this network.
        few: Some images as it takes them; only their shape counts.
        sites: Names of the sites that are wanted; by default all.

    Returns:
        By site. Where nothing can be measured (inputs that are no floating-point numbers, code that torch cannot look into) the
        field is the whole image, and its note says why.

    Raises:
        UsageError: A site is not in the survey.
    """
    wanted = {site.name: site for site in survey.sites}
    if sites is not None:
        asked = tuple(sites)
        if bad := [name for name in asked if name not in wanted]:
            raise UsageError(f"sites: expected some of {', '.join(map(repr, wanted))}, got {bad[0]!r}.")
        wanted = {name: wanted[name] for name in asked}
    shape = tuple(int(n) for n in few.shape[1:])
    chosen = tuple(wanted.values())
    try:
        probe = _Probe(model, chosen, few, shape)
    except Exception as error:  # of the user's code, on numbers that it was not written for
        said = (str(error) or type(error).__name__).splitlines()[0]
        return {site.name: _unmeasured(site, _axes(site, shape), said) for site in chosen}
    larger = _Larger(model, chosen, few, shape)
    return {site.name: _field(site, _axes(site, shape), probe, larger) for site in chosen}


def _field(site: Site, image: tuple[int, ...], probe: "_Probe", larger: "_Larger") -> Field:
    positions = site.shape[1:]
    if site.name not in probe.maps:
        return _unmeasured(site, image, "no gradient of its output reaches the image")
    look = partial(probe.hull, site.name, len(image))
    if len(positions) == len(image):
        rows = _rows(positions)
        seen = np.stack([look(row) for row in rows])
        lines = _lines(rows, seen, image)
        if lines is None and (found := larger.lines(site, len(image))) is not None:
            lines = found if _agree(found, rows, seen, image) else None
        if lines is not None:
            cuts = [line.cut(np.arange(n), size) for line, n, size in zip(lines, positions, image, strict=True)]
            at = [cut[[row[axis] for row in rows]] for axis, cut in enumerate(cuts)]
            if (np.stack(at, axis=1) == seen).all():
                return _formula(site, image, lines, _product(cuts))
            if max(positions) <= POSITIONS:
                return _formula(
                    site, image, lines, _measured(site, image, look).boxes, "measured, as no tap meets parts of the border"
                )
        if not _is_whole(seen, image) and max(positions) <= POSITIONS:
            return _measured(site, image, look)
    else:
        count = math.prod(positions)
        every = [tuple(map(int, np.unravel_index(i, positions))) for i in range(count if count <= POSITIONS else 0)]
        some = every[:: max(1, len(every) // 3)] or [tuple(0 for _ in positions), tuple(n - 1 for n in positions)]
        seen = np.stack([look(row) for row in some])
        if not _is_whole(seen, image) and every:
            return _described(site, image, np.stack([look(row) for row in every]), "positions are no axes of the image")
    if _is_whole(seen, image):
        return _described(site, image, _everything(site, image), "every position sees the whole image")
    return _unmeasured(site, image, f"there are more than {POSITIONS} positions and no formula holds for them")


def _formula(site: Site, image: tuple[int, ...], lines: tuple[_Line, ...], boxes: Ranges, note: str = "") -> Field:
    size, stride, offset = (tuple(getattr(line, name) for line in lines) for name in ("size", "stride", "offset"))
    return Field(site.name, image, site.shape[1:], size, stride, offset, boxes, note)


def _axes(site: Site, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of the image behind the channels; there are no channels where the layer has as many positions as the image axes."""
    return shape[-max(len(shape) - 1, min(len(site.shape) - 1, len(shape)), 1) :]


def _rows(positions: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Some positions along the diagonal: both borders, what is next to them, and the middle."""
    near = [(0, 1, 2, n // 2 - 1, n // 2, n // 2 + 1, n - 3, n - 2, n - 1) for n in positions]
    steps = [sorted({min(max(p, 0), n - 1) for p in ps}) for ps, n in zip(near, positions, strict=True)]
    most = max(map(len, steps))
    return [tuple(step[min(i, len(step) - 1)] for step in steps) for i in range(most)]


def _lines(rows: list[tuple[int, ...]], seen: Ranges, image: tuple[int, ...]) -> tuple[_Line, ...] | None:
    """The formula along each axis, or None where none fits or the border cuts too much."""
    found = []
    for axis, size in enumerate(image):
        at = {row[axis]: (int(start), int(stop)) for row, (start, stop) in zip(rows, seen[:, axis], strict=True)}
        starts = [(p, start) for p, (start, _) in at.items() if start > 0]
        stops = [(p, stop) for p, (_, stop) in at.items() if stop < size]
        if not starts or not stops:
            return None
        (p, a), (q, b) = next((pair for pair in (starts[-2:], stops[:2]) if len(pair) > 1), [starts[0], starts[0]])
        if (p == q and len(at) > 1) or (p != q and (b - a) % (q - p)):
            return None
        stride = 0 if p == q else (b - a) // (q - p)
        offset = starts[-1][1] - stride * starts[-1][0]
        found.append(_Line(stops[0][1] - stride * stops[0][0] - offset, stride, offset))
    lines = tuple(found)
    return lines if _agree(lines, rows, seen, image) else None


def _agree(lines: tuple[_Line, ...], rows: list[tuple[int, ...]], seen: Ranges, image: tuple[int, ...]) -> bool:
    """Whether formulas give the ends that were seen inside the image, and no less at its borders, where taps may meet nothing."""
    for axis, (line, size) in enumerate(zip(lines, image, strict=True)):
        start = line.offset + line.stride * np.array([row[axis] for row in rows])
        stop = start + line.size
        first, last = seen[:, axis, 0], seen[:, axis, 1]
        if ((first != start) & (start >= 0)).any() or ((last != stop) & (stop <= size)).any():
            return False
        if (first < start).any() or (last > stop).any():
            return False
    return True


def _measured(site: Site, image: tuple[int, ...], look: Callable[[tuple[int, ...]], Ranges]) -> Field:
    """Every position along each axis, with the others in the middle."""
    positions = site.shape[1:]
    most = max(positions)
    seen = [look(tuple(min(i, n - 1) for n in positions)) for i in range(most)]
    cuts = [np.stack([seen[i][axis] for i in range(n)]) for axis, n in enumerate(positions)]
    return _described(site, image, _product(cuts), "no formula holds; measured inside the image", cuts)


def _described(site: Site, image: tuple[int, ...], boxes: Ranges, note: str, cuts: list[Ranges] | None = None) -> Field:
    size = tuple(int(n) for n in (boxes[:, :, 1] - boxes[:, :, 0]).max(axis=0))
    offset = tuple(int(n) for n in boxes[0, :, 0])
    stride = tuple(0.0 for _ in image) if cuts is None else tuple(map(_pace, cuts, image))
    return Field(site.name, image, site.shape[1:], size, stride, offset, boxes, note)


def _pace(cut: Ranges, size: int) -> float:
    """Pixels from a position to the next where fields move by the same number every few positions, otherwise 0."""
    inside = cut[(cut[:, 0] > 0) & (cut[:, 1] < size)]
    for period in range(1, min(PERIOD, len(inside) - 1) + 1):
        steps = inside[period:] - inside[:-period]
        if (steps == steps[0, 0]).all():
            return float(steps[0, 0] / period)
    return 0.0


def _unmeasured(site: Site, image: tuple[int, ...], reason: str) -> Field:
    return _described(site, image, _everything(site, image), UNMEASURED + reason)


def _everything(site: Site, image: tuple[int, ...]) -> Ranges:
    return np.broadcast_to(np.array([(0, size) for size in image]), (math.prod(site.shape[1:]), len(image), 2))


def _is_whole(boxes: Ranges, image: tuple[int, ...]) -> bool:
    return bool((boxes[:, :, 0] == 0).all() and (boxes[:, :, 1] == image).all())


def _product(cuts: list[Ranges]) -> Ranges:
    """(positions, axes, 2) out of the ranges along each axis, row-major."""
    counts = [len(cut) for cut in cuts]
    at = np.indices(counts).reshape(len(counts), -1)
    return np.stack([cut[index] for cut, index in zip(cuts, at, strict=True)], axis=1)


class _Enough(Exception):  # noqa: N818  no error: the last site that is wanted was reached
    pass


class _Probe:
    """One pass of the surrogate; `maps` holds the sum over channels of the output of every site that the image reaches."""

    def __init__(self, model: Any, sites: tuple[Site, ...], few: Any, shape: tuple[int, ...]) -> None:
        import torch

        like = placed(model, few)
        if not isinstance(like, torch.Tensor) or not like.is_floating_point():
            raise UsageError("the images are no floating-point numbers")
        self.maps: dict[str, Any] = {}
        left = {site.name for site in sites}

        def take(site: Site, output: Any) -> None:
            if output.requires_grad:
                self.maps[site.name] = output[0].sum(dim=0)
            left.discard(site.name)
            if not left:
                raise _Enough

        with watched(model, sites, take) as begin, torch.enable_grad(), _surrogate():
            begin()
            self._x = torch.ones((1, *shape), dtype=torch.float64, device=like.device, requires_grad=True)
            try:
                model(self._x)
            except _Enough:
                return

    def hull(self, name: str, axes: int, position: tuple[int, ...]) -> Ranges:
        """(axes, 2) half-open ranges on which the gradient of one position is not 0."""
        import torch

        gradient: Any = torch.autograd.grad(self.maps[name][position], self._x, retain_graph=True, allow_unused=True)[0]
        size = self._x.shape[-axes:]
        if gradient is None:
            return np.zeros((axes, 2), np.int64)
        reached = (gradient != 0).reshape(-1, *size).any(dim=0).cpu().numpy()
        found = np.zeros((axes, 2), np.int64)
        for axis in range(axes):
            hit = np.flatnonzero(reached.any(axis=tuple(other for other in range(axes) if other != axis)))
            if hit.size:
                found[axis] = hit[0], hit[-1] + 1
        return found


class _Larger:
    """The surrogate on an enlarged image, run when it is first asked for, for fields that the border of the image cuts."""

    def __init__(self, model: Any, sites: tuple[Site, ...], few: Any, shape: tuple[int, ...]) -> None:
        self._given = model, sites, few, shape
        self._probes: dict[int, _Probe | None] = {}

    def lines(self, site: Site, axes: int) -> tuple[_Line, ...] | None:
        """Formulas of a site, or None where the network does not run on a larger image or still sees all of it."""
        model, sites, few, shape = self._given
        large = (*shape[: len(shape) - axes], *(ENLARGED * n for n in shape[-axes:]))
        if axes not in self._probes:
            spatial = tuple(one for one in sites if len(one.shape) - 1 == axes)
            try:
                self._probes[axes] = _Probe(model, spatial, few, large) if math.prod(large[-axes:]) <= LARGEST else None
            except Exception:  # of the user's code, which need not take images of another size
                self._probes[axes] = None
        probe = self._probes[axes]
        if probe is None or site.name not in probe.maps or probe.maps[site.name].ndim != axes:
            return None
        rows = _rows(tuple(probe.maps[site.name].shape))
        return _lines(rows, np.stack([probe.hull(site.name, axes, row) for row in rows]), large[-axes:])


def _surrogate() -> Any:
    """While it is entered, functions of torch act by what they mix, not by their weights."""
    from torch.overrides import TorchFunctionMode

    rules = _rules()

    class Surrogate(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
            rule = rules.get(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {})) if rule is None else rule(func, *args, **(kwargs or {}))

    return Surrogate()


def _rules() -> dict[str, Rule]:
    found: dict[str, Rule] = dict.fromkeys(IDENTITIES.split(), _identity)
    found |= dict.fromkeys(SUMS.split(), _sum) | dict.fromkeys(SUMS_IN_PLACE.split(), _sum_in_place)
    found |= dict.fromkeys(PRODUCTS.split(), _product_of_wide)
    for n in (1, 2, 3):
        found |= {f"conv{n}d": _convolution, f"conv_transpose{n}d": _transposed}
        found |= {f"max_pool{n}d": _pool, f"max_pool{n}d_with_indices": _pool, f"adaptive_max_pool{n}d": partial(_adaptive, n)}
    found |= {"linear": _linear, "layer_norm": _layer_norm, "rms_norm": _layer_norm, "group_norm": _group_norm}
    found |= {"instance_norm": _instance_norm, "normalize": _normalised, "softmax": _softmax, "log_softmax": _softmax}
    found |= {"amax": _mean, "amin": _mean, "logsumexp": _mean, "max": _extreme, "min": _extreme}
    return found | {"scaled_dot_product_attention": _attention, "multi_head_attention_forward": _heads}


def _identity(_func: Any, x: Any, *_args: Any, **_options: Any) -> Any:
    return x


def _flows(x: Any) -> bool:
    return (getattr(x, "requires_grad", False) and not x.is_leaf) or getattr(x, "dtype", None) == _wide()


def _wide() -> Any:
    import torch

    return torch.float64


def _sum(func: Any, a: Any, b: Any, *args: Any, **options: Any) -> Any:
    """Of two signals; what is beside a signal is a constant, and only its shape counts."""
    return _signal(a) + _signal(b) if _flows(a) or _flows(b) else func(a, b, *args, **options)


def _sum_in_place(func: Any, a: Any, b: Any, *args: Any, **options: Any) -> Any:
    return a.add_(_signal(b)) if _flows(a) else func(a, b, *args, **options)


def _signal(x: Any) -> Any:
    return x if hasattr(x, "untyped_storage") else 0


def _widened(x: Any) -> Any:
    import torch

    if isinstance(x, torch.Tensor) and x.is_floating_point():
        return x.double() if _flows(x) else x.double().abs() + 1
    return [_widened(one) for one in x] if isinstance(x, list | tuple) else x


def _product_of_wide(func: Any, *args: Any, **options: Any) -> Any:
    return func(*(_widened(one) for one in args), **options)


def _taps(weight: Any, lead: tuple[int, int]) -> Any:
    taps = weight.shape[2:]
    return weight.new_full((*lead, *taps), 1 / math.sqrt(max(math.prod(taps), 1)), dtype=_wide())


def _by_group(x: Any, groups: int, axes: int) -> tuple[Any, bool]:
    """Means over the channels of each group, (N, groups, ...), and whether a batch was given."""
    batched = x.ndim == axes + 2
    y = x.double() if batched else x.double().unsqueeze(0)
    return y.reshape(y.shape[0], groups, -1, *y.shape[2:]).mean(dim=2), batched


def _spread(y: Any, channels: int, batched: bool) -> Any:
    found = y.repeat_interleave(channels // y.shape[1], dim=1)
    return found if batched else found[0]


def _convolution(
    func: Any, x: Any, weight: Any, _bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    y, batched = _by_group(x, groups, weight.ndim - 2)
    return _spread(func(y, _taps(weight, (groups, 1)), None, stride, padding, dilation, groups), weight.shape[0], batched)


def _transposed(
    func: Any,
    x: Any,
    weight: Any,
    _bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    y, batched = _by_group(x, groups, weight.ndim - 2)
    found = func(y, _taps(weight, (groups, 1)), None, stride, padding, output_padding, groups, dilation)
    return _spread(found, weight.shape[1] * groups, batched)


def _linear(_func: Any, x: Any, weight: Any, *_args: Any, **_options: Any) -> Any:
    return x.double().mean(dim=-1, keepdim=True).expand(*x.shape[:-1], weight.shape[0]).clone()


def _pool(
    func: Any,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Sums over the windows of a pooling by maxima, of which there are as many."""
    import torch
    from torch.nn import functional

    options = {"stride": stride or None, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    given = func(x.detach(), kernel_size, **options, **({"return_indices": True} if return_indices else {}))
    out = given[0] if isinstance(given, tuple) else given
    axes = int(next(c for c in func.__name__ if c.isdigit()))
    k, p, d = (_each(value, axes) for value in (kernel_size, padding, dilation))
    s = _each(stride or kernel_size, axes)
    sizes, counts = x.shape[-axes:], out.shape[-axes:]
    right = [(counts[i] - 1) * s[i] + d[i] * (k[i] - 1) + 1 - sizes[i] - p[i] for i in range(axes)]
    padded = functional.pad(x.double(), [side for i in reversed(range(axes)) for side in (p[i], right[i])])
    weight = torch.full((1, 1, *k), 1 / math.prod(k), dtype=_wide(), device=x.device)
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[axes - 1]
    found = convolve(padded.reshape(-1, 1, *padded.shape[-axes:]), weight, None, s, 0, d).reshape(out.shape)
    return (found, *given[1:]) if isinstance(given, tuple) else found


def _each(value: Any, axes: int) -> list[int]:
    return [int(value)] * axes if isinstance(value, int) else [int(one) for one in value] * (axes // len(value))


def _adaptive(axes: int, func: Any, x: Any, output_size: Any, return_indices: bool = False) -> Any:
    from torch.nn import functional

    mean = (functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d)[axes - 1]
    means = mean(x, output_size)
    given = func(x.detach(), output_size, True) if return_indices else None
    return means if given is None else (means, *given[1:])


def _over(x: Any, dims: tuple[int, ...]) -> Any:
    return x + x.mean(dim=dims, keepdim=True)


def _layer_norm(_func: Any, x: Any, normalized_shape: Any, *_args: Any, **_options: Any) -> Any:
    return _over(x, tuple(range(-len(normalized_shape), 0)))


def _group_norm(_func: Any, x: Any, num_groups: int, *_args: Any, **_options: Any) -> Any:
    return _over(x.reshape(x.shape[0], num_groups, -1), (2,)).reshape(x.shape)


def _instance_norm(
    _func: Any,
    x: Any,
    _mean: Any = None,
    _var: Any = None,
    _weight: Any = None,
    _bias: Any = None,
    use_input_stats: bool = True,
    *_args: Any,
    **_options: Any,
) -> Any:
    return _over(x, tuple(range(2, x.ndim))) if use_input_stats else x


def _normalised(_func: Any, x: Any, _p: float = 2.0, dim: int = 1, *_args: Any, **_options: Any) -> Any:
    return _over(x, (dim,))


def _softmax(_func: Any, x: Any, dim: int | None = None, *_args: Any, **_options: Any) -> Any:
    return _over(x, (-1 if dim is None else dim,))


def _mean(_func: Any, x: Any, dim: Any = None, keepdim: bool = False, **_options: Any) -> Any:
    return x.mean() if dim in (None, ()) else x.mean(dim=dim, keepdim=keepdim)


def _extreme(func: Any, x: Any, *args: Any, **options: Any) -> Any:
    """Of all numbers, of two signals, or along one axis, where positions come with it."""
    if not args and not options:
        return x.mean()
    given = func(x, *args, **options)
    if not isinstance(given, tuple):
        return _sum(func, x, *args, **options)
    dim = options.get("dim", args[0] if args else None)
    return type(given)((x.mean(dim=dim, keepdim=given[0].ndim == x.ndim), given[1]))


def _attention(_func: Any, query: Any, key: Any, value: Any, *_args: Any, **_options: Any) -> Any:
    shape = (*query.shape[:-1], value.shape[-1])
    found = query.mean(dim=-1, keepdim=True) + (key.mean(dim=-1, keepdim=True) + value).mean(dim=-2, keepdim=True)
    return found.expand(shape).clone()


def _heads(_func: Any, query: Any, key: Any, value: Any, *_args: Any, **_options: Any) -> Any:
    """Attention as torch's module has it, time first; and no weights."""
    seen = (key + value).mean(dim=-1, keepdim=True).mean(dim=0, keepdim=True)
    return (query.mean(dim=-1, keepdim=True) + seen).expand(query.shape).clone(), None
