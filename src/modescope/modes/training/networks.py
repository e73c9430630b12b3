"""Fully connected networks in modes, drawn from a seed, and as a file holds them: plain factors, and words that make them again."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modescope.errors import UnreadableError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


def drawn(sizes: Sequence[int], counts: Any, seed: int, /, **options: Any) -> tuple["nn.Module", tuple[int, ...]]:
    """A `ModeMLP` whose weights are derived from a seed, and which of its layers stay dense though modes were asked for.

    Raises:
        UsageError: torch is missing, or as `ModeMLP`.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError("training: expected torch, which is not installed. pip install 'modescope[torch]'.") from error
    from modescope.modes.modules.mlp import BreakEvenWarning, ModeMLP

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BreakEvenWarning)
        made = ModeMLP(sizes, counts, generator=torch.Generator().manual_seed(seed), **options)
    if not any(issubclass(one.category, BreakEvenWarning) for one in caught):
        return made, ()
    wanted = [counts] * len(made.layers) if isinstance(counts, int) else counts
    dense = (at for at, layer in enumerate(made.layers) if not hasattr(layer, "n_modes") and wanted[at] is not None)
    return made, tuple(dense)


def described(model: "nn.Module", /) -> dict[str, Any] | None:
    """Sizes, modes by layer (None is dense), and what else makes a `ModeMLP` with ReLU again; None of any other network."""
    from torch.nn import functional

    from modescope.modes.modules.mlp import ModeMLP

    if not isinstance(model, ModeMLP) or model.activation is not functional.relu:
        return None
    counts = [getattr(layer, "n_modes", None) for layer in model.layers]
    frozen = any(getattr(layer, "frozen_strength", False) for layer in model.layers)
    bias = getattr(model.layers[0], "bias", None) is not None
    own = {"tied": model.tied, "bias": bias, "frozen_strength": frozen, "init": drawn_by(model.layers)}
    return {"sizes": list(model.sizes), "modes": counts, **own}


def drawn_by(layers: Iterable[Any], /) -> str | None:
    """By what layers in modes were drawn before they were trained; None where they do not say, or say different things."""
    found = {one.init if isinstance(one.init, str) else None for one in layers if hasattr(one, "n_modes")}
    return found.pop() if len(found) == 1 else None


def plain(model: "nn.Module", /) -> "nn.Module":
    """The network as every reader of files understands it: three factors in each layer, its own and free; the same function."""
    from modescope.modes.modules import orthogonal
    from modescope.modes.modules.mlp import ModeMLP

    return model.untied() if isinstance(model, ModeMLP) and model.tied else orthogonal.plain(model)


def network_of(said: Any, tensors: Mapping[str, "Tensor"], source: str, /) -> "nn.Module":
    """The network that words and tensors make, in the form that was trained: with tied patterns where they were.

    Memory is taken for no more than the tensors, whatever the words say.

    Raises:
        UsageError: There are no words for its architecture.
        UnreadableError: Words and tensors do not fit.
    """
    from modescope.modes.modules.mlp import ModeMLP

    if said is None:
        raise UsageError(f"{source}: does not say of what architecture the network is; pass a network that is to take the weights.")
    try:
        made = ModeMLP(
            said["sizes"],
            said["modes"],
            tied=said["tied"],
            bias=said["bias"],
            over_complete=True,
            device="meta",
            init=said["init"] or _unknown,
            **({"frozen_strength": True} if said["frozen_strength"] else dict[str, Any]()),
        )
        own = made.state_dict()
        made.load_state_dict({name: one for name, one in tensors.items() if name in own or not said["tied"]}, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise UnreadableError(f"{source}: expected tensors of the network that its metadata describe, got others.") from error
    return made


def _unknown(*_given: Any) -> Any:
    """What draws a network anew whose file does not say how."""
    raise UsageError("reset_parameters: expected a network that knows how it was drawn, got one whose file does not say it.")
