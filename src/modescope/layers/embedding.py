"""Embeddings (vocabulary, width), turned to (width, vocabulary): the input is a token, the output its hidden vector."""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from modescope.layers._names import EMBEDDINGS, bias_length, is_stacked, layer_class, named_freely, own
from modescope.layers._reasons import is_weight
from modescope.layers._rows import Read
from modescope.matrix import Array, Matrix, Tensor

_NAME = re.compile(
    r"(?:.*(?<!un)(?<!de)emb(?:ed(?:s|dings?|_tokens|_positions|_in|ding_table)?)?"
    r"|(?:.*_)?(?:wte|wpe|codebook|rel_pos(?:_[hwt])?|relative_\w*bias|\w*bias_table)|shared)\Z",
    re.DOTALL,
)


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where an embedding is declared, 2 by its name."""
    if len(tensor.shape) == 2 and layer_class(tensor) in EMBEDDINGS:
        return 3 if is_weight(tensor, tensors) else 0
    return 2 if _by_name(tensor, tensors) and is_weight(tensor, tensors) else 0


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The table turned; one that broadcasts over a batch, (1, positions, width), without that axis."""
    vocabulary, width = tensor.shape[-2:]
    yield Matrix(tensor.name, "embedding", (width, vocabulary), tensor.stored, partial(_turned, tensor.read))


def _by_name(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    if not named_freely(tensor) or not _NAME.match(own(tensor.name)):
        return False
    if len(tensor.shape) == 3:
        bare = not tensor.leaf.lower().endswith(("weight", "_w"))
        return tensor.shape[0] == 1 and bare and tensor.shape[1] > 1 and not is_stacked(tensor.name)
    # An embedding adds no bias; a layer of this name that has one is a linear map.
    return len(tensor.shape) == 2 and bias_length(tensor, tensors) is None


def _turned(read: Read) -> Array:
    table = read()
    return table.reshape(table.shape[-2:]).T
