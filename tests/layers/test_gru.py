import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, live, seen


def samples():
    declared = counting("rnn.weight_ih_l0", (6, 3), module="GRU")
    bare = [counting("enc_w_ih", (6, 3)), counting("enc_w_hh", (6, 2))]
    return [(declared, by_name(declared)), *((tensor, by_name(*bare)) for tensor in bare)]


def test_gates_are_blocks_of_rows_in_the_order_r_z_n():
    rows = seen(counting("rnn.weight_hh_l0", (6, 2), module="GRUCell"))
    assert [view for _, view in rows] == ["gate r", "gate z", "gate n"]
    np.testing.assert_array_equal(rows["rnn.weight_hh_l0", "gate z"].read(), [[4, 5], [6, 7]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("bare", [False, True])
def test_the_gates_reproduce_the_output_of_the_module(bare):
    torch.manual_seed(0)
    module = torch.nn.GRU(3, 4, bias=False, dtype=torch.float64)
    rows = seen(*live(module, bare=bare))
    assert {row.kind for row in rows.values()} == {"gru"}
    x = torch.randn(5, 3, dtype=torch.float64)
    h, outputs = np.zeros(4), []
    for step in x.numpy():
        (xr, xz, xn), (hr, hz, hn) = (
            [rows[name, f"gate {gate}"].read() @ of for gate in "rzn"] for name, of in (("weight_ih_l0", step), ("weight_hh_l0", h))
        )
        n = np.tanh(xn + sigmoid(xr + hr) * hn)
        z = sigmoid(xz + hz)
        h = (1 - z) * n + z * h
        outputs.append(h)
    np.testing.assert_allclose(outputs, module(x)[0].detach().numpy(), atol=1e-12)
