"""A fully connected network in modes: how many each layer gets, which layers stay dense, and patterns shared by neighbours."""

import math
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modescope.errors import UsageError
from modescope.modes.counting import Cost
from modescope.modes.factors import Modes
from modescope.modes.modules.base import check
from modescope.modes.modules.linear import ModeLinear

Counts = int | str | Sequence[int | None] | None


class BreakEvenWarning(UserWarning):
    """A layer stays dense, since with as many modes as were asked for it would cost no less."""


class ModeMLP(nn.Module):
    """Layers of modes with a nonlinearity between them.

    Untied, every layer has its own two sets of patterns. A layer whose modes would cost as much as its weight stays a dense
    `nn.Linear`, drawn with the same variance, and one `BreakEvenWarning` names all such layers.

    Tied, every space has one set of patterns X^(l), (p, N_l), which the layer before writes and the layer behind reads:
    `z^(l) = X^(l+1)^T (s^(l) * X^(l) h^(l))`. All layers then have p modes, none stays dense, and a pattern's gradient is the sum
    of both roles. Each mode starts with the strength it would have untied. The state dict holds `layers.l.xi_in` and `layers.l.s`
    for every layer and `layers.L.xi_out` for the last alone; `untied()` is the same network with all three everywhere. FSDP must
    shard a tied network as a whole.

    Attributes:
        layers: `ModeLinear`, or `nn.Linear` where a layer is dense.
        activation: What is applied after each layer but the last.

    Example:
        >>> net = ModeMLP([784, 100, 100, 10], n_modes=[30, 20, None], bias=False)
        >>> sum(one.numel() for one in net.parameters())
        31570

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011: the two are their 1L2P and 1L1P.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        n_modes: Counts,
        *,
        tied: bool = False,
        bias: bool = True,
        activation: Callable[[Tensor], Tensor] = functional.relu,
        over_complete: bool = False,
        **options: Any,
    ) -> None:
        """Draw the modes.

        Args:
            sizes: Inputs, hidden units, outputs: two numbers or more.
            n_modes: p of every layer, or a list with p of each; None is a dense layer. "auto" takes a third of the break-even
                number in each layer, so a third of its parameters, and leaves a layer dense where that is below 8: small layers
                cost little, and a narrow bottleneck there costs accuracy (our own rule).
            tied: Share patterns between neighbours; needs one p for all layers, and `frozen_strength` and `orthogonal` left out.
            bias: Whether layers have a bias.
            activation: A function or module. A callable that is no module is not part of the state dict.
            over_complete: Make modes also where they save nothing: the dynamics of training are then others.
            **options: As of `ModeLayer`.

        Raises:
            UsageError: Fewer than two sizes, a number of modes too few or too many, a p below 1, tied layers of unequal p or with
                frozen strengths or orthogonal patterns, or as `ModeLayer`.
        """
        super().__init__()
        self.sizes, self.tied, self.activation = tuple(sizes), tied, activation
        if len(self.sizes) < 2:
            raise UsageError(f"ModeMLP: expected two sizes or more, inputs and outputs, got {list(sizes)}.")
        check("ModeMLP", **{f"size {at}": size for at, size in enumerate(self.sizes)})
        pairs = list(pairwise(self.sizes))
        costs = [Cost(outputs, inputs, frozen=bool(options.get("frozen_strength"))) for inputs, outputs in pairs]
        counts = _counts(n_modes, costs)
        if tied:
            _check_tied(counts, options)
        elif not over_complete:
            counts = _gaining(counts, costs)
        self._counts = counts
        self._options = {name: options[name] for name in options if name not in {"generator", "device", "dtype"}} | {"bias": bias}
        drawn = [
            _dense(*pair, bias=bias, **options) if p is None else ModeLinear(*pair, p, bias, **options)
            for pair, p in zip(pairs, counts, strict=True)
        ]
        self.layers = nn.ModuleList(_tied([one for one in drawn if isinstance(one, ModeLinear)]) if tied else drawn)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        answer: Tensor = last(x)
        return answer

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all layers anew, as after `to_empty`; an activation that is a module stays as it is.

        Args:
            generator: Where the draws come from; by default torch's own.
        """
        fresh = self._like(self.tied, generator)
        with torch.no_grad():
            for mine, drawn in zip(self.layers.parameters(), fresh.layers.parameters(), strict=True):
                mine.copy_(drawn)

    def untied(self) -> "ModeMLP":
        """A copy in which every layer owns its patterns and whose weights are the same, as conversions and files want it.

        Raises:
            UsageError: The network is not tied.
        """
        if not self.tied:
            raise UsageError("ModeMLP: expected a tied network to untie, got one whose layers own their patterns already.")
        copy = self._like(False, torch.Generator().manual_seed(0))  # what is drawn is replaced; no other generator moves
        with torch.no_grad():
            for mine, theirs in zip(self.layers, copy.layers, strict=True):
                for name, held in theirs.named_parameters():
                    held.copy_(getattr(mine, name))
        return copy

    def _like(self, tied: bool, generator: torch.Generator | None) -> "ModeMLP":
        """A network with the same layers and draws of its own."""
        first = next(self.layers.parameters())
        options = {**self._options, "generator": generator, "device": first.device, "dtype": first.dtype}
        return ModeMLP(self.sizes, self._counts, tied=tied, activation=deepcopy(self.activation), over_complete=True, **options)

    def extra_repr(self) -> str:
        """Sizes, as torch prints them."""
        return f"{list(self.sizes)}, tied={self.tied}"


