import json

import numpy as np
import pytest

from modescope.errors import UnreadableError, UsageError
from modescope.spectral_graph.wiring.stated import stated
from wiring_cases import bare, chain, joins, live, norms

SHAPES = {
    "a.weight": (4, 3),
    "b.weight": (5, 3),
    "c.weight": (6, 9),
    "d.weight": (2, 6),
    "conv.weight": (3, 2, 3, 3),
    "e.weight": (2, 12),
}


def test_pairs_join_what_they_name_in_an_order_that_leads_forwards():
    wiring = stated(bare(SHAPES), [("d.weight", "conv.weight"), ("c.weight", "d.weight")])
    assert [layer.name for layer in wiring.layers] == ["c.weight", "d.weight", "conv.weight"]
    assert [(link.source, link.target) for link in wiring.links] == [("c.weight", "d.weight"), ("d.weight", "conv.weight")]
    assert {link.relation for link in wiring.links} == {"stated"}
    assert wiring.how == "stated"


def test_concatenated_writers_meet_their_own_run_of_channels():
    links = [{"from": "a.weight", "to": "c.weight", "offset": 0}, {"from": "b.weight", "to": "c.weight", "offset": 4}]
    wiring = stated(bare(SHAPES), links)
    first, second = wiring.links
    np.testing.assert_array_equal(first.rows, [0, 1, 2, 3, -1, -1, -1, -1, -1])
    np.testing.assert_array_equal(second.rows, [-1, -1, -1, -1, 0, 1, 2, 3, 4])


@pytest.mark.parametrize(("layout", "rows"), [("channels_first", np.repeat(range(3), 4)), ("channels_last", np.tile(range(3), 4))])
def test_a_layout_says_how_positions_were_flattened(layout, rows):
    for options in ({"layout": layout}, {"rows": rows.tolist()}):
        (link,) = stated(bare(SHAPES), [{"from": "conv.weight", "to": "e.weight", "relation": "flatten", **options}]).links
        np.testing.assert_array_equal(link.rows, rows)
        assert link.relation == "flatten"
    (link,) = stated(bare(SHAPES), [("conv.weight", "e.weight")], flatten=layout).links
    np.testing.assert_array_equal(link.rows, rows)


@pytest.mark.parametrize(
    ("link", "says"),
    [
        (("a.weight", "b.weight"), "a.weight writes 4 channels, b.weight reads 3"),
        (("conv.weight", "e.weight"), "state their layout"),
        ({"from": "a.weight", "to": "c.weight", "offset": 6}, "end at 10"),
        ({"from": "a.weight", "to": "c.weight", "rows": [0] * 8}, "expected 9 rows"),
        ({"from": "a.weight", "to": "c.weight", "rows": [4] * 9}, "between -1 and 3"),
        ({"from": "a.weight", "to": "c.weight", "rows": [-1] * 9}, "no channel"),
        ({"from": "a.weight", "to": "d.weight", "layout": "channels_first"}, "no multiple"),
    ],
)
def test_dimensions_that_do_not_fit_are_a_gap_and_the_other_links_stay(link, says):
    wiring = stated(bare(SHAPES), [link, ("c.weight", "d.weight")])
    assert joins(wiring) == {("c.weight", "d.weight")}
    (gap,) = wiring.gaps
    assert says in gap.reason
    ends = (link["from"], link["to"]) if isinstance(link, dict) else link
    assert (gap.source, gap.target) == ends
    assert all(end in gap.reason for end in ends)


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ([("a.wieght", "c.weight")], r"entry 0.*a\.wieght.*a\.weight"),
        ([("c.weight", "d.weight"), ("a.weight",)], "entry 1.*pair"),
        ([("a.weight", 3)], "'to'.*3"),
        (["ab"], "pair"),
        ([{"from": "a.weight"}], "'to'"),
        ([{"from": "a.weight", "to": "c.weight", "row": []}], "got row"),
        ([{"from": "a.weight", "to": "c.weight", "rows": "x"}], "whole numbers"),
        ([{"from": "a.weight", "to": "c.weight", "rows": [0.5]}], "whole numbers"),
        ([{"from": "a.weight", "to": "c.weight", "rows": [-2]}], "whole numbers"),
        ([{"from": "a.weight", "to": "c.weight", "rows": [[1], [1, 2]]}], "whole numbers"),
        ([{"from": "a.weight", "to": "c.weight", "offset": -1}], "offset"),
        ([{"from": "a.weight", "to": "c.weight", "offset": True}], "offset"),
        ([{"from": "a.weight", "to": "c.weight", "layout": "hwc"}], "channels_last"),
        ([{"from": "a.weight", "to": "c.weight", "layout": "channels_last", "offset": 0}], "one of"),
        ([{"from": "a.weight", "to": "c.weight", "relation": "sideways"}], "sideways"),
        ([{"from": "c.weight", "to": "d.weight", "through": "relu"}], "through"),
        ([{"from": "c.weight", "to": "d.weight", "note": 3}], "note"),
        ([{"from": "c.weight", "to": "d.weight", "after": 3}], "after"),
        ([{"from": "c.weight", "to": "d.weight", "after": "bn"}], "normalisation"),
        ([], "at least one"),
        ({"links": []}, "list"),
    ],
)
def test_a_malformed_entry_is_named_with_what_was_expected(links, says):
    with pytest.raises(UsageError, match=says):
        stated(bare(SHAPES), links)


