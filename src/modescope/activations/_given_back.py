"""A model lent for inference and given back as it was."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


@contextmanager
def given_back(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients for a while; flags, buffers and random numbers are then as they were."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module, dict(module._buffers)) for module in model.modules() if isinstance(module._buffers, dict)]
    copies = [(tensor, tensor.detach().clone()) for tensor in model.buffers()]
    devices = {tensor.device.index for tensor in (*model.parameters(), *model.buffers()) if tensor.device.type == "cuda"}
    compiled = "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance")  # the latter from torch 2.6 on
    eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()  # compiled code calls no hook inside
    fast = torch.backends.mha.get_fastpath_enabled()
    with torch.random.fork_rng(devices=sorted(devices)), eager, torch.inference_mode(False), torch.no_grad():
        try:
            torch.backends.mha.set_fastpath_enabled(False)  # which runs an encoder layer as one kernel and calls no module in it
            for module, _ in modes:
                module.training = False  # not eval(), which a model may have given other effects
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for module, mode in modes:
                module.training = mode
            for module, own in buffers:
                module._buffers.clear()
                module._buffers.update(own)
            for tensor, copy in copies:
                if not torch.equal(tensor, copy):
                    tensor.copy_(copy)
