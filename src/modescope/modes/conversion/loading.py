"""Put a checkpoint whose weights are modes into a network: its layers become mode layers with the numbers of modes of the file."""

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modescope.checkpoints import open
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError, UsageError
from modescope.matrix import Tensor
from modescope.modes.compression.eligible import FACTORS

OURS = "modescope"  # key of the metadata of a compressed file
NAMED = 3  # tensors in an error
STORED_IN_OUT = ("transposed", "embedding")  # kinds of modules whose weight is the transpose of W


def load_compressed(path: str | Path, model: Any, /, *, inplace: bool = False) -> Any:
    """A network with the weights of a compressed checkpoint, or of any state dict of mode layers in a safetensors file.

    Every `NAME.xi_out`, `NAME.s` and `NAME.xi_in` of the file stands for the weight of the module NAME, which becomes a mode layer;
    those of NAME.ih and NAME.hh together stand for the recurrent cell NAME. Modules whose weights are in the file as they are stay.
    Nothing is decomposed, and no weight is ever formed. Numbers are cast to the dtype that the network has, as torch does when it
    loads.

    Args:
        path: The file that `compress` wrote, factored or dense, or a state dict of a converted network.
        model: An `nn.Module` of the architecture of the checkpoint, with whatever weights.
        inplace: Change this network itself; otherwise a copy.

    Returns:
        The network. Its training flag, its device, and which of its weights are trained stay.

    Raises:
        UsageError: The network has not the layers of the file, modes cannot stand for one of them, or shapes differ; it is
            unchanged.
        UnreadableError: The file cannot be opened, is no safetensors file, or lacks a factor.
    """
    from safetensors.torch import load_file

    path = Path(path)
    checkpoint = open(path)
    if checkpoint.format != "safetensors":
        raise UnreadableError(f"{path}: expected a safetensors file as compress writes it, got {checkpoint.format}.")
    tensors = {tensor.name: tensor for tensor in checkpoint.tensors}
    modes = _modes(path, tensors)
    kinds = _kinds(path, model, modes)
    made = _layers(path, model, modes, kinds)
    turned = _turned(path, checkpoint.metadata, kinds)
    state = load_file(path)
    for name in turned:  # the file takes what is stored for W, the network for its transpose
        a, b = f"{name}.xi_out".lstrip("."), f"{name}.xi_in".lstrip(".")
        state[a], state[b] = state[b].T.contiguous(), state[a].T.contiguous()
    kept = model if inplace else copy.deepcopy(model)
    _check(path, kept, made, state)
    for name, module in made.items():
        owner, _, leaf = name.rpartition(".")
        if leaf:
            setattr(kept.get_submodule(owner), leaf, module)
        else:
            kept = module
    kept.load_state_dict(state, strict=False)
    return kept


