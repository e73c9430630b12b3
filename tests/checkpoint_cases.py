"""Checkpoints written byte by byte, and readers that give everything of one."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from modescope import checkpoints
from modescope.matrix import Array

CODES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "int64": "I64",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
SETTINGS: dict[str, Any] = {
    "model_type": "bert",
    "num_attention_heads": 2,
    "architectures": ["BertModel"],
    "tie_word_embeddings": True,
}


def counting(*shape: int, dtype: Any = np.float32) -> Array:
    """Entries that count up from 1: every misplaced one shows."""
    return np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape).astype(dtype)


def laid_out(arrays: dict[str, Array], metadata: dict[str, str] | None = None) -> tuple[dict[str, Any], bytes]:
    """Header and bytes of a safetensors file, written as the format's description says and not by any library."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return header, data


def framed(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file around a header: an object that is dumped, or bytes that are taken as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_safetensors(path: Path, arrays: dict[str, Array], metadata: dict[str, str] | None = None) -> Path:
    """Write a whole safetensors file."""
    path.write_bytes(framed(*laid_out(arrays, metadata)))
    return path


def written(path: Path, data: bytes) -> Path:
    """Write bytes and give the path back."""
    path.write_bytes(data)
    return path


def read_all(source: Any) -> dict[str, Array]:
    """Every tensor of a checkpoint, by name."""
    return {tensor.name: tensor.read() for tensor in checkpoints.open(source).tensors}


def reasons(source: Any) -> dict[str, str]:
    """Reason of every skipped part, by name."""
    return {skip.name: skip.reason for skip in checkpoints.open(source).skipped}


def same(left: Array, right: Array) -> bool:
    """Equal shape, dtype and bits: NaN equals itself, 0 differs from -0."""
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()
