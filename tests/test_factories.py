"""Networks that a function of the user makes, and weights that are put into them: all of them, or an error that names one."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modescope.errors import UnsafeError, UsageError
from modescope.factories import made, placed, weighted

SOURCE = """
from beside import WIDTH
from torch import nn


class Net(nn.Linear):
    pass


def net(width=WIDTH, bias=True):
    return Net(3, width, bias=bias)


def nothing():
    return 3


def broken():
    raise ValueError("one line\\nand another")


def leaving():
    raise SystemExit("bye")


word = "text"
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "made_here.py").write_text(SOURCE)
    (tmp_path / "beside.py").write_text("WIDTH = 5")
    (tmp_path / "fails_at_once.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    for name in ("made_here", "beside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return str(tmp_path / "made_here.py")


def test_a_function_of_a_file_or_a_module_is_called_with_its_arguments(source: str) -> None:
    before = list(sys.path)
    assert made(f"{source}:net", {}).out_features == 5
    assert made("made_here:net", {"width": 2, "bias": False}).bias is None
    assert sys.path == before


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("made_here.py", "expected package.module:function or"),
        (":net", "expected package.module:function or"),
        ("made_here.py:no such", "expected package.module:function or"),
        ("made_here.py:absent", "expected a function 'absent'"),
        ("made_here.py:word", "got no function"),
        ("made_here.py:nothing", "to return a torch nn.Module, got int"),
        ("made_here.py:broken", r"failed, ValueError: one line\. --debug"),
        ("made_here.py:leaving", "failed, SystemExit: bye"),
        ("absent.py:net", "expected a Python file"),
        ("absent.module:net", "expected a module 'absent.module', got none"),
        ("a module:net", "expected the name of a module"),
        ("fails_at_once.py:net", "failed, ZeroDivisionError"),
        ("fails_at_once:net", "failed, ZeroDivisionError"),
    ],
)
def test_what_makes_no_network_is_said_in_one_line(source: str, where: str, said: str) -> None:
    assert source
    with pytest.raises(UsageError, match=said) as error:
        made(where, {})
    assert "\n" not in str(error.value)


def test_an_argument_that_the_function_does_not_have_is_said(source: str) -> None:
    with pytest.raises(UsageError, match="unexpected keyword argument 'depth'"):
        made(f"{source}:net", {"depth": 2})


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_weights_are_all_put_in_and_buffers_too(tmp_path: Path) -> None:
    source, target = network(1), network(2)
    source[1].running_mean.fill_(0.5)
    save_file(source.state_dict(), tmp_path / "a.safetensors")
    weighted(target, tmp_path / "a.safetensors")
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value) or name.endswith("num_batches_tracked")


def test_weights_that_do_not_fit_name_a_tensor_and_change_nothing(tmp_path: Path) -> None:
    state = network(1).state_dict()
    target = network(2)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    cases = {
        "0.bias, that the network has": {name: value for name, value in state.items() if name != "0.bias"},
        "3.weight, that the network has not": state | {"3.weight": torch.ones(2, 2)},
        r"2.weight: expected shape \(2, 4\), as in the network, got \(2, 5\)": state | {"2.weight": torch.ones(2, 5)},
    }
    for said, wrong in cases.items():
        save_file(wrong, tmp_path / "a.safetensors")
        with pytest.raises(UsageError, match=said):
            weighted(target, tmp_path / "a.safetensors")
        assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_one_of_two_tied_weights_is_enough(tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        made = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
        made[1].weight = made[0].weight
        return made

    source, target = tied(), tied()
    save_file({"0.weight": source[0].weight.detach()}, tmp_path / "a.safetensors")
    weighted(target, tmp_path / "a.safetensors")
    assert torch.equal(target[1].weight, source[0].weight)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(UnsafeError):
        weighted(network(), tmp_path / "a.npy")


def test_a_device_that_does_not_exist_is_said() -> None:
    net = network()
    assert placed(net, None) is net
    assert placed(net, "cpu") is net
    with pytest.raises(UsageError, match="expected a device of torch"):
        placed(net, "no such")
