"""Singular values through torch, on a GPU whose float64 runs at full rate; on request, as CPU results never depend on extras."""

from collections.abc import Callable

import numpy as np

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.svd import Factors
from modescope.svd._tall import double, scale, tall
from modescope.svd.gram import FLOOR
from modescope.svd.policy import exact

FULL_RATE = {(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)}  # CUDA compute capabilities with float64 at half the float32 rate


def on(device: str) -> Callable[..., Factors]:
    """An engine that runs the Gram route on a torch device and hands back to the CPU what that route cannot give.

    Args:
        device: As torch names it: "cuda", "cuda:1", or "cpu" to try the route without a GPU.

    Returns:
        An engine with the signature of `policy.exact`.

    Raises:
        UsageError: torch is missing, the device is absent, or its float64 is too slow to be worth it.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError(f"device {device!r}: expected torch, which is not installed. pip install 'modescope[torch]'.") from error
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device {device!r}: expected 'cpu' or a CUDA device such as 'cuda:0'.") from error
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(f"device {device!r}: torch {torch.__version__} sees no CUDA device here. Leave the option out.")
        capability = torch.cuda.get_device_capability(place)
        if capability not in FULL_RATE:
            raise UsageError(
                f"device {device!r}: compute capability {capability[0]}.{capability[1]} runs float64 far below full rate, so "
                "the CPU is faster for the same accuracy. Leave the option out."
            )
    elif place.type != "cpu":
        raise UsageError(f"device {device!r}: expected 'cpu' or a CUDA device, whose float64 is complete.")

    def engine(a: Array, /, *, vectors: bool = False, rounding: float = 0.0) -> Factors:
        """The Gram route on the device; see `policy.exact` for the arguments."""
        b = tall(a)
        factor = scale(b)
        x = torch.from_numpy(np.ascontiguousarray(double(b, factor=factor))).to(place)
        try:
            squares, basis = torch.linalg.eigh(x.T @ x) if vectors else (torch.linalg.eigvalsh(x.T @ x), None)
        except RuntimeError:  # torch's LinAlgError is one
            return exact(a, vectors=vectors, rounding=rounding)
        s = squares.flip(0).clamp_min(0).sqrt()
        if not float(s[-1]) > 1e-3 * float(s[0]) and (basis is not None or float(s[-1]) < max(3e-6 * float(s[0]), 0.0)):
            return exact(a, vectors=vectors, rounding=rounding)
        name = f"float64 Gram on {place}"
        values = s.cpu().numpy() / factor
        if basis is None:
            return Factors(values, None, None, name, FLOOR)
        short = basis.flip(1)
        long = (x @ short / s).cpu().numpy()
        turned = short.T.cpu().numpy()
        return Factors(values, long, turned, name, FLOOR) if b is a else Factors(values, turned.T, long.T, name, FLOOR)

    return engine
