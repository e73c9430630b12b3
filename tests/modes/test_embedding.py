"""Embeddings in modes: torch's with the composed weight is the oracle, and their layout in memory outlives what happens to them."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from modescope.errors import UsageError
from modescope.modes.factors import of_svd
from modescope.modes.modules.embedding import ModeEmbedding

TOKENS = torch.tensor([[0, 3, 3, 10], [2, 2, 5, 0]])


def embedding(padding_idx: int | None = None, p: int = 4, **options) -> ModeEmbedding:
    return ModeEmbedding(11, 6, p, padding_idx, generator=torch.Generator().manual_seed(1), dtype=torch.float64, **options)


def by_token(layer: ModeEmbedding) -> bool:
    return layer.xi_in.stride() == (1, layer.n_modes)


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize("p", [1, 4, 9])
def test_vectors_and_gradients_are_those_of_torchs_embedding_with_the_composed_weight(padding_idx: int | None, p: int) -> None:
    layer = embedding(padding_idx, p)
    dense = nn.Embedding(11, 6, padding_idx, dtype=torch.float64)
    dense.weight.data = layer.weight.detach().T.contiguous()
    found, wanted = layer(TOKENS), dense(TOKENS)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    loss = torch.arange(found.numel(), dtype=torch.float64).view_as(found)
    (found * loss).sum().backward()
    (wanted * loss).sum().backward()
    of_weight = dense.weight.grad.T  # the chain rule through W = xi_out diag(s) xi_in
    for name, chain in {
        "xi_out": of_weight @ layer.xi_in.T * layer.s,
        "s": torch.einsum("ok,oi,ki->k", layer.xi_out, of_weight, layer.xi_in),
        "xi_in": layer.s[:, None] * (layer.xi_out.T @ of_weight),
    }.items():
        torch.testing.assert_close(getattr(layer, name).grad, chain, rtol=1e-12, atol=1e-10)


def test_the_padding_is_exactly_zero_and_stays_it_in_training_and_with_other_modes() -> None:
    layer = embedding(2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(TOKENS) + 1).square().sum().backward()
        optimizer.step()
        assert layer(torch.tensor(2)).eq(0).all()
        assert layer.xi_in.grad[:, 2].eq(0).all()
    u, s, vh = torch.linalg.svd(torch.randn(6, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), False)
    layer.set_modes(of_svd(u.numpy(), s.numpy(), vh.numpy()))
    assert layer.n_modes == 6
    assert layer(torch.tensor(2)).eq(0).all()
    assert layer(torch.tensor(3)).ne(0).all()


def test_a_token_lies_in_one_piece_of_memory_after_everything_that_happens_to_modules(tmp_path) -> None:
    layer = embedding(p=3)
    assert by_token(layer)
    layer.balance()
    assert by_token(layer)
    layer.set_modes(embedding(p=5).modes())
    assert by_token(layer)
    assert by_token(copy.deepcopy(layer))
    assert by_token(copy.deepcopy(layer).to(torch.float32))
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(TOKENS).sum().backward()
    optimizer.step()
    assert by_token(layer)
    assert layer.xi_in.grad.stride() == layer.xi_in.stride() == optimizer.state[layer.xi_in]["exp_avg"].stride()
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    state = load_file(tmp_path / "layer.safetensors")
    for assign in (False, True):
        other = embedding(p=5)
        other.load_state_dict(state, assign=assign)
        assert by_token(other)
        torch.testing.assert_close(other(TOKENS), layer(TOKENS), rtol=0, atol=0)


def test_the_other_layout_gives_the_same_vectors_and_can_be_left_again() -> None:
    layer = embedding()
    before = layer(TOKENS)
    held = layer.xi_in
    layer.by_mode()
    assert layer.xi_in.is_contiguous()
    torch.testing.assert_close(layer(TOKENS), before, rtol=0, atol=0)
    layer.by_token()
    assert by_token(layer)
    assert layer.xi_in is held


def test_parameters_kept_as_such_in_a_state_dict_are_the_parameters() -> None:
    layer = embedding()
    assert layer.state_dict(keep_vars=True)["xi_in"] is layer.xi_in


def test_entries_begin_with_variance_one_as_torchs_do() -> None:
    layer = ModeEmbedding(400, 100, 100, generator=torch.Generator().manual_seed(0))
    assert float(layer.weight.detach().square().mean()) == pytest.approx(1, rel=0.05)  # 4e4 normal entries: standard error 0.007
    assert float(ModeEmbedding(400, 100, 100, gain=100.0).weight.detach().square().mean()) == pytest.approx(0.25, rel=0.05)


def test_orthonormal_patterns_look_up_the_composed_weight_too() -> None:
    layer = embedding(orthogonal=True)
    layer.by_mode()
    torch.testing.assert_close(layer(TOKENS), layer.weight.T[TOKENS], rtol=1e-12, atol=1e-12)
    other = embedding(orthogonal=True)
    other.load_state_dict(layer.state_dict(), assign=True)
    torch.testing.assert_close(other(TOKENS), layer(TOKENS), rtol=0, atol=0)


def test_a_bias_is_added_to_every_token() -> None:
    layer = embedding(bias=True)
    plain = layer(TOKENS)
    with torch.no_grad():
        layer.bias += 2
    torch.testing.assert_close(layer(TOKENS), plain + 2)
    assert embedding().bias is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"padding_idx": 11}, "one of 11 tokens, got 11"),
        ({"padding_idx": 0, "bias": True}, "no bias=True beside padding_idx"),
        ({"padding_idx": 0, "orthogonal": True}, "no orthogonal=True beside"),
        ({"p": 0}, "0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        embedding(**options)