def test_links_that_close_a_circle_are_an_error_that_names_one_of_them():
    shapes = {"a.weight": (3, 3), "b.weight": (3, 3)}
    with pytest.raises(UsageError, match=r"circle through a\.weight and b\.weight"):
        stated(bare(shapes), [("a.weight", "b.weight"), ("b.weight", "a.weight")])
    with pytest.raises(UsageError, match="circle"):
        stated(bare(shapes), [("a.weight", "a.weight")])


def test_norms_are_folded_where_the_user_says_they_stand():
    links = [{"from": "0.weight", "to": "3.weight", "after": "1", "through": ["batch_norm", "relu"], "note": "as I know it"}]
    links += [{"from": "3.weight", "to": "7.weight", "layout": "channels_first", "after": ["4"]}]
    wiring = stated(live(chain()), links)
    assert {layer.name: norms(layer.after) for layer in wiring.layers} == {"0.weight": ["1"], "3.weight": ["4"], "7.weight": []}
    assert (wiring.links[0].through, wiring.links[0].note) == (("batch_norm", "relu"), "as I know it")
    wiring = stated(live(chain()), [{"from": "0.weight", "to": "3.weight", "before": "1"}])
    assert norms(wiring["3.weight"].before) == ["1"]


def test_a_file_states_the_same_as_a_list(tmp_path):
    links = [["c.weight", "d.weight"], {"from": "a.weight", "to": "c.weight", "offset": 0}]
    for name, content in (("list.json", links), ("object.json", {"links": links})):
        (tmp_path / name).write_text(json.dumps(content))
        assert joins(stated(bare(SHAPES), tmp_path / name)) == joins(stated(bare(SHAPES), links))


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "wiring.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=r"wiring\.json"):
        stated(bare(SHAPES), path)


@pytest.mark.parametrize("content", ["3", '{"edges": []}', '[["a.weight"]]'])
def test_a_file_of_another_shape_is_named(tmp_path, content):
    path = tmp_path / "wiring.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"wiring\.json"):
        stated(bare(SHAPES), path)


@pytest.mark.parametrize(
    ("content", "came"),
    [('{"edges": []}', r"keys \['edges'\]"), ('{"links": null}', "got None there"), ("{}", r"keys \[\]"), ('"ab"', "got 'ab'")],
)
def test_a_file_without_a_list_is_told_what_came(tmp_path, content, came):
    path = tmp_path / "wiring.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=came) as error:
        stated(bare(SHAPES), path)
    assert "NoneType" not in str(error.value)


def test_a_tensor_of_several_layers_must_be_named_with_its_view():
    shapes = {"attn.in_proj_weight": (12, 4), "attn.in_proj_bias": (12,), "z.weight": (4, 4)}
    with pytest.raises(UsageError, match="in_proj_weight value"):
        stated(bare(shapes), [("attn.in_proj_weight", "z.weight")])
    assert joins(stated(bare(shapes), [("attn.in_proj_weight value", "z.weight")])) == {("attn.in_proj_weight value", "z.weight")}
