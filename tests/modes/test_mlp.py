"""Networks in modes: counts of the paper's tables, the break-even rule, shared patterns with their gradients and their law."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from modescope.errors import UsageError
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import BreakEvenWarning, ModeMLP

SIZES = [784, 100, 100, 10]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(tied: bool = True, p: int = 4, **options) -> ModeMLP:
    """The network 7-6-5-3 of the conservation law, with p modes in all layers."""
    return ModeMLP([7, 6, 5, 3], p, tied=tied, over_complete=True, dtype=torch.float64, generator=generator(), **options)


def parameters(net: nn.Module) -> int:
    return sum(one.numel() for one in net.parameters())


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(sum(shape)))


@pytest.mark.parametrize(("p", "untied", "tied"), [(10, 11970, 9970), (30, 35910, 29910), (70, 83790, 69790)])
def test_parameters_are_those_of_the_table(p: int, untied: int, tied: int) -> None:
    options = {"bias": False, "device": "meta"}
    assert parameters(ModeMLP(SIZES, p, over_complete=True, **options)) == untied
    assert parameters(ModeMLP(SIZES, p, tied=True, **options)) == tied
    assert parameters(ModeMLP(SIZES, None, **options)) == 89400


def test_layers_that_would_save_nothing_stay_dense_and_one_warning_names_them_all() -> None:
    with pytest.warns(BreakEvenWarning, match=r"layer 1 \(100 to 100, 50 .*49\.8\), layer 2 \(100 to 10, 50 .*9\.0\)") as caught:
        net = ModeMLP(SIZES, 50, device="meta")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [type(one) for one in net.layers] == [ModeLinear, nn.Linear, nn.Linear]
    with pytest.warns(BreakEvenWarning, match="layer 2"):  # 9 modes in 100 to 10 save one parameter, 10 save none
        assert type(ModeMLP(SIZES, [49, 49, 10], device="meta").layers[1]) is ModeLinear


def test_dense_layers_that_are_asked_for_and_over_complete_ones_bring_no_warning() -> None:
    assert [type(one) for one in ModeMLP(SIZES, [30, None, 9], device="meta").layers] == [ModeLinear, nn.Linear, ModeLinear]
    assert [one.n_modes for one in ModeMLP(SIZES, 120, over_complete=True, device="meta").layers] == [120] * 3


def test_auto_takes_a_third_of_the_parameters_and_leaves_small_layers_dense() -> None:
    net = ModeMLP(SIZES, "auto", bias=False, device="meta")
    assert [type(one) for one in net.layers] == [ModeLinear, ModeLinear, nn.Linear]
    for layer, dense in zip(net.layers[:2], (78400, 10000), strict=True):
        assert dense / 3 - layer.cost.per_mode < parameters(layer) <= dense / 3


def test_dense_layers_begin_with_the_variance_of_the_others_and_without_bias() -> None:
    net = ModeMLP([300, 400, 10], None, gain=2.0, generator=generator())
    assert float(net.layers[0].weight.detach().square().mean()) * 300 == pytest.approx(2, rel=0.03)  # 1.2e5 entries
    assert net.layers[0].bias.eq(0).all()
    again = ModeMLP([300, 400, 10], None, gain=2.0, generator=generator())
    assert torch.equal(net.layers[0].weight, again.layers[0].weight)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_answer_is_that_of_the_dense_network_with_the_composed_weights(tied: bool, bias: bool) -> None:
    net = small(tied, bias=bias, activation=torch.tanh)
    x = random(11, 7)
    h = x
    for at, layer in enumerate(net.layers):
        if bias:
            nn.init.normal_(layer.bias, generator=generator(at))
        h = nn.functional.linear(h, layer.weight, layer.bias)
        h = h if at == 2 else torch.tanh(h)
    torch.testing.assert_close(net(x), h, rtol=1e-12, atol=1e-12)


def test_the_tied_network_is_its_formula() -> None:
    net = small(bias=False)
    patterns = [layer.xi_in for layer in net.layers] + [net.layers[-1].xi_out.T]
    h = random(7)
    for at, layer in enumerate(net.layers):
        z = patterns[at + 1].T @ (layer.s * (patterns[at] @ h))
        h = torch.relu(z)
    torch.testing.assert_close(net(random(7)), z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_are_central_differences(tied: bool) -> None:
    net = small(tied, activation=torch.tanh)
    x, y, step = random(11, 7), random(11, 3), 1e-5

    def loss() -> torch.Tensor:
        return (net(x) - y).square().mean()

    loss().backward()
    for parameter in net.parameters():
        flat, found = parameter.data.view(-1), parameter.grad.reshape(-1)
        for at in range(flat.numel()):
            kept, ends = flat[at].item(), []
            for moved in (kept + step, kept - step):
                flat[at] = moved
                ends.append(loss().item())
            flat[at] = kept
            assert found[at].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)


def test_a_shared_pattern_gets_the_gradients_of_both_its_roles() -> None:
    tied = small()
    untied = tied.untied()
    x = random(11, 7)
    torch.testing.assert_close(untied(x), tied(x), rtol=1e-12, atol=1e-12)
    for net in (tied, untied):
        net(x).sin().sum().backward()
    for at in (1, 2):
        both = untied.layers[at].xi_in.grad + untied.layers[at - 1].xi_out.grad.T
        torch.testing.assert_close(tied.layers[at].xi_in.grad, both, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tied.layers[2].xi_out.grad, untied.layers[2].xi_out.grad, rtol=1e-12, atol=1e-12)


def conserved(net: ModeMLP) -> list[torch.Tensor]:
    """|x_k|^2 - s_k^2 of the layer before - s_k^2 of the layer behind, for each shared set of patterns."""
    squares = [layer.s.detach() ** 2 for layer in net.layers]
    patterns = [layer.xi_in.detach() for layer in net.layers] + [net.layers[-1].xi_out.detach().T]
    norms = [one.square().sum(1) for one in patterns]
    return [norm - (squares[at - 1] if at else 0) - (squares[at] if at < len(squares) else 0) for at, norm in enumerate(norms)]


def test_no_gradient_changes_what_tied_gradient_flow_conserves() -> None:
    net = small()
    (net(random(11, 7)) - random(11, 3)).square().mean().backward()
    rates = [(layer.s * layer.s.grad).detach() for layer in net.layers]
    patterns = [layer.xi_in for layer in net.layers] + [net.layers[-1].xi_out]
    for at, pattern in enumerate(patterns):
        rate = (pattern * pattern.grad).detach().sum(1 if at < len(rates) else 0)
        law = rate - (rates[at - 1] if at else 0) - (rates[at] if at < len(rates) else 0)
        assert float(law.abs().max()) < 1e-12
        assert float(rate.abs().max()) > 1e-4


@pytest.mark.parametrize(("rate", "steps"), [(2e-4, 2000), pytest.param(1e-4, 20_000, marks=pytest.mark.full)])
def test_gradient_descent_keeps_the_tied_law_while_parameters_move(rate: float, steps: int) -> None:
    net = small(bias=False)
    before, begun = conserved(net), [one.detach().clone() for one in net.parameters()]
    x, y = random(11, 7), random(11, 3)
    held = list(net.parameters())
    for _ in range(steps):
        slopes = torch.autograd.grad((net(x) - y).square().sum() / 22, held)
        torch._foreach_sub_([one.data for one in held], torch._foreach_mul(slopes, rate))
    drift = max(float((now - then).abs().max()) for now, then in zip(conserved(net), before, strict=True))
    motion = max(float((now - then).abs().max()) for now, then in zip([one.detach() for one in held], begun, strict=True))
    assert motion > 0.05
    assert drift < 1e-3 * motion


@pytest.mark.parametrize("init", ["spectral", "iid"])
def test_a_tied_network_begins_with_modes_as_strong_as_untied_ones(init: str) -> None:
    tied, untied = (
        ModeMLP([40, 30, 20, 10], 6, tied=tied, over_complete=True, init=init, generator=generator()) for tied in (True, False)
    )
    for one, other in zip(tied.layers, untied.layers, strict=True):
        torch.testing.assert_close(torch.tensor(one.modes().omega), torch.tensor(other.modes().omega), rtol=1e-5, atol=1e-6)
        if init == "spectral":  # whose modes are orthogonal, so that the weight has the same singular values too
            found, wanted = (torch.linalg.svdvals(layer.weight.detach()) for layer in (one, other))
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_tied_layer_cannot_be_given_modes_of_its_own() -> None:
    net = small()
    with pytest.raises(UsageError, match="owns its patterns"):
        net.layers[0].balance()
    with pytest.raises(UsageError, match="tied network to untie"):
        net.untied().untied()


def test_a_copy_of_a_tied_network_shares_nothing_with_it() -> None:
    net = small()
    twin = copy.deepcopy(net)
    x = random(2, 7)
    before = net(x)
    with torch.no_grad():
        twin.layers[1].xi_in.zero_()
    torch.testing.assert_close(net(x), before, rtol=0, atol=0)
    assert twin(x).eq(twin.layers[2].bias).all()
    assert twin.layers[0].weight.eq(0).all()


def test_the_state_of_a_tied_network_holds_every_pattern_once() -> None:
    state = small(bias=False).state_dict()
    assert set(state) == {f"layers.{at}.{name}" for at in range(3) for name in ("s", "xi_in")} | {"layers.2.xi_out"}
    assert set(small(bias=False).untied().state_dict()) == {
        f"layers.{at}.{name}" for at in range(3) for name in ("xi_out", "s", "xi_in")
    }


def test_a_tied_network_can_be_called_with_other_parameters() -> None:
    net = small()
    others = {name: 2 * one for name, one in net.named_parameters()}
    x = random(2, 7)
    found = functional_call(net, others, (x,))
    net.load_state_dict(others)
    torch.testing.assert_close(found, net(x), rtol=0, atol=0)


@pytest.mark.parametrize("n_modes", [2, [2, None, 1], None])
def test_a_network_made_without_numbers_draws_them_later_as_it_would_have_at_once(n_modes: int | list[int | None] | None) -> None:
    for tied in {n_modes == 2, False}:
        options = {"tied": tied, "gain": 1.5, "init": "iid"}
        late = ModeMLP([9, 8, 7, 6], n_modes, device="meta", **options).to_empty(device="cpu")
        late.reset_parameters(generator())
        at_once = ModeMLP([9, 8, 7, 6], n_modes, generator=generator(), **options)
        assert all(torch.equal(one, at_once.state_dict()[name]) for name, one in late.state_dict().items())


def test_orthogonal_patterns_and_dense_layers_go_together() -> None:
    layer, last = ModeMLP([9, 8, 3], [3, None], orthogonal=True).layers
    torch.testing.assert_close(layer.xi_in @ layer.xi_in.T, torch.eye(3), rtol=0, atol=1e-5)
    assert type(last) is nn.Linear


def test_an_activation_that_is_a_module_is_trained_with_the_network() -> None:
    net = small(activation=nn.PReLU(dtype=torch.float64))
    assert "activation.weight" in net.state_dict()
    assert net.untied().activation.weight is not net.activation.weight


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (([5], 2), {}, r"two sizes or more, .* got \[5\]"),
        (([5, 0, 3], 2), {}, "size 1 as .* got 0"),
        (([5, 4, 3], [2]), {}, "each of 2 layers, got 1"),
        (([5, 4, 3], [2, 0]), {}, "n_modes of layer 1 as .* got 0"),
        (([5, 4, 3], 2.5), {}, "got 2.5"),
        (([5, 4, 3], "all"), {}, "got 'all'"),
        (([5, 4, 3], [2, 3]), {"tied": True}, r"one number of modes for all tied layers, .* got \[2, 3\]"),
        (([5, 4, 3], None), {"tied": True}, "one number of modes for all tied layers"),
        (([5, 4, 3], 2), {"tied": True, "frozen_strength": True}, "without frozen_strength"),
        (([5, 4, 3], 2), {"tied": True, "orthogonal": True}, "without orthogonal"),
        (([5, 4, 3], 1), {"init": "zero"}, "got 'zero'"),
        (([5, 4, 3], None), {"init": "zero"}, "got 'zero'"),
        (([5, 4, 3], None), {"gain": -1}, "gain"),
        (([5, 4, 3], None), {"gian": 1}, "gian"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple, options: dict, said: str) -> None:
    with pytest.raises((UsageError, TypeError), match=said):
        ModeMLP(*arguments, **options)
