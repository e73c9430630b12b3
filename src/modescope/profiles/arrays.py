"""A profiled network in files: profiles with modes and signals as safetensors, the hypergraph as HIF, or the report."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import load
from safetensors.numpy import save as packed

from modescope.checkpoints import safetensors
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.profiles import algebra, hif
from modescope.profiles.document import interchanged
from modescope.profiles.result import SCHEMA, NetworkProfile
from modescope.render import by_suffix

SUFFIX, HIF = ".safetensors", ".hif.json"
WHOLE, CLASS = "whole", "class "


def arrays(result: NetworkProfile, /) -> dict[str, Array]:
    """Every array by its name in the file.

    Returns:
        For each site, its name before the point: "SITE.s" (r,), "SITE.u" (r, out) and "SITE.vh" (r, in), of a grouped layer inside
        the group that "SITE.group" (r,) names; "SITE.signals" (n, r) of a sample of the images; with labels "SITE.modes" (k,), the
        modes that are followed, and "SITE.means" (classes, k), their mean signals. "sample.images" (n,) are the indices of the
        sample, "sample.labels" (n,) their classes.
    """
    found: dict[str, Array] = {"sample.images": result.sample.images}
    if result.sample.labels is not None:
        found["sample.labels"] = result.sample.labels
    for layer in result.layers:
        name, basis = layer.site, layer.basis
        found |= {f"{name}.s": basis.s, f"{name}.u": basis.u, f"{name}.vh": basis.vh, f"{name}.group": basis.group.astype(np.int64)}
        found[f"{name}.signals"] = result.sample.signals[name]
        if layer.statistics is not None:
            found[f"{name}.modes"] = layer.statistics.modes.astype(np.int64)
            found[f"{name}.means"] = layer.statistics.mean
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def save(result: NetworkProfile, path: str | Path, /) -> None:
    """Write the result in the form that the suffix of the file names; see `NetworkProfile.save`.

    Profiles lie in the safetensors file as `algebra.save` writes them, so that `algebra.load` reads them again: "whole" of all
    images, and "class NAME" of each class.
    """
    path = Path(path)
    if path.name.endswith(HIF):
        _write(path, hif.text(interchanged(result)).encode())
    elif path.suffix == SUFFIX:
        _write(path, _packed(result))
    else:
        known = sorted([SUFFIX, HIF, *by_suffix()])
        if path.suffix not in known:
            raise UsageError(f"{path}: expected a file that ends in {', '.join(known)}, got {path.suffix or 'no suffix'!r}.")
        result.report().save(path)


def _packed(result: NetworkProfile) -> bytes:
    """One safetensors file of the profiles and all arrays."""
    profiles = {WHOLE: result.whole} | {f"{CLASS}{name}": one for name, one in result.classes.items()}
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"profiles{SUFFIX}"
        algebra.save(profiles, file)
        said, tensors = safetensors.metadata(file), load(file.read_bytes())
    more = {"result": SCHEMA, "sites": json.dumps([layer.site for layer in result.layers])}
    return packed(tensors | arrays(result), metadata={**said, **more, "classes": json.dumps(list(result.classes))})


def _write(path: Path, data: bytes) -> None:
    """Write a file; one that was there is replaced only when the new one is complete.

    Raises:
        UsageError: It cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            new.write_bytes(data)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}).") from error
