"""The documentation: it builds, says everything, its examples do what it shows, and its plug-ins keep their contracts."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import mypy.api
import pytest

import real
from modescope import cli
from modescope.matrix import Array
from modescope.measures import measures
from modescope.quantity import quantities, quantity
from modescope.registry import modules
from modescope.weightwatcher import COLUMNS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


examples = load(DOCS / "examples.py", "docs_examples")


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The package that makes reference pages."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return import_module("reference_pages")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as built, warnings being errors: broken links, unknown names and pages nobody links to among them."""
    folder = tmp_path_factory.mktemp("site")
    done = sphinx("-b", "html", str(DOCS), str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def sphinx(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{before}\nfrom sphinx.cmd.build import main\nraise SystemExit(main({['-W', '--keep-going', '-q', *arguments]!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


# the build


def test_the_documentation_builds_without_a_warning_and_every_page_is_there(site: Path) -> None:
    for page in (page for page in examples.pages() if page.is_relative_to(DOCS)):
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


def test_reading_the_documentation_makes_no_request(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"([^\"]*)\"", page.read_text(encoding="utf-8"))
        assert fetched
        assert not [address for address in fetched if "//" in address], page


def test_types_in_signatures_lead_to_their_public_names(site: Path) -> None:
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert 'href="#modescope.Scan"' in text
    assert "~modescope" not in text
    assert ":param" not in text


def test_a_link_to_a_name_that_is_not_there_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# x\n\n```{autofunction} modescope.registry.strongest\n```\n\n{py:class}`modescope.Scam`\n")
    done = sphinx("-b", "dummy", "-c", str(DOCS), str(tmp_path), str(tmp_path / "out"))
    assert done.returncode != 0
    assert "modescope.Scam" in done.stderr


# the reference is complete


def planted(tmp_path: Path, number: str) -> str:
    """Python code that puts a measure with this number among the measures."""
    (tmp_path / "unsaid.py").write_text(
        '"""Unsaid: a measure nobody explained."""\nfrom dataclasses import dataclass\nfrom modescope.quantity import quantity\n'
        f"@dataclass(frozen=True)\nclass Result:\n    {number}\n    status: str = 'ok'\n"
        'def analyze(spectrum, /):\n    """Nothing."""\n    return Result()\n'
    )
    return f"import modescope.measures\nmodescope.measures.__path__.append({str(tmp_path)!r})"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("value: float | None = None", "unsaid.value has no quantity"),
        (
            "value: float | None = quantity(meaning='m', formula='', unit='1', range='any', void='never', source='s')",
            "unsaid.value: formula is empty",
        ),
    ],
)
def test_a_number_nobody_explained_stops_the_build(tmp_path: Path, number: str, message: str) -> None:
    done = sphinx("-b", "dummy", str(DOCS), str(tmp_path / "out"), before=planted(tmp_path, number))
    assert done.returncode != 0
    assert message in done.stderr


def test_what_a_measure_leaves_unsaid_is_listed(reference: ModuleType) -> None:
    pages = import_module("reference_pages.measures")

    @dataclass(frozen=True)
    class Result:
        good: float | None = quantity(meaning="m", formula="f", unit="1", range="any", void="never", source="s")
        blank: float | None = quantity(meaning="m", formula=" ", unit="1", range="any", void="never", source="s")
        bare: tuple[float, ...] | None = None
        status: str = "ok"

    def analyze(spectrum: object, /, *, told: int = 0, untold: int = 0, seed: int = 0) -> None:
        """Do.

        Args:
            spectrum: Any.
            told: A number.
        """

    found = pages.undocumented("x", SimpleNamespace(Result=Result, analyze=analyze, __doc__=None))
    assert found == [
        "x.bare has no quantity",
        "x.blank: formula is empty",
        "option x.untold is not explained in analyze",
        "x has no docstring",
    ]


def test_every_number_option_command_format_kind_and_column_is_documented(reference: ModuleType, tmp_path: Path) -> None:
    reference.write(tmp_path)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    for name, measure in measures().items():
        for number, said in quantities(measure.Result).items():
            assert f"\n### {name}.{number}\n" in pages["measures"]
            assert f"`{said.formula}`" in pages["measures"].replace(r"\|", "|")
    for name in modules("modescope.cli"):
        assert f"## modescope {name}\n" in pages["commands"]
        command = import_module(f"modescope.cli.{name}").command
        group = isinstance(command, click.Group)
        context = click.Context(command)
        inner = [(f"{name} {one}", command.get_command(context, one)) for one in command.list_commands(context)] if group else []
        for called, one in [(name, command), *inner]:
            section = pages["commands"].partition(f"## modescope {called}\n")[2].partition("\n## ")[0]
            assert section, called
            assert all(f"`{flag}" in section for option in one.params for flag in option.opts if flag.startswith("-"))
    for name in modules("modescope.checkpoints"):
        assert f"\n## {name}\n" in pages["formats"]
    for name in modules("modescope.layers"):
        assert f"\n| `{name}` |" in pages["layers"]
    for name in COLUMNS:
        assert f"\n| `{name}` |" in pages["weightwatcher"]
    assert all(f"{{include}} generated/{name}.md" in "".join(p.read_text() for p in examples.pages()) for name in pages)


def test_every_exit_code_is_documented() -> None:
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    codes = {0, 1, cli.USAGE, cli.UNREADABLE, cli.UNSAFE, cli.FAILED_ROWS, cli.FAULT, cli.INTERRUPTED}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes


def test_every_schema_is_linked() -> None:
    text = (DOCS / "reference" / "json.md").read_text(encoding="utf-8")
    linked = re.findall(r"<\.\./\.\./(src/modescope/schemas/[\w-]+\.json)>", text)
    assert {ROOT / path for path in linked} == set((ROOT / "src/modescope/schemas").glob("*.json"))


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "README.md"])
def test_links_of_the_pages_beside_the_documentation_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


# the examples do what the pages show


EXAMPLES = [
    pytest.param(page, id=str(page.relative_to(DOCS.parent)), marks=[pytest.mark.real] if examples.model(page) else [])
    for page in examples.pages()
    if examples.blocks(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    if name := examples.model(page):
        (tmp_path / "model").symlink_to(next(real.path(name).rglob("config.json")).parent)
    wrong = [output for output in examples.run(page, tmp_path) if not output.agrees]
    said = [f"{page}:{output.line}: shows\n{output.shown}\nand the command prints\n{output.got}" for output in wrong]
    assert not wrong, "\n".join([*said, "If that is right: .venv/bin/python docs/examples.py"])


def output(shown: str, got: str) -> Any:
    return examples.Output(Path("page.md"), 1, 0, len(shown), shown, got)


@pytest.mark.parametrize(
    ("shown", "got", "agrees"),
    [
        ("norm 1.2345\n", "norm 1.2346\n", True),
        ("norm 1.2345\n", "norm 1.2445\n", False),
        ("5 modes\n", "5   modes\n", True),
        ("5 modes\n", "6 modes\n", False),
        ("5 modes\n", "5 nodes\n", False),
        ("1000 modes\n", "1001 modes\n", False),
        ("64×288\n", "64×289\n", False),
        ("float32\n", "float16\n", False),
        ("-1.5e-08\n", "1.5e-08\n", False),
        ("a\n────\nb\n", "a\n──────\nb\n", True),
        ("…\nb\n", "x\ny\nb\n", True),
        ("a\n…\n", "a\n", True),
        ("a\n…\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
        ("a\n", "", False),
    ],
)
def test_an_output_agrees_but_for_last_digits_and_widths(shown: str, got: str, agrees: bool) -> None:
    assert output(shown, got).agrees is agrees


def test_a_page_is_rewritten_with_what_came(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```python\nprint("a\\nb\\nc")\n```\n\n```text\nold\n…\n```\n\n```console\n$ modescope --version\n$ echo $?\n7\n```\n'
    )
    outputs = list(examples.run(page, tmp_path))
    assert [output.agrees for output in outputs] == [False, False, False]
    page.write_text(examples.rewritten(page.read_text(), outputs))
    assert "```text\na\n…\n```" in page.read_text()
    assert re.search(r"\$ modescope --version\nmodescope, version .*\n\$ echo \$\?\n0\n```", page.read_text())
    assert all(output.agrees for output in examples.run(page, tmp_path))


@pytest.mark.parametrize(
    "text", ["```console\n$ rm -r x\n```\n", "```console\n$ git log\nfake\n```\n", '```python\nprint("x")\n```\n']
)
def test_an_example_that_would_not_be_checked_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(ValueError, match=r"page\.md:2: "):
        list(examples.run(tmp_path / "page.md", tmp_path))


def test_plug_ins_of_a_page_are_gone_after_it(tmp_path: Path) -> None:
    list(examples.run(DOCS / "how-to/write-a-measure.md", tmp_path))
    assert "flatness" not in measures()
    assert not any(str(tmp_path) in path for path in import_module("modescope.measures").__path__)


# the plug-ins of the how-tos keep their contracts

PLUGINS = {
    "checkpoints": ("write-a-format", "npy_folder", "Format"),
    "layers": ("write-a-layer-kind", "bilinear", "Kind"),
    "measures": ("write-a-measure", "flatness", "Measure"),
    "render": ("write-a-renderer", "latex", "Renderer"),
}


def sources(room: str) -> dict[str, str]:
    """The files that a how-to gives, by path."""
    text = (DOCS / "how-to" / f"{PLUGINS[room][0]}.md").read_text(encoding="utf-8")
    firsts = ((block.text.partition("\n")[0].removeprefix("# "), block.text) for block in examples.blocks(text))
    return {path: text for path, text in firsts if path.startswith(("src/modescope/", "tests/"))}


def plugin(room: str) -> ModuleType:
    name = PLUGINS[room][1]
    module = ModuleType(f"modescope.{room}.{name}")
    sys.modules[module.__name__] = module  # thunks are pickled by the name of their module
    exec(sources(room)[f"src/modescope/{room}/{name}.py"].partition("\n")[2], module.__dict__)
    return module


@pytest.fixture
def joined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ModuleType, ModuleType]]:
    """Name and module of a how-to's plug-in, a member of its registry, and the contract tests of that registry."""
    room = request.param
    name, module = PLUGINS[room][1], plugin(room)
    contract = load(ROOT / "tests" / room / "test_contract.py", f"contract_of_{room}")
    found: Mapping[str, ModuleType] = {**modules(f"modescope.{room}"), name: module}
    for place in ("modescope.registry", "modescope.checkpoints", "modescope.layers", "modescope.measures"):
        if hasattr(import_module(place), "modules"):
            monkeypatch.setattr(f"{place}.modules", lambda package: found if package == f"modescope.{room}" else modules(package))
    for registry in ("FORMATS", "KINDS", "RENDERERS"):
        if hasattr(contract, registry):
            monkeypatch.setattr(contract, registry, found)
    yield name, module, contract
    sys.modules.pop(module.__name__)


@pytest.mark.parametrize("joined", ["measures"], indirect=True)
def test_the_measure_of_the_how_to_keeps_the_contract(joined: tuple[str, ModuleType, Any]) -> None:
    name, _, contract = joined
    for case in contract.CASES:
        contract.test_every_measure_survives_every_matrix(name, case)
    contract.test_a_spectrum_of_the_top_modes_only_is_no_fault(name)
    contract.test_results_are_frozen_and_every_number_is_documented(name)
    contract.test_a_result_made_from_its_status_alone_has_no_number(name)
    for c in (2.0**-20, 2.0**20):
        contract.test_dimensionless_numbers_do_not_change_with_the_scale(name, c)


@pytest.mark.parametrize("joined", ["render"], indirect=True)
def test_the_renderer_of_the_how_to_keeps_the_contract(joined: tuple[str, ModuleType, Any]) -> None:
    name, _, contract = joined
    contract.test_an_empty_report_is_text(name)
    contract.test_every_block_is_drawn_and_hostile_text_stays_text(name)
    contract.test_text_ends_with_a_newline(name)


@pytest.mark.parametrize("joined", ["layers"], indirect=True)
def test_the_layer_kind_of_the_how_to_keeps_the_contract(joined: tuple[str, ModuleType, Any]) -> None:
    name, _, contract = joined
    theirs: dict[str, Any] = {}
    exec(sources("layers")[f"tests/layers/test_{name}.py"], theirs)
    for tensor, tensors in theirs["samples"]():
        case = (name, replace(tensor, read=_counted), {tensor.name: replace(tensor, read=_counted)})
        assert tensors.keys() == case[2].keys()
        contract.test_a_sample_is_claimed_by_its_kind_alone(*case)
        contract.test_every_view_travels_and_reads_its_declared_shape(*case)
        contract.test_judging_a_tensor_reads_no_numbers(*case)
    contract.test_every_kind_says_in_one_line_what_it_is(name)


def _counted() -> Array:
    import numpy as np

    return np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("joined", ["checkpoints"], indirect=True)
def test_the_format_of_the_how_to_keeps_the_contract(joined: tuple[str, ModuleType, Any], tmp_path: Path) -> None:
    name, _, contract = joined
    theirs: dict[str, Any] = {}
    exec(sources("checkpoints")[f"tests/checkpoints/test_{name}.py"], theirs)
    case = theirs["sample"](tmp_path)
    contract.test_a_format_claims_its_own_sample_and_no_other_claims_as_strongly(name, case)
    contract.test_every_tensor_pickles_and_reads_its_shape_dtype_and_values(case)
    contract.test_thunks_keep_no_file_open(case)
    contract.test_everything_found_is_frozen(case)
    contract.test_declared_facts_are_text(case)
    contract.test_the_first_line_of_a_format_is_its_help(name)
    contract.test_opening_reads_no_weights(case)
    (tmp_path / "odd").mkdir()
    contract.test_a_format_looks_at_any_source_without_an_exception(name, tmp_path / "odd")


def test_plug_ins_of_the_how_tos_match_their_protocols_and_the_house_style(tmp_path: Path) -> None:
    lines = []
    for room, (_, name, protocol) in PLUGINS.items():
        for path, text in sources(room).items():
            (tmp_path / Path(path).name).write_text(text.partition("\n")[2])
        lines += [f"import modescope.{room}, {name}", f"checked_{name}: modescope.{room}.{protocol} = {name}"]
    (tmp_path / "check.py").write_text("\n".join(lines) + "\n")
    checked = [str(tmp_path / f"{name}.py") for _, name, _ in PLUGINS.values()]
    options = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"))  # shared with `make check`
    report, errors, status = mypy.api.run([*options, *checked, str(tmp_path / "check.py")])
    assert status == 0, report + errors
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["format", "--check"], ["check"]):
        arguments = [str(ruff), *command, "--config", str(ROOT / "pyproject.toml"), *checked]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
