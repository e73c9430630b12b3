"""The folder of a training: the network comes back as it was, in every form, and other files are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from modes_training_cases import blobs, net, same, weights
from modescope.errors import UnreadableError, UsageError
from modescope.modes.initialisation import spectral
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.reading import read, read_factors
from modescope.modes.training import run_folder
from modescope.modes.training.fitting import fit
from modescope.modes.training.growth import Grow
from modescope.scanning import scan

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"modes": (None, 3)},
        {"modes": (None, None)},
        {"modes": (3, 3), "tied": True},
        {"modes": (3, 2), "orthogonal": True},
        {"frozen_strength": True},
    ],
)
def test_a_trained_network_is_rebuilt_from_its_folder(tmp_path: Path, options: dict[str, Any]) -> None:
    model = net(**options)
    found = fit(model, blobs(), epochs=2, folder=tmp_path)
    loaded, settings = run_folder.load(tmp_path)
    assert torch.allclose(loaded(X), model(X), rtol=0, atol=1e-6)
    assert settings == found.settings
    assert not loaded.training
    assert sum(one.numel() for one in loaded.parameters()) == sum(one.numel() for one in model.parameters())
    assert all(one.requires_grad for one in loaded.parameters())


@pytest.mark.parametrize("init", ["iid", "published", "spectral"])
def test_a_run_says_how_its_modes_were_drawn_and_a_reading_takes_that_for_its_null(tmp_path: Path, init: str) -> None:
    fit(ModeMLP([6, 30, 12, 3], [2, 10, 2], over_complete=True, init=init), blobs(), epochs=1, folder=tmp_path)
    loaded, _ = run_folder.load(tmp_path)
    assert {layer.init for layer in loaded.layers} == {init}
    for found in (read(loaded, null=80, resamples=5), read_factors(tmp_path, null=80, resamples=5)):
        null = found["layers.1"].power_laws["omega"].null
        assert null is not None
        assert (null.init, found.options["init"]) == (init, init)
        assert not any("how the modes were drawn" in caution for caution in found.cautions)


def test_a_network_drawn_by_ones_own_function_does_not_claim_an_init(tmp_path: Path) -> None:
    fit(ModeMLP([6, 8, 3], [4, 3], over_complete=True, init=lambda *given: spectral(*given)), blobs(), epochs=1, folder=tmp_path)
    loaded, _ = run_folder.load(tmp_path)
    for found in (read(loaded, null=80, resamples=5), read_factors(tmp_path, null=80, resamples=5)):
        assert any("Nothing says how the modes were drawn" in caution for caution in found.cautions)
    with pytest.raises(UsageError, match="knows how it was drawn"):
        loaded.reset_parameters()


def test_a_network_that_grew_is_rebuilt_with_the_modes_it_has(tmp_path: Path) -> None:
    model = net()
    fit(model, blobs(), epochs=3, folder=tmp_path, grow=Grow(1, most=6))
    loaded, _ = run_folder.load(tmp_path / run_folder.MODEL)
    assert same(weights(loaded), weights(model))
    given, _ = run_folder.load(tmp_path, net())
    assert same(weights(given), weights(model))


def test_scan_sees_every_layer_as_a_product_also_where_patterns_are_tied(tmp_path: Path) -> None:
    model = net(modes=(3, 3), tied=True)
    fit(model, blobs(), epochs=1, folder=tmp_path)
    rows = scan(tmp_path / run_folder.MODEL).rows
    assert [row.shape for row in rows] == [(8, 6), (3, 8)]
    for row, layer in zip(rows, model.layers, strict=True):
        assert row.s[:3] == pytest.approx(torch.linalg.svdvals(layer.weight.detach().double())[:3].numpy(), rel=1e-5)


def test_a_network_of_other_code_needs_that_code(tmp_path: Path) -> None:
    model = nn.Linear(6, 3)
    fit(model, blobs(), epochs=1, folder=tmp_path)
    with pytest.raises(UsageError, match="pass a network that is to take the weights"):
        run_folder.load(tmp_path)
    loaded, _ = run_folder.load(tmp_path, nn.Linear(6, 3))
    assert torch.equal(loaded(X), model(X))
    with pytest.raises(UsageError, match=r"weight differs: \(3, 7\) in the network, \(3, 6\) there"):
        run_folder.load(tmp_path, nn.Linear(7, 3))


def test_places_without_a_trained_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got none"):
        run_folder.load(tmp_path)
    fit(net(), blobs(), epochs=1, folder=tmp_path)
    (tmp_path / run_folder.MODEL).unlink()
    with pytest.raises(UsageError, match="has not ended"):
        run_folder.load(tmp_path)
    save_file({"a": X}, tmp_path / run_folder.MODEL)
    with pytest.raises(UsageError, match="trained by Modescope"):
        run_folder.load(tmp_path)
    (tmp_path / run_folder.MODEL).write_bytes(b"no")
    with pytest.raises(UnreadableError, match="cannot be read"):
        run_folder.load(tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        {"sizes": [6, 10**12, 3]},
        {"sizes": [6, 8, "x"]},
        {"modes": [4]},
        {"modes": [10**12, 3]},
        {"tied": True},
        {"sizes": []},
    ],
)
def test_words_that_do_not_fit_the_tensors_are_refused_and_take_no_memory(tmp_path: Path, said: dict[str, Any]) -> None:
    fit(net(), blobs(), epochs=1, folder=tmp_path)
    file = tmp_path / run_folder.MODEL
    with safe_open(file, "pt") as held:
        about = held.metadata()
    about["network"] = json.dumps(json.loads(about["network"]) | said)
    save_file(load_file(file), file, about)
    with pytest.raises(UnreadableError, match="its metadata describe"):
        run_folder.load(tmp_path)


def test_a_folder_that_cannot_be_made_or_holds_a_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder for the training"):
        fit(net(), blobs(), folder=tmp_path / "file")
    save_file({"a": X}, tmp_path / run_folder.MODEL)
    for resume, words in ((False, "would be lost"), (True, "no state to resume from")):
        with pytest.raises(UsageError, match=words):
            fit(net(), blobs(), folder=tmp_path, resume=resume)


def test_no_file_of_a_run_is_left_half_written(tmp_path: Path) -> None:
    fit(ModeMLP([6, 3], [None]), blobs(), epochs=3, folder=tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([run_folder.STATE, run_folder.PREVIOUS, run_folder.MODEL])
