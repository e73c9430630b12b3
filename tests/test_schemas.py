"""The published JSON schemas against what the commands write."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from torch import nn

import modescope
from cases import checkpoint, tensors
from modescope.cli import _run
from modescope.inspection import inspect
from modescope.measures import measures
from modescope.modes.compression import compress
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.reading import read, read_factors
from modescope.modes.tasks import of_arrays
from modescope.modes.training.fitting import fit
from modescope.modes.training.growth import PruneBelow
from modescope.modes.training.trials import Trials
from modescope.reference import reference
from modescope.scanning import scan
from modescope.shipped import demo_path

FOLDER = Path(modescope.__file__).parent / "schemas"


def validate(document: Any) -> None:
    name, _, number = document["schema"].removeprefix("modescope.").partition("/")
    schema = json.loads((FOLDER / f"{name}-{number}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(document, allow_nan=False)), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("values", [False, True])
def test_scans_of_good_bad_and_odd_matrices_follow_their_schema(values: bool) -> None:
    odd = {
        "zero.weight": np.zeros((30, 20)),
        "row.weight": np.ones((1, 50)),
        "equal.weight": np.full((40, 40), 0.5),
        "v": np.ones(3),
    }
    options = {"tail": {"bootstrap": 20, "goodness": 20, "alternatives": True}, "null": {"twins": 2}}
    validate(scan(tensors() | odd, options=options).to_dict(values=values))
    validate(scan({}).to_dict(values=values))
    validate(scan(demo_path()).to_dict(values=values))


def test_inspections_follow_their_schema(tmp_path: Path) -> None:
    validate(inspect(checkpoint(tmp_path)).to_dict())
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    refused = inspect(tmp_path / "objects.npy").to_dict()
    assert refused["unsafe"]
    validate(refused)


def test_the_reference_follows_its_schema() -> None:
    validate(dict(reference().document))


def small_fit(folder: Path) -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 6)), rng.integers(0, 3, 60)
    task = of_arrays(x[:40], y[:40], x[40:], y[40:], name="small")
    network = ModeMLP([6, 12, 3], [10, None], over_complete=True)
    return task, network, fit(network, task, epochs=2, folder=folder, prune=PruneBelow(0.01))


def test_documents_of_compressions_follow_their_schema(tmp_path: Path) -> None:
    validate(compress(demo_path(), budget=0.95, exclude="3.weight").to_dict())
    validate(compress({"a.weight": np.eye(30), "b": np.ones(3)}, tmp_path / "x.safetensors", modes=4).to_dict())


def test_documents_of_trainings_and_readings_follow_one_schema(tmp_path: Path) -> None:
    task, network, found = small_fit(tmp_path)
    dense = fit(ModeMLP([6, 12, 3], [None, None]), task, epochs=1)
    for trained in (found, Trials((found,), (dense,)), fit(nn.Linear(6, 3), task, epochs=1)):
        validate(trained.to_dict())
    validate(
        read(network, task, untrained=ModeMLP([6, 12, 3], [10, None], over_complete=True), null=80, draws=2, resamples=5).to_dict()
    )
    validate(read_factors(tmp_path, null=0, resamples=5).to_dict())


def test_the_schema_of_modes_knows_no_part_that_nobody_writes(tmp_path: Path) -> None:
    task, network, found = small_fit(tmp_path)
    written = [
        compress(demo_path(), budget=0.4).to_dict(),
        found.to_dict(),
        read(network, task, null=0, draws=2, resamples=5).to_dict(),
    ]
    parts = json.loads((FOLDER / "modes-1.json").read_text())["properties"]
    assert set().union(*written) == set(parts)
    for document in written:
        with pytest.raises(jsonschema.ValidationError):
            validate(document | {"unheard": 1})
    with pytest.raises(jsonschema.ValidationError):
        validate({name: written[0][name] for name in ("schema", "version", "meta")})


def test_a_saved_manifest_holds_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["scan", str(demo_path()), "--json", "-q", "--save", str(tmp_path / "run")]) == 0
    printed = json.loads(capsys.readouterr().out)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {key: manifest[key] for key in printed} == printed
    validate(printed)


def test_the_schema_names_every_number_of_every_measure() -> None:
    schema = json.loads((FOLDER / "scan-1.json").read_text())
    described = schema["properties"]["matrices"]["items"]["properties"]["measures"]["properties"]
    assert {name: set(part["properties"]) for name, part in described.items()} == {
        name: {item.name for item in fields(measure.Result)} for name, measure in measures().items()
    }


def test_documents_that_break_the_schema_are_noticed() -> None:
    document = scan({"a.weight": np.eye(20)}).to_dict()
    document["matrices"][0]["measures"]["tail"]["alpha"] = "high"
    with pytest.raises(jsonschema.ValidationError):
        validate(document)
