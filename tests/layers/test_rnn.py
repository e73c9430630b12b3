import numpy as np
import torch

from layer_cases import by_name, counting, live, seen


def samples():
    declared = counting("rnn.weight_ih_l0", (6, 3), module="RNN")
    bare = [counting("rnn.weight_ih_l0", (6, 3)), counting("rnn.weight_hh_l0", (6, 6))]
    return [(declared, by_name(declared)), *((tensor, by_name(*bare)) for tensor in bare)]


def test_a_plain_network_has_one_matrix_each_for_input_and_state():
    torch.manual_seed(0)
    module = torch.nn.RNN(3, 4, bias=False, dtype=torch.float64)
    rows = seen(*live(module, bare=True))
    assert [(row.kind, row.view, row.shape) for row in rows.values()] == [("rnn", "dense", (4, 3)), ("rnn", "dense", (4, 4))]
    x = torch.randn(3, 3, dtype=torch.float64)
    h, outputs = np.zeros(4), []
    for step in x.numpy():
        h = np.tanh(rows["weight_ih_l0", "dense"].read() @ step + rows["weight_hh_l0", "dense"].read() @ h)
        outputs.append(h)
    np.testing.assert_allclose(outputs, module(x)[0].detach().numpy(), atol=1e-12)
