import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, live, seen


def samples():
    declared = counting("rnn.weight_ih_l0", (8, 3), module="LSTM", hidden_size=2)
    bare = [counting("rnn.weight_ih_l0", (8, 3)), counting("rnn.weight_hh_l0", (8, 2))]
    cell = [counting("cell.weight_ih", (8, 3)), counting("cell.weight_hh", (8, 2))]
    reverse = [counting("r.weight_ih_l1_reverse", (8, 3)), counting("r.weight_hh_l1_reverse", (8, 2))]
    projected = [counting("p.weight_ih_l0", (8, 3)), counting("p.weight_hh_l0", (8, 1)), counting("p.weight_hr_l0", (1, 2))]
    groups = [bare, cell, reverse, projected]
    return [(declared, by_name(declared)), *((tensor, by_name(*group)) for group in groups for tensor in group)]


def test_gates_are_blocks_of_rows_in_the_order_i_f_g_o():
    rows = seen(counting("rnn.weight_ih_l0", (4, 3), module="LSTM"))
    assert [view for _, view in rows] == ["gate i", "gate f", "gate g", "gate o"]
    np.testing.assert_array_equal(rows["rnn.weight_ih_l0", "gate g"].read(), [[6, 7, 8]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_gates_reproduce_the_output_of_the_module(bare, proj_size, bidirectional):
    torch.manual_seed(0)
    module = torch.nn.LSTM(3, 4, proj_size=proj_size, bidirectional=bidirectional, bias=False, dtype=torch.float64)
    rows = seen(*live(module, "lstm", bare=bare))
    assert {row.kind for row in rows.values()} == {"lstm"}
    x = torch.randn(5, 3, dtype=torch.float64)
    expected = module(x)[0].detach().numpy()
    for direction in ("", "_reverse") if bidirectional else ("",):
        steps = x.numpy()[::-1] if direction else x.numpy()
        h, c, outputs = np.zeros(proj_size or 4), np.zeros(4), []
        for step in steps:
            i, f, g, o = (
                rows[f"lstm.weight_ih_l0{direction}", f"gate {gate}"].read() @ step
                + rows[f"lstm.weight_hh_l0{direction}", f"gate {gate}"].read() @ h
                for gate in "ifgo"
            )
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            if proj_size:
                h = rows[f"lstm.weight_hr_l0{direction}", "projection"].read() @ h
            outputs.append(h)
        width = proj_size or 4
        mine = expected[::-1, width:] if direction else expected[:, :width]
        np.testing.assert_allclose(outputs, mine, atol=1e-12)


def test_a_lone_input_weight_is_not_taken_apart():
    assert [row.kind for row in seen(counting("rnn.weight_ih_l0", (8, 3))).values()] == ["dense"]


def test_rows_that_are_no_four_gates_are_not_taken_apart():
    assert [row.kind for row in seen(counting("rnn.weight_ih_l0", (7, 3), module="LSTM")).values()] == ["dense"]
