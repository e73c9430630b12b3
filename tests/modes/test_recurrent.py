"""Recurrent cells in modes: torch's own cells with composed weights are the oracle, along a sequence too."""

import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.modes.modules.recurrent import ModeGRUCell, ModeRecurrent, ModeRNNCell

CELLS = {
    "tanh": (ModeRNNCell, nn.RNNCell, {"nonlinearity": "tanh"}),
    "relu": (ModeRNNCell, nn.RNNCell, {"nonlinearity": "relu"}),
    "gru": (ModeGRUCell, nn.GRUCell, {}),
}
CASES = pytest.mark.parametrize("kind", CELLS)


def pair(kind: str, *, bias: bool = True, n_modes: int | tuple[int, int] = (3, 2)):
    """A cell in modes and torch's with its composed weights."""
    ours, theirs, options = CELLS[kind]
    made = {"generator": torch.Generator().manual_seed(3), "dtype": torch.float64}
    cell = ours(5, 4, n_modes, bias, **options, **made)
    dense = theirs(5, 4, bias, dtype=torch.float64, **options)
    if bias:
        for layer in (cell.ih, cell.hh):
            nn.init.normal_(layer.bias, generator=made["generator"])
    return cell, copied(cell, dense)


def copied(cell, dense: nn.Module, end: str = "") -> nn.Module:
    with torch.no_grad():
        for name in ("ih", "hh"):
            layer = getattr(cell, name)
            getattr(dense, f"weight_{name}{end}").copy_(layer.weight)
            if layer.bias is not None:
                getattr(dense, f"bias_{name}{end}").copy_(layer.bias)
    return dense


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def chained(cell, dense: nn.Module, end: str = "") -> None:
    """The gradients of the factors are those of torch's weights through W = xi_out diag(s) xi_in."""
    for name in ("ih", "hh"):
        layer, of_weight = getattr(cell, name), getattr(dense, f"weight_{name}{end}").grad
        for factor, chain in {
            "xi_out": of_weight @ layer.xi_in.T * layer.s,
            "s": torch.einsum("ok,oi,ki->k", layer.xi_out, of_weight, layer.xi_in),
            "xi_in": layer.s[:, None] * (layer.xi_out.T @ of_weight),
        }.items():
            torch.testing.assert_close(getattr(layer, factor).grad, chain, rtol=1e-12, atol=1e-12, msg=f"{name}.{factor}")
        if layer.bias is not None:
            torch.testing.assert_close(layer.bias.grad, getattr(dense, f"bias_{name}{end}").grad, rtol=1e-12, atol=1e-12)


@CASES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (7,)])
@pytest.mark.parametrize("state", [True, False])
def test_the_next_state_and_all_gradients_are_those_of_torchs_cell(
    kind: str, bias: bool, batch: tuple[int, ...], state: bool
) -> None:
    cell, dense = pair(kind, bias=bias)
    x, hx = random(*batch, 5), random(*batch, 4) if state else None
    found, wanted = cell(x, hx), dense(x, hx)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    for out in (found, wanted):
        (out * random(*batch, 4)).sin().sum().backward()
    chained(cell, dense)


@CASES
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("state", [True, False])
def test_a_sequence_is_torchs_recurrent_layer_with_its_gradients(kind: str, batch_first: bool, state: bool) -> None:
    cell, _ = pair(kind)
    options = CELLS[kind][2]
    whole = nn.GRU if kind == "gru" else nn.RNN
    dense = copied(cell, whole(5, 4, batch_first=batch_first, dtype=torch.float64, **options), "_l0")
    x, hx = random(3, 6, 5), random(3 if batch_first else 6, 4) if state else None
    states, last = ModeRecurrent(cell, batch_first)(x, hx)
    wanted, end = dense(x, None if hx is None else hx[None])
    torch.testing.assert_close(states, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, end[0], rtol=1e-12, atol=1e-12)
    for out in (states, wanted):
        (out * random(*out.shape)).sin().sum().backward()
    chained(cell, dense, "_l0")


@CASES
def test_a_sequence_without_a_batch_is_that_of_a_batch_of_one(kind: str) -> None:
    layer = ModeRecurrent(pair(kind)[0], batch_first=True)
    x = random(6, 5)
    states, last = layer(x)
    batched, end = layer(x[None])
    torch.testing.assert_close(states, batched[0])
    torch.testing.assert_close(last, end[0])


@CASES
def test_a_state_acts_through_its_projections_on_the_modes_alone(kind: str) -> None:
    cell, _ = pair(kind)
    h = random(4)
    kappa = cell.kappa(h)
    assert kappa.shape == (2,)
    torch.testing.assert_close(cell.hh(h), cell.hh.xi_out @ (cell.hh.s * kappa) + cell.hh.bias)
    unseen = torch.linalg.svd(cell.hh.xi_in.detach())[2][2:].sum(0)  # orthogonal to what every mode reads
    torch.testing.assert_close(cell.kappa(h + unseen), kappa)
    if kind != "gru":
        torch.testing.assert_close(cell(random(5), h + unseen), cell(random(5), h))


def test_one_set_of_modes_serves_all_gates() -> None:
    cell = ModeGRUCell(5, 4, 2, bias=False)
    assert sum(one.numel() for one in cell.parameters()) == 2 * (12 + 5 + 1) + 2 * (12 + 4 + 1)
    assert ModeGRUCell(5, 4, (3, 1)).ih.n_modes == 3
    assert ModeGRUCell(5, 4, (3, 1)).hh.n_modes == 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: ModeRNNCell(5, 4, 2, nonlinearity="gelu"), "'tanh' or 'relu', got 'gelu'"),
        (lambda: ModeRNNCell(5, 4, (2, 2, 2)), "one number or as two"),
        (lambda: ModeGRUCell(5, 4, 0), "got 0"),
        (lambda: ModeGRUCell(5, 4, 2)(torch.zeros(1, 2, 5)), r"got \(1, 2, 5\)"),
        (lambda: ModeGRUCell(5, 4, 2)(torch.zeros(2, 5), torch.zeros(4)), r"a state \(2, 4\) .* got \(4,\)"),
        (lambda: ModeRNNCell(5, 4, 2)(torch.zeros(2, 5), torch.zeros(1, 4)), r"a state \(2, 4\) .* got \(1, 4\)"),
        (lambda: ModeRNNCell(5, 4, 2.5), "n_modes .* got 2.5"),
        (lambda: ModeRecurrent(ModeGRUCell(5, 4, 2))(torch.zeros(3, 2, 5), torch.zeros(1, 2, 4)), r"got \(1, 2, 4\)"),
        (lambda: ModeRecurrent(ModeGRUCell(5, 4, 2))(torch.zeros(0, 2, 5)), r"one step or more, got \(0, 2, 5\)"),
    ],
)
def test_what_cannot_be_is_refused(made, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        made()
