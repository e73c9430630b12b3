"""What of a saved training state is the model: nested mappings flattened, optimizer state and averaged copies set aside.

A training script saves whatever it likes: a state dict, one inside a dict beside its optimizer, several models, a moving average.
Nothing but names and structure tells them apart, so the rules stand here once, for every format.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError
from modescope.matrix import Skip, Tensor

DEEPEST = 64

MOMENTS = frozenset(
    {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg", "grad_avg", "acc_delta"}
)
OPTIMIZER = "optimizer state: not a weight"
RANDOM = "state of a random generator: not a weight"
AVERAGED = "averaged copy of the weights: a second model, not more layers"

# Words of a key, and what a part of that name is. A key is split at signs and at capitals: "optimizerStates", "lr_scheduler".
PARTS = (
    (frozenset({"optimizer", "optimizers", "optim", "optims"}), OPTIMIZER),
    (frozenset({"scheduler", "schedulers"}), "state of a learning-rate schedule: not a weight"),
    (frozenset({"rng"}), RANDOM),
    (frozenset({"scaler", "gradscaler", "amp"}), "state of a gradient scaler: not a weight"),
)
PHRASES = {"opt_state": OPTIMIZER, "opt_states": OPTIMIZER, "random_state": RANDOM}
AVERAGE_WORDS = frozenset({"ema", "averaged", "swa", "shadow"})

# Keys that only say "here is the model": not a part of any layer's name.
CONTAINERS = frozenset(
    {"state_dict", "state", "model", "models", "model_state", "model_state_dict", "model_dict", "model_weights", "net", "network"}
    | {"module", "params", "params_ema", "parameters", "variables", "weights", "checkpoint", "state_dict_ema", "model_ema", "ema"}
    | {"generator", "discriminator", "encoder_state_dict", "ema_model", "ema_state_dict"}
)


@dataclass(frozen=True, eq=False)
class Leaf:
    """One array of a nested state and the keys that lead to it."""

    keys: tuple[Any, ...]
    value: Any
    name: str = ""


def flatten(root: Any, is_array: Callable[[Any], bool], what: str, /) -> Iterator[Leaf | Skip]:
    """The arrays of the model in a nested state, by name, and one skip for each part that is no weight.

    Args:
        root: Mappings and sequences, nested at will; `is_array` decides what an array is. Nothing in it is changed.
        is_array: Says whether a value is an array.
        what: The source, for errors.

    Yields:
        `Leaf` with the name joined by dots. Where all of them lie in one container ("state_dict", "model", ...) its key is no part
        of the name; where several models lie side by side, it is.

    Raises:
        UnreadableError: Two arrays have one name.
    """
    if _is_optimizer(root):
        yield Skip("optimizer", (), OPTIMIZER)
        return
    leaves, skips = _walk(root, (), is_array, set())
    strip = _container(leaves)
    seen: set[str] = set()
    for leaf in leaves:
        name = _dotted(leaf.keys[strip:])
        if name in seen:
            raise UnreadableError(f"{what}: expected every tensor to have its own name, got {shown(name)} twice.")
        seen.add(name)
        yield Leaf(leaf.keys, leaf.value, name)
    yield from skips


def without_training_state(items: Iterable[Tensor | Skip], /) -> Iterator[Tensor | Skip]:
    """The same items, but optimizer moments and averaged copies in flat names ("model_ema.0.weight") become skips.

    An averaged copy is believed to be one only where all its matrices have the shape of another matrix: a layer may well
    be called "ema".
    """
    items = tuple(items)
    parts: dict[str, list[Tensor]] = {}
    for item in items:
        if isinstance(item, Tensor):
            parts.setdefault(_first(item), []).append(item)
    reasons = _flat_reasons(parts)
    told: set[str] = set()
    for item in items:
        if isinstance(item, Skip):
            yield item
        elif item.leaf in MOMENTS:
            yield Skip(item.name, item.shape, OPTIMIZER)
        elif (reason := reasons.get(part := _first(item))) is None:
            yield item
        elif part not in told:
            told.add(part)
            yield Skip(part, (), f"{reason} ({_tensors(len(parts[part]))})")


def _walk(value: Any, keys: tuple[Any, ...], is_array: Callable[[Any], bool], seen: set[int]) -> tuple[list[Leaf], list[Skip]]:
    name = _dotted(keys)
    if is_array(value):
        return [Leaf(keys, value)], []
    if not _is_nest(value):
        return [], [Skip(name, (), f"{_article(value)}, not a tensor")]
    if not len(value):
        return [], []
    if len(keys) > DEEPEST:
        return [], [Skip(name, (), f"nested more than {DEEPEST} deep: not looked at")]
    if id(value) in seen:  # also ends a walk around a cycle
        return [], [Skip(name, (), "the same object as another part")]
    seen.add(id(value))
    leaves: dict[Any, list[Leaf]] = {}
    skips: list[Skip] = []
    for key, child in _children(value):
        path = (*keys, key)
        leaves[key], inner = _walk(child, path, is_array, seen)
        reason = _why_not_weights(key, child) if leaves[key] else None
        if reason is not None:
            skips.append(Skip(_dotted(path), (), f"{reason} ({_tensors(len(leaves[key]))})"))
            del leaves[key]
        elif leaves[key] or not _is_nest(child) or any("same object" in skip.reason for skip in inner):
            skips.extend(inner)
        else:
            skips.append(Skip(_dotted(path), (), _why_not_weights(key, child) or "no tensors in it"))
    averages = [key for key, child in _children(value) if _is_nest(child) and leaves.get(key) and _words(key) & AVERAGE_WORDS]
    rest = _matrix_shapes(leaf.value for key, found in leaves.items() if key not in averages for leaf in found)
    for key in averages:
        if _is_copy((leaf.value for leaf in leaves[key]), rest):
            skips.append(Skip(_dotted((*keys, key)), (), f"{AVERAGED} ({_tensors(len(leaves[key]))})"))
            del leaves[key]
    return [leaf for found in leaves.values() for leaf in found], skips


def _is_nest(value: Any) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str | bytes | bytearray)


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else enumerate(value)


def _is_optimizer(value: Any) -> bool:
    """The state of an optimizer: as torch saves it, or the moments of one parameter with nothing but numbers beside them."""
    if not isinstance(value, Mapping):
        return False
    return {"state", "param_groups"} <= value.keys() or (
        not MOMENTS.isdisjoint(value.keys()) and value.keys() <= MOMENTS | {"step"}
    )


def _why_not_weights(key: Any, value: Any) -> str | None:
    if _is_optimizer(value):
        return OPTIMIZER
    if _is_nest(value):
        return _named_reason(key)
    return RANDOM if "rng" in _words(key) and "." not in key else None


def _named_reason(key: Any) -> str | None:
    words = _words(key)
    by_word = next((reason for part, reason in PARTS if words & part), None)
    return by_word or next((reason for phrase, reason in PHRASES.items() if str(key).lower().endswith(phrase)), None)


def _words(key: Any) -> frozenset[str]:
    return (
        frozenset(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", key))
        if isinstance(key, str)
        else frozenset()
    )


def _matrix_shapes(arrays: Iterable[Any]) -> frozenset[tuple[int, ...]]:
    return frozenset(tuple(array.shape) for array in arrays if len(getattr(array, "shape", ())) > 1)


def _is_copy(arrays: Iterable[Any], rest: frozenset[tuple[int, ...]]) -> bool:
    shapes = _matrix_shapes(arrays)
    return bool(shapes) and shapes <= rest


def _container(leaves: Sequence[Leaf]) -> int:
    """How many leading keys all arrays share that name no layer."""
    depth = 0
    while all(len(leaf.keys) > depth + 1 for leaf in leaves) and len({leaf.keys[depth] for leaf in leaves}) == 1:
        named = any("." in leaf.keys[depth + 1] for leaf in leaves if isinstance(leaf.keys[depth + 1], str))
        if not named and str(leaves[0].keys[depth]).lower() not in CONTAINERS:
            break
        depth += 1
    return depth


def _flat_reasons(parts: Mapping[str, Sequence[Tensor]]) -> dict[str, str]:
    nested = {part for part, tensors in parts.items() if any("." in tensor.name for tensor in tensors)}
    found = {part: OPTIMIZER for part in nested if _named_reason(part) == OPTIMIZER}
    averages = {part for part in nested - found.keys() if _words(part) & AVERAGE_WORDS}
    rest = _matrix_shapes(tensor for part, tensors in parts.items() if part not in averages | found.keys() for tensor in tensors)
    copies = (part for part in averages if _is_copy(parts[part], rest))
    return found | dict.fromkeys(copies, AVERAGED)


def _first(tensor: Tensor) -> str:
    return tensor.name.partition(".")[0]


def _dotted(keys: Iterable[Any]) -> str:
    return ".".join(str(key) for key in keys)


def _tensors(count: int) -> str:
    return f"{count} tensor{'s' if count != 1 else ''}"


def _article(value: Any) -> str:
    known = {str: "a text", bool: "a truth value", int: "a number", float: "a number", type(None): "nothing"}
    return known.get(type(value), f"an object of type {type(value).__name__}")
