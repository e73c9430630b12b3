"""Reading a network as a whole: what is in the result, its document and its page, and that the network is given back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modes_trained_cases import same, state
from modescope.blocks import Block, Curve, Note, Section, Table
from modescope.errors import Interrupted, UnreadableError, UsageError
from modescope.modes import reading
from modescope.modes.factors import svd
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.reading import read, read_factors
from modescope.modes.reading.evaluating import Sample, increases
from modescope.modes.reading.result import Reading
from modescope.render.html import render

HOSTILE = "<img src=x onerror=alert(1)>"


def net(seed: int = 0, hidden: int = 14, modes: int = 10) -> nn.Sequential:
    drawn = torch.Generator().manual_seed(seed)
    layers = [
        ModeLinear(12, hidden, modes, generator=drawn),
        nn.ReLU(),
        ModeLinear(hidden, 3, 3, generator=drawn, frozen_strength=True),
    ]
    return nn.Sequential(*layers)


def data() -> Sample:
    rng = np.random.default_rng(0)
    return Sample(rng.standard_normal((150, 12)).astype(np.float32), rng.integers(0, 3, 150), source="mine")


@cache
def whole() -> Reading:
    dense = nn.Sequential(nn.Linear(12, 14), nn.ReLU(), nn.Linear(14, 3))
    return read(net(), data(), untrained=net(7), dense=dense, draws=5, null=80, resamples=20, seed=3)


def every(blocks: Any) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from every(block.blocks)


def test_a_reading_has_every_layer_with_all_that_was_measured() -> None:
    found = whole()
    assert [layer.name for layer in found.layers] == ["0", "2"]
    layer = found["0"]
    assert set(layer.importance) == {"omega", "tau", "abs_s", "first_order", "increase"}
    assert set(layer.agreement) == {"omega", "tau", "abs_s", "first_order"}
    assert all(values.shape == (10,) for values in layer.importance.values())
    s = svd(layer.modes)[1]
    assert layer.stable_rank == pytest.approx((s**2).sum() / s[0] ** 2)
    assert (layer.rank, found["2"].rank) == (10, 3)
    assert layer.removal is not None
    assert set(layer.removal.curves) == {"smallest", "largest", "least increase", "random"}
    assert (layer.cost.factored(10), found["2"].cost.factored(3)) == (10 * 27, 3 * 17)  # frozen strengths cost nothing
    assert found["2"].power_laws["omega"].status.startswith("it needs 9 modes")
    with pytest.raises(KeyError, match="expected one of 0, 2, got '1'"):
        found["1"]


def test_the_networks_are_side_by_side_and_mode_activations_are_of_those_in_modes() -> None:
    names = {(one.network, one.what) for one in whole().spaces}
    assert names == {(name, "states") for name in ("this network", "untrained", "dense")} | {
        (name, "modes") for name in ("this network", "untrained")
    }


def test_the_network_is_given_back_as_it_was_in_training_too() -> None:
    model = net().train()
    before = state(model)
    read(model, data(), draws=2, null=0, resamples=5)
    assert same(before, state(model))


def test_a_seed_settles_every_draw() -> None:
    again = [read(net(), data(), draws=3, null=80, resamples=10, seed=seed).to_dict() for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_the_document_is_plain_and_holds_no_number_that_is_none() -> None:
    found = whole().to_dict()
    assert found["schema"] == "modescope.modes/1"
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    (part,) = found["reading"]
    assert part["layers"][0]["parameters"] == 270
    assert part["layers"][0]["dense_parameters"] == 168
    assert part["layers"][1]["power_laws"]["omega"]["slopes"] is None
    assert part["options"]["seed"] == 3


def test_a_data_frame_has_a_row_for_every_mode() -> None:
    frame = whole().to_pandas()
    assert len(frame) == 13
    assert frame[frame.layer == "0"].omega.to_numpy() == pytest.approx(whole()["0"].importance["omega"])


def said(found: Reading) -> str:
    return " ".join(block.text for block in found.report().blocks if isinstance(block, Note))


def test_the_page_says_first_what_layers_cost_what_they_can_lose_and_how_sure_that_is() -> None:
    text = said(whole())
    assert "13 modes cost 321 parameters, 153% of the 210 of the same layers if they were dense." in text
    spare = {layer.name: layer.removal.spare for layer in whole().layers if layer.removal is not None}
    assert f"{spare['0'] or 'none'} of 10 in 0, {spare['2'] or 'none'} of 3 in 2." in text
    assert "5 random orders cannot tell at 5 %" in text
    layers = [
        replace(layer, removal=replace(layer.removal, p={**layer.removal.p, "smallest": p}, curves=many(layer)))
        for layer, p in zip(whole().layers, (0.05, 0.06), strict=True)
    ]
    assert "In 1 of 2 layers it is better, at 5 % (p smallest), to take modes out by omega than at random; do not" in said(
        replace(whole(), layers=tuple(layers))
    )
    assert "In 1 of 1 layers" in said(replace(whole(), layers=tuple(layers[:1])))
    assert "In no layer is it better" in said(replace(whole(), layers=tuple(layers[1:])))
    assert "parameters" not in said(replace(whole(), layers=()))


def many(layer: Any) -> dict[str, Any]:
    """Its curves, as if there had been 19 random orders."""
    curves = dict(layer.removal.curves)
    return curves | {"random": replace(curves["random"], draws=19)}


def test_the_page_says_cautions_before_it_draws_and_links_every_layer() -> None:
    report = whole().report()
    overview = next(block for block in report.blocks if isinstance(block, Table))
    place = report.blocks.index(overview)
    assert any(isinstance(block, Note) and block.level == "caution" for block in report.blocks[:place])
    assert not any(isinstance(block, Note) for block in report.blocks[place:])
    assert overview.links == tuple(block.key for block in report.blocks if isinstance(block, Section) and block.folded)
    titles = {block.title for block in every(report.blocks) if isinstance(block, Curve)}
    assert {
        "Sorted omega",
        "Sorted tau",
        "Modes taken out",
        "States: compactness",
        "Mode activations: overlap of classes",
    } <= titles
    assert render(report)


def test_names_of_layers_stay_text() -> None:
    model = nn.Sequential()
    model.add_module(HOSTILE.replace(".", ""), ModeLinear(12, 3, 3))
    page = render(read(model, data(), draws=2, null=0, resamples=5).report())
    assert "<img" not in page


def test_runs_are_means_over_networks_of_other_seeds() -> None:
    found = read(net(), runs=[net(1), net(2)], null=0, resamples=10)["0"].power_laws["omega"]
    lists = [-np.sort(-one[0].modes().omega) for one in (net(), net(1), net(2))]  # type: ignore[operator]
    assert found.runs == 3
    alone, mean = (read(net(), runs=runs, null=80, resamples=5)["0"].power_laws["omega"].null for runs in ((), (net(1), net(2))))
    assert alone is not None
    assert mean is not None
    assert np.all(mean.high / mean.low < alone.high / alone.low)  # the null is of means over as many layers
    assert found.values == pytest.approx(np.mean(lists, axis=0))
    with pytest.raises(UsageError, match="expected networks like the first, with a layer '0' of 10 modes"):
        read(net(), runs=[net(modes=9)])


def test_a_checkpoint_says_what_its_network_says_without_data(tmp_path: Path) -> None:
    model = net()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    live, held = read(model, null=80, resamples=10), read_factors(tmp_path, null=80, resamples=10)
    assert live.to_dict()["reading"][0]["layers"] == held.to_dict()["reading"][0]["layers"]
    assert held.samples == 0
    assert held.spaces == ()
    assert held.accuracy is None
    assert "No data were given" in next(block.text for block in held.report().blocks if isinstance(block, Note))
    assert [layer.name for layer in read_factors(tmp_path, layers="2", null=0).layers] == ["2"]


def test_a_checkpoint_that_is_none_of_modes_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "dense.safetensors"
    save_file({"fc.weight": torch.ones(3, 3)}, file)
    with pytest.raises(UsageError, match=r"dense\.safetensors: expected layers in modes"):
        read_factors(file)
    save_file({"fc.xi_out": torch.ones(3, 2), "fc.s": torch.ones(2)}, file)
    with pytest.raises(UsageError, match=r"expected fc\.xi_in beside"):
        read_factors(file)
    save_file({"fc.xi_out": torch.ones(3, 2), "fc.s": torch.ones(5), "fc.xi_in": torch.ones(2, 4)}, file)
    with pytest.raises(UsageError, match=r"fc: modes: expected xi_out \(out, p\)"):
        read_factors(file)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UnreadableError):
        read_factors(file)


def test_ctrl_c_keeps_the_layers_that_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = increases, []

    def interrupted(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return plain(*given, **options)

    monkeypatch.setattr(reading, "increases", interrupted)
    model = net()
    before = state(model)
    with pytest.raises(Interrupted) as stopped:
        read(model, data(), draws=2, null=0, resamples=5)
    partial: Reading = stopped.value.partial
    assert [layer.name for layer in partial.layers] == ["0"]
    assert partial.cautions[0] == "Interrupted: 1 of 2 layers were read, and no latent spaces."
    assert render(partial.report())
    assert same(before, state(model))


def test_progress_tells_tasks_with_their_ends() -> None:
    told: list[tuple[str, int, int | None]] = []
    read(net(), data(), draws=2, null=80, resamples=5, progress=lambda *one: told.append(one))
    last = {name: (done, total) for name, done, total in told}
    assert {"0: one mode out", "0: removal", "0: untrained layers", "latent space, this network"} <= set(last)
    assert all(done == total for done, total in last.values())


def test_bad_options_are_refused_before_work_starts() -> None:
    for options, said in (
        ({"draws": 0}, "draws: expected a number of at least 1"),
        ({"null": 20}, "80 untrained layers or more"),
        ({"init": "other"}, "one of spectral, iid, published"),
        ({"layers": "7"}, "expected names or globs of 0, 2, got '7'"),
    ):
        with pytest.raises(UsageError, match=said):
            read(net(), data(), **options)
    with pytest.raises(UsageError, match="expected a network with layers in modes"):
        read(nn.Linear(3, 3), data())
