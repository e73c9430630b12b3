import json

import pytest
import torch

from modescope import checkpoints
from modescope.errors import UsageError
from modescope.spectral_graph.wiring.finding import find
from wiring_cases import bare, bert, chain, folder, joins, live


def test_a_known_architecture_is_wired_by_its_table(tmp_path):
    config, shapes, paper = bert()
    checkpoint, _ = folder(tmp_path, config, shapes)
    for wiring in (find(checkpoint), find(checkpoint, "family")):
        assert wiring.how == "bert"
        assert joins(wiring) == paper.joins


def test_a_chain_is_wired_in_order_and_order_may_be_asked_for():
    for wiring in (find(live(chain())), find(live(chain()), "order")):
        assert wiring.how == "order of the file"
        assert len(wiring.links) == 3


def test_order_vouches_for_names_that_betray_branches():
    checkpoint = bare({"skip.weight": (4, 3), "z.weight": (2, 4)})
    with pytest.raises(UsageError, match="additions"):
        find(checkpoint)
    assert len(find(checkpoint, "order").links) == 1


def test_links_may_be_listed_or_stand_in_a_file(tmp_path):
    links = [["0.weight", "3.weight"]]
    path = tmp_path / "links.json"
    path.write_text(json.dumps(links))
    for wiring in (links, path, str(path)):
        found = find(live(chain()), wiring)
        assert found.how == "stated"
        assert joins(found) == {("0.weight", "3.weight")}


def test_a_model_with_inputs_is_traced():
    model = chain().eval()
    wiring = find(live(model), model=model, inputs=torch.zeros(1, 3, 6, 7))
    assert wiring.how == "traced"
    assert joins(wiring) == joins(find(live(model)))


def test_globs_leave_out_layers_and_all_that_joins_them(tmp_path):
    config, shapes, paper = bert()
    checkpoint, _ = folder(tmp_path, config, shapes)
    wiring = find(checkpoint, exclude="*query*")
    assert joins(wiring) == {pair for pair in paper.joins if "query" not in pair[0] + pair[1]}
    assert not any("query" in layer.name for layer in wiring.layers)
    only = find(checkpoint, include=["*layer.0.intermediate*", "*layer.0.output*"])
    assert len(only.links) == 1
    with pytest.raises(UsageError, match="no layer is selected"):
        find(checkpoint, include="nothing*")


def test_what_is_read_by_layers_that_were_left_out_is_told_to_go_elsewhere():
    model = chain().eval()
    whole = find(live(model), model=model, inputs=torch.zeros(1, 3, 6, 7))
    first, second = whole.links[:2]
    assert dict(whole.elsewhere) == {whole.links[-1].target: "the output of the model"}
    found = find(live(model), model=model, inputs=torch.zeros(1, 3, 6, 7), exclude=second.target)
    assert dict(found.elsewhere)[first.target] == f"{second.target}, which was not selected"


def test_a_link_of_a_layer_that_was_left_out_is_a_gap_that_says_so(tmp_path):
    model = chain().eval()
    whole = find(live(model), model=model, inputs=torch.zeros(1, 3, 6, 7))
    left = whole.links[1].target
    for options in ({"exclude": left}, {"include": [layer.name for layer in whole.layers if layer.name != left]}):
        found = find(live(model), model=model, inputs=torch.zeros(1, 3, 6, 7), **options)
        assert {(gap.source, gap.target) for gap in found.gaps} == {pair for pair in joins(whole) if left in pair}
        assert all(gap.chosen and left in gap.reason for gap in found.gaps)
    config, shapes, paper = bert()
    found = find(folder(tmp_path, config, shapes)[0], exclude="*query*")
    queries = {pair for pair in paper.joins if ("query" in pair[0]) != ("query" in pair[1])}
    assert queries
    assert {(gap.source, gap.target) for gap in found.gaps if gap.chosen} == queries


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"view": "sideways"}, "view: expected 'heads' or 'circuits'"),
        ({"flatten": "hwc"}, "flatten: expected"),
        ({"inputs": 3}, "live module"),
        ({"view": "circuits"}, "config.json"),
        ({"wiring": "family"}, "no config.json"),
        ({"wiring": "orders"}, "'orders', which is no file"),
        ({"wiring": 3}, "got int"),
    ],
)
def test_an_option_that_cannot_be_is_an_error_that_says_what_to_pass(options, says):
    with pytest.raises(UsageError, match=says):
        find(live(chain()), **options)


def test_two_ways_at_once_are_an_error():
    model = chain()
    with pytest.raises(UsageError, match="Leave one"):
        find(live(model), [("0.weight", "3.weight")], model=model, inputs=torch.zeros(1, 3, 6, 7))


def test_an_order_of_flattening_is_refused_where_nothing_is_flattened(tmp_path):
    config, shapes, _ = bert()
    checkpoint, _ = folder(tmp_path, config, shapes)
    with pytest.raises(UsageError, match="flattens nothing"):
        find(checkpoint, flatten="channels_last")


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path):
    checkpoint, _ = folder(tmp_path, {"model_type": "perceptron"}, {"a.weight": (4, 3), "b.weight": (2, 4)})
    with pytest.raises(UsageError, match="perceptron") as error:
        find(checkpoint, "family")
    assert "bert" in str(error.value)
    assert checkpoints.open(checkpoint) is checkpoint
    assert len(find(checkpoint).links) == 1