class _Tied(ModeLinear):
    """A layer whose patterns a neighbour uses too."""

    own: tuple[str, ...] = ("xi_out", "s", "xi_in", "bias")

    def __init__(self, drawn: ModeLinear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = drawn.in_features, drawn.out_features
        self.kernel, self.frozen_strength = drawn.kernel, drawn.frozen_strength
        self.init, self.gain = drawn.init, drawn.gain
        for name in self.own:
            self.register_parameter(name, drawn._parameters[name])

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Nothing: the network draws all its layers together, in its own `reset_parameters`."""

    def set_modes(self, modes: Modes) -> None:  # noqa: ARG002
        """Refused: it would change the neighbours too."""
        raise UsageError("ModeMLP: expected a layer that owns its patterns, got a tied one; take `untied()` of the network first.")


class _TiedToNext(_Tied):
    """A tied layer that writes the patterns which the next layer reads."""

    own = ("s", "xi_in", "bias")

    def __init__(self, drawn: ModeLinear, following: _Tied) -> None:
        super().__init__(drawn)
        self._following = [following]  # a list hides it from the tree of modules, where it has its own place

    @property
    def xi_out(self) -> Tensor:  # type: ignore[override]  # a view of another layer's parameter, so that there is but one
        return self._following[0].xi_in.T


def _tied(drawn: list[ModeLinear]) -> list[_Tied]:
    """Layers that keep their input patterns and write the next one's; each mode as strong as it was drawn."""
    layers = [_Tied(drawn[-1])]
    for one in reversed(drawn[:-1]):
        layers.insert(0, _TiedToNext(one, layers[0]))
    if drawn[0].s.is_meta:  # nothing was drawn
        return layers
    with torch.no_grad():
        for one, layer in zip(drawn, layers, strict=True):
            wanted = one.xi_out.norm(dim=0)  # of the same mode before it was tied
            layer.s.mul_(wanted / layer.xi_out.norm(dim=0))
    return layers


def _dense(inputs: int, outputs: int, *, bias: bool, **options: Any) -> nn.Linear:
    """A dense layer that begins with the variance of those in modes, which say what options there are."""
    gain = ModeLinear(inputs, outputs, 1, bias, **{**options, "device": "meta"}).gain
    layer = nn.Linear(inputs, outputs, bias, device=options.get("device"), dtype=options.get("dtype"))
    if layer.weight.is_meta:  # nothing to draw
        return layer
    nn.init.normal_(layer.weight, std=math.sqrt(gain / inputs), generator=options.get("generator"))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _counts(n_modes: Counts, costs: list[Cost]) -> list[int | None]:
    """How many modes each layer is asked to have."""
    if n_modes == "auto":
        return [cost.usual for cost in costs]
    if isinstance(n_modes, str):
        raise UsageError(f"ModeMLP: expected n_modes as a number, a list or 'auto', got {n_modes!r}.")
    counts: list[int | None] = [*n_modes] if isinstance(n_modes, Sequence) else [n_modes] * len(costs)
    if len(counts) != len(costs):
        raise UsageError(f"ModeMLP: expected a number of modes for each of {len(costs)} layers, got {len(counts)}: {counts}.")
    for at, p in enumerate(counts):
        if p is not None:
            check("ModeMLP", **{f"n_modes of layer {at}": p})
    return counts


def _gaining(counts: list[int | None], costs: list[Cost]) -> list[int | None]:
    """The counts, with None where modes save nothing, and a warning that says so."""
    gaining = [None if p is None or p >= cost.break_even else p for p, cost in zip(counts, costs, strict=True)]
    lost = [
        f"layer {at} ({cost.inputs} to {cost.outputs}, {p} modes, break-even {cost.break_even:.1f})"
        for at, (p, cost) in enumerate(zip(counts, costs, strict=True))
        if p is not None and p >= cost.break_even
    ]
    if lost:
        warnings.warn(
            f"ModeMLP: modes would save nothing in {', '.join(lost)}, which stay dense; over_complete=True makes modes all the "
            "same, and None in n_modes asks for a dense layer.",
            BreakEvenWarning,
            stacklevel=3,
        )
    return gaining


def _check_tied(counts: list[int | None], options: dict[str, Any]) -> None:
    if None in counts or len(set(counts)) != 1:
        raise UsageError(f"ModeMLP: expected one number of modes for all tied layers, which share patterns, got {counts}.")
    for name in ("frozen_strength", "orthogonal"):
        if options.get(name):
            raise UsageError(
                f"ModeMLP: expected tied layers without {name}=True: they share patterns, and strengths set them apart."
            )
