"""Products inside torch's attention, which reads the weights of its projections and calls no module for them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

from modescope.activations._places import PROJECTIONS

_PRODUCTS = {"addmm": 1, "linear": 0, "mm": 0, "bmm": 0}  # place of the data among the arguments; the weight comes next
_WITHOUT_BIAS = {"mm", "bmm"}


@dataclass(frozen=True, eq=False)
class Asked:
    """What is wanted of one projection of an attention; `given` and `gave` as in a listener."""

    attention: Any
    part: str
    given: Callable[[tuple[Any, ...], dict[str, Any]], None] | None
    gave: Callable[[Any], None] | None


@dataclass(frozen=True, eq=False)
class _Weight:
    """A weight in memory, and what its rows make."""

    tensor: Any  # held, so that no other takes its address
    parts: tuple[str, ...]  # equal blocks of its rows
    bias: Any

    @property
    def size(self) -> int:
        """Rows of one part."""
        return len(self.tensor) // len(self.parts)

    def row(self, other: Any) -> int | None:
        """Which of the rows a view of this memory begins with, or None where it is none."""
        each = self.tensor.stride(0) * self.tensor.element_size()
        start, rest = divmod(other.data_ptr() - self.tensor.data_ptr(), max(each, 1))
        return start if rest == 0 and 0 <= start < len(self.tensor) else None

    def made(self, start: int, columns: int) -> tuple[str, ...]:
        """Parts that a product with so many rows from there makes."""
        first = start // self.size
        return self.parts[first : first + columns // self.size]

    def whole(self, product: Any, start: int) -> Any:
        """A product to which torch adds the bias only afterwards."""
        if self.bias is None:
            return product
        return product + self.bias[start : start + product.shape[-1]].to(product.dtype)

    def copied(self, start: int, copy: Any) -> "_Weight":
        """The rows from there in another place."""
        bias = self.bias if self.bias is None else self.bias[start : start + len(copy)]
        return _Weight(copy, self.made(start, len(copy)), bias)


@contextmanager
def projected(asked: Sequence[Asked]) -> Iterator[None]:
    """Hear the products while the model runs. The function that makes them tells the weights, whatever they were made of."""
    import torch
    from torch.nn.functional import multi_head_attention_forward
    from torch.overrides import TorchFunctionMode

    products = _products()
    running: list[Any] = []
    order = signature(multi_head_attention_forward)

    class Calls(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func is not multi_head_attention_forward or not running:
                return func(*args, **kwargs)
            attention = running[-1]
            wanted = [one for one in asked if one.attention is attention]
            called = order.bind(*args, **kwargs).arguments
            torch.clear_autocast_cache()  # of copies whose making was not seen
            with products(_weights(called), _tellers(wanted, attention, called["query"])):
                return func(*args, **kwargs)

    def begins(module: Any, _args: Any) -> None:
        running.append(module)

    def ends(module: Any, _args: Any, _output: Any) -> None:
        if module in running:  # not so where the hook of another failed before it began
            del running[running.index(module) :]

    with ExitStack() as stack:
        for attention in {id(one.attention): one.attention for one in asked}.values():
            stack.callback(attention.register_forward_pre_hook(begins).remove)
            stack.callback(attention.register_forward_hook(ends, always_call=True).remove)
        stack.enter_context(Calls())
        yield


def _weights(called: dict[str, Any]) -> list[_Weight]:
    """Weights of a call; of several that begin at one address the first counts."""
    bias = called.get("in_proj_bias")
    found = [_Weight(called["out_proj_weight"], ("out",), called.get("out_proj_bias"))]
    if called.get("use_separate_proj_weight"):
        parts = (None,) * 3 if bias is None else bias.chunk(3)
        found += [_Weight(called[f"{part[0]}_proj_weight"], (part,), own) for part, own in zip(PROJECTIONS, parts, strict=True)]
    else:
        found.append(_Weight(called["in_proj_weight"], PROJECTIONS, bias))
    return found


def _tellers(wanted: Iterable[Asked], attention: Any, query: Any) -> dict[str, Callable[[Any, Any], None]]:
    """Functions that take what went into a product and what came out, with samples first again where the module has them so."""
    batch = query.shape[1] if query.ndim == 3 else None
    swapped = batch is not None and getattr(attention, "batch_first", False)

    def placed(tensor: Any) -> Any:
        columns = tensor.shape[-1]
        tensor = tensor.reshape(-1, columns) if batch is None else tensor.reshape(-1 if batch else 0, batch, columns)
        return tensor.transpose(0, 1) if swapped else tensor

    def teller(ones: list[Asked]) -> Callable[[Any, Any], None]:
        def tell(given: Any, gave: Any) -> None:
            for one in ones:
                if one.given is not None:
                    one.given((placed(given),), {})
                if one.gave is not None:
                    one.gave(placed(gave))

        return tell

    wanted = list(wanted)
    return {part: teller([one for one in wanted if one.part == part]) for part in {one.part for one in wanted}}


def _products() -> Any:
    """Contexts that see products with weights, and the copies that automatic mixed precision makes of these."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Products(TorchDispatchMode):
        def __init__(self, weights: list[_Weight], tellers: dict[str, Callable[[Any, Any], None]]) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self._weights, self._tellers = weights, tellers

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # else torch's compiler, which has no part in this, is imported for seconds

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            name = func.overloadpacket.__name__
            if name == "_to_copy" and (known := self._known(args[0])):
                self._weights.append(known[0].copied(known[1], result))
            if name in _PRODUCTS:
                given, factor = args[_PRODUCTS[name] : _PRODUCTS[name] + 2]
                if known := self._known(factor):
                    weight, start = known
                    made = weight.whole(result, start) if name in _WITHOUT_BIAS else result
                    for i, part in enumerate(weight.made(start, result.shape[-1])):
                        if tell := self._tellers.get(part):
                            tell(given, made[..., i * weight.size : (i + 1) * weight.size])
            return result

        def _known(self, tensor: Any) -> tuple[_Weight, int] | None:
            for weight in self._weights:
                if (start := weight.row(tensor)) is not None:
                    return weight, start
            return None

    return Products
