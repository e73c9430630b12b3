"""An embedding in modes: each token has p numbers, which p patterns of the output turn into its vector."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.modes.modules.base import ModeLayer


class ModeEmbedding(ModeLayer):
    """Drop-in for `torch.nn.Embedding` with p modes.

    Torch's weight (tokens, dim) is the transpose of ours: a token is an input, so xi_out is (dim, p) and xi_in (p, tokens). xi_in
    lies in memory token by token, so that a lookup reads p neighbours; copies, optimizers and loaded state keep that. The state
    dict holds a contiguous copy of it, which safetensors can save; FSDP wants contiguous parameters and so needs `by_mode()` first.

    Gradients are dense, and `max_norm`, `scale_grad_by_freq` and `sparse` are not offered.

    Example:
        >>> layer = ModeEmbedding(30522, 384, n_modes=64)
        >>> layer.cost.factored(64), layer.cost.dense
        (1978048, 11720448)
    """

    padding_idx: int | None = None

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        n_modes: int,
        padding_idx: int | None = None,
        bias: bool = False,
        *,
        gain: float | None = None,
        **options: Any,
    ) -> None:
        """Draw the modes.

        Args:
            num_embeddings: Tokens.
            embedding_dim: Length of a token's vector.
            n_modes: p.
            padding_idx: A token whose vector is exactly 0 and is not trained; a negative one counts from the end. Modes that are
                set later are made 0 there.
            bias: Whether one vector is added to those of all tokens; not together with `padding_idx`.
            gain: N Var W at the start; by default the number of tokens, so that an entry has variance 1 as torch's has.
            **options: As of `ModeLayer`.

        Raises:
            UsageError: `padding_idx` is no token or comes with a bias or orthogonal patterns, or as `ModeLayer`.
        """
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise UsageError(f"ModeEmbedding: expected padding_idx to be one of {num_embeddings} tokens, got {padding_idx}.")
        for name in ("bias", "orthogonal"):
            if padding_idx is not None and (bias if name == "bias" else options.get(name)):
                raise UsageError(f"ModeEmbedding: expected no {name}=True beside padding_idx, whose vector must stay 0.")
        super().__init__(
            embedding_dim, num_embeddings, n_modes, bias=bias, gain=max(num_embeddings, 1) if gain is None else gain, **options
        )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self._clear_padding()
        self.by_token()

    def mode_activations(self, tokens: Tensor) -> Tensor:
        """(...) to (..., p): what each mode has for these tokens, before its strength."""
        return functional.embedding(tokens, self.xi_in.T, self.padding_idx)

    def forward(self, input: Tensor) -> Tensor:  # named as torch does
        """Integers of any shape (...) to (..., dim)."""
        return functional.linear(self.mode_activations(input) * self.s, self.xi_out, self.bias)

    def set_modes(self, modes: Modes) -> None:
        """As of any mode layer; the padding stays 0."""
        super().set_modes(modes)
        self._clear_padding()
        self.by_token()

    def by_token(self) -> None:
        """Lay xi_in out token by token, as it is from the start; its shape and values stay."""
        if "xi_in" in self._parameters and not self.xi_in.T.is_contiguous():  # orthonormal patterns are no parameter
            self.xi_in.data = self.xi_in.data.T.contiguous().T

    def by_mode(self) -> None:
        """Lay xi_in out mode by mode, contiguous as FSDP wants its parameters; lookups then read p places far apart."""
        if "xi_in" in self._parameters:
            self.xi_in.data = self.xi_in.data.contiguous()

    def _clear_padding(self) -> None:
        if self.padding_idx is not None:
            with torch.no_grad():
                self.xi_in[:, self.padding_idx] = 0

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not keep_vars and "xi_in" in self._parameters:
            destination[f"{prefix}xi_in"] = destination[f"{prefix}xi_in"].contiguous()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        kept = self._parameters.get("xi_in")
        super()._load_from_state_dict(*args, **kwargs)
        if self._parameters.get("xi_in") is not kept:  # loaded with assign=True: the file's own tensor, in the file's layout
            self.by_token()