def _modes(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Number of modes of each layer whose factors are in the file."""
    found: dict[str, int] = {}
    for tensor in tensors.values():
        if tensor.leaf != "xi_out":
            continue
        names = {factor: f"{tensor.module}.{factor}".lstrip(".") for factor in FACTORS}
        lacking = [name for name in names.values() if name not in tensors]
        shapes = {factor: tensors[name].shape for factor, name in names.items() if name in tensors}
        p = tensor.shape[-1] if tensor.shape else 0
        if lacking or p < 1 or shapes["s"] != (p,) or shapes["xi_in"][:1] != (p,):
            what = f"no {shown(lacking[0])}" if lacking else f"shapes {', '.join(map(str, shapes.values()))}"
            raise UnreadableError(f"{path}: {shown(tensor.module)}: expected xi_out (out, p), s (p,), xi_in (p, in), got {what}.")
        found[tensor.module] = p
    return found


def _kinds(path: Path, model: Any, names: Iterable[str]) -> dict[str, str]:
    """What each of the layers is: "linear", "transposed", "convolution", "embedding", or "cell" for one of the two in a cell."""
    from modescope.modes.conversion.replaceable import replaceable
    from modescope.modes.modules.base import ModeLayer
    from modescope.modes.modules.embedding import ModeEmbedding

    parts, reasons = replaceable(model)
    have = dict(model.named_modules(remove_duplicate=False))  # a layer at several places has several names
    by_module = {id(part.module): part.kind for part in parts if part.kind != "cell"}
    by_module |= {
        id(module): "embedding" if isinstance(module, ModeEmbedding) else "linear"
        for module in have.values()
        if isinstance(module, ModeLayer)
    }
    known = {name: by_module[id(module)] for name, module in have.items() if id(module) in by_module}
    known |= {part.name: part.kind for part in parts if part.kind == "cell"}
    for name in names:
        if name not in known:
            why = reasons.get(name, "it has no weight that modes can stand for" if name in have else "there is none of that name")
            raise UsageError(f"{path}: {shown(name)}: expected a layer of the network that modes can stand for, got none: {why}.")
    return {name: known[name] for name in names}


def _layers(path: Path, model: Any, modes: Mapping[str, int], kinds: Mapping[str, str]) -> dict[str, Any]:
    """What takes the place of modules, by name: the same layer wherever the network has the same module."""
    made: dict[str, Any] = {}
    by_module: dict[int, Any] = {}
    for name, p in modes.items():
        owner, _, side = name.rpartition(".")
        if kinds[name] != "cell":
            module = model.get_submodule(name)
            if id(module) not in by_module or by_module[id(module)].n_modes != p:
                by_module[id(module)] = _made(path, module, name, kinds[name], p)
            made[name] = by_module[id(module)]
        elif owner not in made:
            other = f"{owner}.{'hh' if side == 'ih' else 'ih'}".lstrip(".")
            if other not in modes:
                raise UsageError(f"{path}: {shown(owner)}: expected modes of both weights of a cell, got none of {shown(other)}.")
            counts = (p, modes[other]) if side == "ih" else (modes[other], p)
            made[owner] = by_module[id(model.get_submodule(owner))] = _cell(model.get_submodule(owner), counts)
    for name, module in model.named_modules(remove_duplicate=False):
        if id(module) in by_module and name not in made:
            made[name] = by_module[id(module)]
    return made


def _cell(module: Any, counts: tuple[int, int]) -> Any:
    """A cell in modes to take the place of torch's, its numbers not set."""
    from modescope.modes.modules.recurrent import ModeGRUCell, ModeRNNCell

    weight = module.weight_ih
    sizes = (module.input_size, module.hidden_size, counts, bool(module.bias))
    options = {"device": "meta", "dtype": weight.dtype}
    cell: Any = (
        ModeRNNCell(*sizes, module.nonlinearity, **options) if hasattr(module, "nonlinearity") else ModeGRUCell(*sizes, **options)
    )
    cell.to_empty(device=weight.device)
    for side in ("ih", "hh"):
        layer = getattr(cell, side)
        for factor in FACTORS:
            getattr(layer, factor).requires_grad_(getattr(module, f"weight_{side}").requires_grad)
        if layer.bias is not None:
            layer.bias.requires_grad_(getattr(module, f"bias_{side}").requires_grad)
    return cell.train(module.training)


def _made(path: Path, module: Any, name: str, kind: str, p: int) -> Any:
    """A mode layer to take the place of a module, its numbers not set."""
    from modescope.modes.modules.base import ModeLayer

    if isinstance(module, ModeLayer):
        if module.n_modes == p:
            return copy.deepcopy(module)
        raise UsageError(
            f"{path}: {shown(name)}: expected {p} modes as in the file, got a layer with {module.n_modes}. Give the dense network."
        )
    from modescope.modes.modules.convolution import ModeConv1d, ModeConv2d
    from modescope.modes.modules.embedding import ModeEmbedding
    from modescope.modes.modules.linear import ModeLinear

    weight = module.weight
    options = {"device": "meta", "dtype": weight.dtype}
    biased = getattr(module, "bias", None) is not None
    match kind:
        case "embedding":
            layer: Any = ModeEmbedding(module.num_embeddings, module.embedding_dim, p, module.padding_idx, **options)
        case "convolution":
            conv = ModeConv1d if weight.dim() == 3 else ModeConv2d
            layer = conv(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                p,
                module.stride,
                module.padding,
                module.dilation,
                bias=biased,
                padding_mode=module.padding_mode,
                **options,
            )
        case "transposed":
            layer = ModeLinear(weight.shape[0], weight.shape[1], p, bias=biased, **options)
        case _:
            layer = ModeLinear(module.in_features, module.out_features, p, bias=biased, **options)
    layer.to_empty(device=weight.device)
    layer.train(module.training)
    for factor in FACTORS:
        getattr(layer, factor).requires_grad_(weight.requires_grad)
    if biased:
        layer.bias.requires_grad_(module.bias.requires_grad)
    return layer


def _turned(path: Path, said: Mapping[str, str], kinds: Mapping[str, str]) -> tuple[str, ...]:
    """Layers whose weight the file took for the transpose of what the network has: square ones do not show it."""
    try:
        layers = json.loads(said.get(OURS, "{}")).get("layers", {})
        layouts = {name.rpartition(".")[0]: layer["layout"] for name, layer in layers.items()}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError(f"{path}: expected metadata as compress writes it, got other ({type(error).__name__}).") from error
    known = [name for name in kinds if name in layouts]
    return tuple(name for name in known if (kinds[name] in STORED_IN_OUT) != (layouts[name] == "columns"))


def _check(path: Path, model: Any, made: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """See that the file has what the network needs, and nothing else, before anything is changed."""
    wanted = {name: one for name, one in model.state_dict().items() if not any(name.rpartition(".")[0] == layer for layer in made)}
    for layer, module in made.items():
        wanted |= {f"{layer}.{name}".lstrip("."): one for name, one in module.state_dict().items()}
    held = {one.data_ptr() for name, one in wanted.items() if name in state}  # of tied weights a file has one
    missing = (name for name, one in wanted.items() if name not in state and one.data_ptr() not in held and not _counter(name))
    _same(path, missing, "that the network has and the file has not")
    _same(path, (name for name in state if name not in wanted), "that the network has not")
    for name, one in state.items():
        if one.shape != wanted[name].shape:
            raise UsageError(
                f"{path}: {shown(name)}: expected shape {tuple(wanted[name].shape)}, as in the network, got {tuple(one.shape)}."
            )


def _same(path: Path, odd: Iterable[str], what: str) -> None:
    names = list(odd)
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        few = ", ".join(map(shown, names[:NAMED]))
        raise UsageError(f"{path}: expected the tensors of the network, got others: {few}{more}, {what}.")


def _counter(name: str) -> bool:
    """Whether it counts the batches that a batch norm has seen, which is no weight and not in every file."""
    return name.endswith("num_batches_tracked")
