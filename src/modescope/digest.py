"""SHA-256 of what was read, so that a saved number can be traced to the bytes it came from."""

import hashlib
from pathlib import Path

import numpy as np

from modescope.matrix import Array, Blocks, Convolution, Operand, Product

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz", ".npy")


def operand_digest(operand: Operand) -> str:
    """Hash of the numbers of one matrix with their dtype and shape; equal weights hash equal in any file format."""
    digest = hashlib.sha256()
    match operand:
        case Product():
            digest.update(repr(operand.scale).encode())
            arrays: tuple[Array, ...] = (operand.left, operand.right)
        case Blocks():
            arrays = (operand.blocks,)
        case Convolution():
            digest.update(repr((operand.grid, operand.stride, operand.dilation, operand.groups)).encode())
            arrays = (operand.kernel,)
        case _:
            arrays = (operand,)
    for array in arrays:
        turned = array.ndim == 2 and not array.flags.c_contiguous and array.flags.f_contiguous
        flat = np.ascontiguousarray(array.T if turned else array)
        digest.update(f"{array.dtype.name} {array.shape} {turned}".encode())
        digest.update(flat.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def source_digest(path: Path) -> str:
    """What `sha256sum` prints for a file; for a folder, the hash of that listing over its weight files in order of name."""
    if path.is_file() and path.suffix != ".json":
        return _file(path)
    folder = path if path.is_dir() else path.parent
    files = sorted(item for item in folder.iterdir() if item.is_file() and item.suffix in WEIGHTS)
    listing = "".join(f"{_file(item)}  {item.name}\n" for item in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def _file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
