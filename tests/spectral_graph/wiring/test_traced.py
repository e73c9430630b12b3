"""Tracing against an oracle that changes one written channel at a time, and what is said of norms, relations and gaps."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 the name torch gives it

from modescope.checkpoints import open as opened
from modescope.spectral_graph.gauges import in_gauge
from modescope.spectral_graph.wiring import Gap
from modescope.spectral_graph.wiring.traced import traced
from traced_cases import CASES, MEETINGS, WEIGHTED, ByHand, HandRMSNorm, Post, Shared, block, built, feeds, image, told


def wired(model, *inputs, view=None):
    return traced(model, opened(model), inputs, view=view)


def links(wiring):
    return {(link.source.removesuffix(".weight"), link.target.removesuffix(".weight")): link for link in wiring.links}


def folded(layer):
    return [norm.name for norm in layer.after], [norm.name for norm in layer.before]


class Lambda(nn.Module):
    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *args):
        return self.function(self, *args)


@pytest.mark.parametrize("name", [*CASES, *MEETINGS])
def test_each_input_channel_is_joined_to_exactly_the_written_channels_that_move_it(name):
    model, inputs = built(name)
    wiring = wired(model, *inputs)
    assert wiring.gaps == ()
    assert told(wiring) == feeds(model, inputs)


@pytest.mark.parametrize("name", CASES)
def test_layers_stand_in_the_order_in_which_they_first_ran_and_links_lead_to_later_ones(name):
    model, inputs = built(name)
    ran = []
    names = {module: name for name, module in model.named_modules()}
    for module in model.modules():
        if isinstance(module, WEIGHTED):
            module.register_forward_pre_hook(lambda module, _args: ran.append(f"{names[module]}.weight"))
    wiring = wired(model, *inputs)
    order = [layer.name for layer in wiring.layers]
    assert list(dict.fromkeys(name.split(" ")[0] for name in order)) == list(dict.fromkeys(ran))
    ends = [(order.index(link.target), order.index(link.source)) for link in wiring.links]
    assert ends == sorted(ends)
    assert all(source < target for target, source in ends)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_has_the_inputs_and_outputs_of_its_weight(name):
    model, inputs = built(name)
    wiring = wired(model, *inputs)
    sizes = {layer.name: layer for layer in wiring.layers}
    for link in wiring.links:
        if link.rows is None:
            assert sizes[link.source].out == sizes[link.target].channels
        else:
            assert link.rows.shape == (sizes[link.target].channels,)
            assert link.rows.max() < sizes[link.source].out


def test_channels_last_flattening_meets_the_channels_in_turn():
    model, inputs = built("channels_last")
    assert links(wired(model, *inputs))["conv", "fc"].rows.tolist() == [0, 1, 2] * 4


def test_channels_first_flattening_meets_each_channel_at_all_positions_first():
    model, inputs = built("cnn")
    (last,) = (link for link in wired(model, *inputs).links if link.target == "10.weight")
    assert last.relation == "flatten"
    assert last.rows.tolist() == [channel for channel in range(4) for _ in range(4)]


def test_operations_are_told_in_the_order_in_which_they_come():
    model, inputs = built("cnn")
    found = links(wired(model, *inputs))
    assert found["0", "4"].through == ("batch_norm", "relu", "max_pool2d")
    assert found["4", "10"].through == ("group_norm", "leaky_relu", "avg_pool2d")


def test_relations_tell_streams_branches_products_and_attention_apart():
    model, inputs = built("pre_norm")
    found = links(wired(model, *inputs))
    assert found["blocks.0.attention.value", "blocks.0.attention.out"].relation == "attention"
    assert found["blocks.0.up", "blocks.0.down"].relation == "next"
    assert found["tokens", "head"].relation == "residual"
    assert ("blocks.0.attention.query", "blocks.0.attention.out") not in found
    model, inputs = built("inception")
    found = links(wired(model, *inputs))
    assert {found[name, "head"].relation for name in ("a", "b2", "c")} == {"concatenation"}
    model, inputs = built("mobilenet")
    found = links(wired(model, *inputs))
    assert found["excite", "project.0"].relation == found["depth.0", "project.0"].relation == "product"
    assert found["stem", "head"].relation == found["project.0", "head"].relation == "residual"
    assert found["stem", "expand.0"].relation == "next"


def test_a_gated_mlp_joins_both_factors_to_the_layer_after_them_and_takes_fused_parts_by_name():
    model = Lambda(
        lambda m, x: m.down(F.silu(m.gate(h := m.norm(m.stem(x)))) * m.up(h)),
        stem=nn.Linear(3, 4),
        norm=HandRMSNorm(4),
        gate=nn.Linear(4, 5),
        up=nn.Linear(4, 5),
        down=nn.Linear(5, 4),
    )
    wiring = wired(model, torch.randn(2, 3))
    found = links(wiring)
    assert [found[name, "down"].relation for name in ("gate", "up")] == ["product", "product"]
    assert found["stem", "up"].relation == "next"
    for name in ("gate.weight", "up.weight"):
        assert folded(wiring[name]) == ([], ["norm"])
        assert not wiring[name].before[0].centred


def test_a_number_multiplied_with_a_function_of_itself_is_one_stream():
    model = Lambda(lambda m, x: m.b(0.5 * (x := m.a(x)) * (1 + torch.tanh(x + 0.04 * x**3))), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    assert links(wired(model, torch.randn(2, 3)))["a", "b"].relation == "next"


def test_adding_the_input_of_the_network_is_a_residual_and_adding_a_constant_is_not():
    first = Lambda(lambda m, x: m.b(m.a(x) + x), a=nn.Linear(4, 4), b=nn.Linear(4, 2))
    second = Lambda(lambda m, x: m.b(m.a(x) + torch.ones(4)), a=nn.Linear(4, 4), b=nn.Linear(4, 2))
    assert links(wired(first, torch.randn(2, 4)))["a", "b"].relation == "residual"
    assert links(wired(second, torch.randn(2, 4)))["a", "b"].relation == "next"


def test_a_batch_norm_right_behind_a_layer_belongs_to_it_and_one_behind_a_stream_to_its_readers():
    model, inputs = built("resnet")
    wiring = wired(model, *inputs)
    assert folded(wiring["stem.weight"]) == (["bn"], [])
    assert folded(wiring["blocks.1.conv2.weight"]) == (["blocks.1.bn2"], [])
    assert folded(wiring["blocks.1.downsample.0.weight"]) == (["blocks.1.downsample.1"], [])
    assert folded(wiring["fc.weight"]) == ([], [])
    model, inputs = built("densenet")
    wiring = wired(model, *inputs)
    assert [folded(wiring[f"convs.{at}.weight"]) for at in range(3)] == [([], [f"norms.{at}"]) for at in range(3)]
    assert all(wiring[f"convs.{at}.weight"].before[0].at is None for at in range(3))


@pytest.mark.parametrize("also", ["read", "returned", "added"])
def test_a_batch_norm_is_not_folded_into_a_layer_whose_output_also_goes_elsewhere(also):
    def run(m, x):
        x = m.a(x)
        y = m.b(F.relu(m.norm(x)))
        return {"read": lambda: (y, m.c(x)), "returned": lambda: (y, x), "added": lambda: m.c(y + x)}[also]()

    model = Lambda(run, a=nn.Linear(3, 4), norm=nn.BatchNorm1d(4), b=nn.Linear(4, 4), c=nn.Linear(4, 4))
    wiring = wired(model, torch.randn(2, 3))
    assert folded(wiring["a.weight"]) == ([], [])
    assert folded(wiring["b.weight"]) == ([], ["norm"])


def test_a_shared_layer_with_two_batch_norms_folds_neither():
    model = Lambda(
        lambda m, x: m.b(m.one(m.a(x)) + m.two(m.a(-x))),
        a=nn.Linear(3, 4),
        one=nn.BatchNorm1d(4),
        two=nn.BatchNorm1d(4),
        b=nn.Linear(4, 2),
    )
    wiring = wired(model, torch.randn(2, 3))
    assert folded(wiring["a.weight"]) == folded(wiring["b.weight"]) == ([], [])
    assert "is not folded" in wiring.links[0].note


def test_gains_meet_the_channels_that_passed_them_where_channels_are_moved():
    def run(m, x):
        return m.b(torch.cat([m.norm(F.relu(m.a(x))).flip(1)] * 2, 1))

    model = Lambda(run, a=nn.Linear(3, 4), norm=nn.BatchNorm1d(4), b=nn.Linear(8, 2))
    wiring = wired(model, torch.randn(2, 3))
    (norm,) = wiring["b.weight"].before
    assert norm.at.tolist() == [3, 2, 1, 0] * 2
    assert links(wiring)["a", "b"].rows.tolist() == [3, 2, 1, 0] * 2


@pytest.mark.parametrize("place", ["after", "before"])
def test_a_linear_network_is_the_product_of_its_folded_layers(place):
    def run(m, x):
        x = m.b(m.first(m.a(x))[:, [2, 0, 3, 1]]).roll(1, 1)
        y = m.c(m.second(x).flip(1))
        return y if place == "after" else y + 0 * x[:, :2]  # the second norm is not alone behind its layer

    torch.manual_seed(0)
    model = Lambda(
        run,
        a=nn.Linear(3, 4, bias=False),
        first=nn.BatchNorm1d(4),
        b=nn.Linear(4, 5, bias=False),
        second=nn.BatchNorm1d(5),
        c=nn.Linear(5, 2, bias=False),
    ).double()
    for norm in (model.first, model.second):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
    wiring = wired(model, torch.randn(1, 3, dtype=torch.float64))
    second = {"after": [(["second"], []), ([], [])], "before": [([], []), ([], ["second"])]}[place]
    assert [folded(layer) for layer in wiring.layers] == [(["first"], []), *second]
    whole, previous = np.eye(3), None
    for layer in wiring.layers:
        weight = layer.matrix.read().astype(np.float64)
        for norm in layer.before:
            weight = weight * norm.read().scale[slice(None) if norm.at is None else norm.at]
        for norm in layer.after:
            weight = weight * norm.read().scale[slice(None) if norm.at is None else norm.at][:, None]
        if previous is not None:
            (link,) = (link for link in wiring.links if (link.source, link.target) == (previous, layer.name))
            whole = whole if link.rows is None else whole[link.rows]
        whole, previous = weight @ whole, layer.name
    jacobian = torch.autograd.functional.jacobian(lambda x: model.eval()(x[None])[0], torch.zeros(3, dtype=torch.float64))
    np.testing.assert_allclose(whole, jacobian.numpy(), rtol=0, atol=1e-12 * np.abs(whole).max())


def test_a_norm_on_the_input_of_the_network_belongs_to_the_first_layer():
    wiring = wired(block(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1)), *image(2, 4, 4))
    assert folded(wiring["1.weight"]) == ([], ["0"])


def test_pre_norm_readers_are_told_the_norm_before_them_and_only_layer_norms_are_centred():
    model, inputs = built("pre_norm")
    wiring = wired(model, *inputs)
    for name in ("query", "key", "value"):
        assert folded(wiring[f"blocks.1.attention.{name}.weight"]) == ([], ["blocks.1.norm1"])
    assert folded(wiring["blocks.1.up.weight"]) == ([], ["blocks.1.norm2"])
    assert folded(wiring["blocks.1.attention.out.weight"]) == ([], [])
    assert wiring["head.weight"].before[0].centred
    model, inputs = built("rms_norm")
    wiring = wired(model, *inputs)
    assert folded(wiring["blocks.1.up.weight"]) == ([], ["blocks.1.norm2"])
    assert not wiring["blocks.1.up.weight"].before[0].centred


def test_post_norm_readers_are_told_the_last_norm_and_a_note_of_those_before_the_addition():
    model, inputs = built("post_norm")
    wiring = wired(model, *inputs)
    assert folded(wiring["blocks.1.up.weight"]) == ([], ["blocks.1.norm1"])
    found = links(wiring)
    assert found["blocks.1.attention.out", "blocks.1.up"].note == ""
    assert "layer norm blocks.0.norm2 before an addition is not folded" in found["blocks.0.down", "blocks.1.up"].note


def test_a_group_norm_is_said_to_depend_on_the_sample():
    model, inputs = built("cnn")
    assert "its own statistics" in links(wired(model, *inputs))["4", "10"].note


def test_a_batch_norm_without_statistics_is_said_not_to_be_folded():
    model = block(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2))
    wiring = wired(model, torch.randn(3, 3))
    assert wiring["0.weight"].after == ()
    assert "keeps no statistics" in wiring["0.weight"].note


def test_a_layer_norm_without_gains_still_takes_the_mean_away():
    wiring = wired(block(nn.Linear(3, 4), nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 2)), torch.randn(3, 3))
    (norm,) = wiring["2.weight"].before
    assert norm.centred
    assert norm.read().scale.tolist() == [1.0] * 4


def test_torchs_own_attention_is_wired_as_one_written_by_hand():
    torch.manual_seed(0)
    hand, own = Post(6), nn.TransformerEncoderLayer(6, 2, 5, batch_first=True)
    x = torch.randn(1, 3, 6)
    names = {
        "self_attn.in_proj_weight query": "attention.query.weight",
        "self_attn.in_proj_weight key": "attention.key.weight",
        "self_attn.in_proj_weight value": "attention.value.weight",
        "self_attn.out_proj.weight": "attention.out.weight",
        "linear1.weight": "up.weight",
        "linear2.weight": "down.weight",
    }
    expected, found = wired(hand, x), wired(own, x)
    assert [names[layer.name] for layer in found.layers] == [layer.name for layer in expected.layers]
    pairs = [(names[link.source], names[link.target], link.relation, link.rows) for link in found.links]
    assert pairs == [(link.source, link.target, link.relation, link.rows) for link in expected.links]
    assert [folded(layer) for layer in found.layers] == [folded(layer) for layer in expected.layers]


def test_heads_are_layers_of_their_own_that_feed_their_own_columns_of_the_output():
    wiring = wired(nn.TransformerEncoderLayer(6, 2, 5, batch_first=True), torch.randn(1, 3, 6), view="heads")
    attended = {(link.source, link.target) for link in wiring.links if link.relation == "attention"}
    part, out = "self_attn.in_proj_weight value head", "self_attn.out_proj.weight output head"
    assert attended == {(f"{part} {head}", f"{out} {head}") for head in range(2)}
    assert all((f"{out} {head}", "linear1.weight") in {(link.source, link.target) for link in wiring.links} for head in range(2))


def test_weights_in_products_of_matrices_are_known_by_their_storage_also_turned():
    wiring = wired(ByHand(), torch.arange(5))
    assert [(layer.name, layer.matrix.shape) for layer in wiring.layers] == [
        ("tokens.weight", (4, 7)),
        ("one.weight", (4, 4)),
        ("two.weight", (4, 4)),
        ("tokens.weight transposed", (7, 4)),
    ]
    assert [(link.source, link.target) for link in wiring.links] == [
        ("tokens.weight", "one.weight"),
        ("one.weight", "two.weight"),
        ("two.weight", "tokens.weight transposed"),
    ]
    np.testing.assert_array_equal(wiring.layers[3].matrix.read(), wiring.layers[0].matrix.read().T)


def test_slices_of_a_fused_weight_are_its_named_parts():
    attention = nn.MultiheadAttention(4, 2)
    model = Lambda(
        lambda m, x: m.last(F.linear(x := m.first(x), m.fused.in_proj_weight[8:]) + 0 * F.linear(x, m.fused.in_proj_weight[:4])),
        first=nn.Linear(3, 4),
        fused=attention,
        last=nn.Linear(4, 2),
    )
    found = links(wired(model, torch.randn(2, 3)))
    assert ("first", "fused.in_proj_weight value") in found
    assert ("fused.in_proj_weight query", "last") in found
    assert not any("key" in end for pair in found for end in pair)


def test_a_shared_layer_is_one_layer_and_its_return_to_itself_a_gap():
    model = Shared()
    wiring = wired(model, torch.randn(2, 3))
    assert [layer.name for layer in wiring.layers] == ["first.weight", "shared.weight", "last.weight"]
    assert told(wiring) == {key: pairs for key, pairs in feeds(model, (torch.randn(2, 3),)).items() if key != ("shared", "shared")}
    (gap,) = wiring.gaps
    assert (gap.source, gap.target) == ("shared.weight", "shared.weight")


def test_a_weight_that_is_computed_from_others_is_the_layer_that_runs():
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
    model = block(nn.Linear(3, 4), nn.ReLU(), normed, nn.utils.parametrizations.orthogonal(nn.Linear(5, 5)), nn.Linear(5, 2))
    wiring = wired(model, torch.randn(2, 3))
    assert wiring.gaps == ()
    assert [(link.source, link.target) for link in wiring.links] == [
        ("0.weight", "2.weight"),
        ("2.weight", "3.weight"),
        ("3.weight", "4.weight"),
    ]
    assert all(layer.note == "" for layer in wiring.layers)


def test_a_weight_that_the_forward_pass_changes_is_said_to_be_changed():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            variance, mean = torch.var_mean(self.weight, (1, 2, 3), keepdim=True)
            return F.conv2d(x, (self.weight - mean) / (variance + 1e-5).sqrt(), self.bias)

    wiring = wired(block(Standardised(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1)), *image(2, 4, 4))
    assert [len(layer.note) > 0 for layer in wiring.layers] == [True, False]
    assert links(wiring)["0", "2"].rows is None


def test_a_function_that_is_not_followed_costs_its_reader_and_no_other():
    def run(m, x):
        x = m.a(x)
        y = torch.fft.fft(x).real
        return m.c(m.b(y)), m.d(x + y)

    model = Lambda(run, a=nn.Linear(3, 4), b=nn.Linear(4, 4), c=nn.Linear(4, 2), d=nn.Linear(4, 2))
    wiring = wired(model, torch.randn(2, 3))
    reason = "reads the output of torch.fft.fft, which is not followed"
    assert set(wiring.gaps) == {Gap("a.weight", "b.weight", reason), Gap("a.weight", "d.weight", reason)}
    assert set(links(wiring)) == {("b", "c"), ("a", "d")}


@pytest.mark.parametrize(("count", "named"), [(2, True), (4, True), (5, False)])
def test_a_few_layers_behind_what_is_not_followed_are_named_and_many_are_not(count, named):
    def run(m, x):
        lost = torch.fft.fft(torch.cat([getattr(m, f"a{n}")(x) for n in range(count)], -1)).real
        return m.b(F.relu(torch.fft.fft(lost).real))

    model = Lambda(run, **{f"a{n}": nn.Linear(3, 4) for n in range(count)}, b=nn.Linear(4 * count, 2))
    ends = {(gap.source, gap.target) for gap in wired(model, torch.randn(2, 3)).gaps}
    assert ends == ({(f"a{n}.weight", "b.weight") for n in range(count)} if named else {("", "b.weight")})


def test_layers_behind_what_is_not_followed_are_not_named_where_one_of_them_is_unknown():
    def run(m, x):
        return m.b(torch.cross(torch.from_numpy(m.c(x).numpy()), m.a(x), -1))

    model = Lambda(run, a=nn.Linear(3, 3), c=nn.Linear(3, 3), b=nn.Linear(3, 2))
    assert {(gap.source, gap.target) for gap in wired(model, torch.randn(2, 3)).gaps} == {("", "b.weight")}


def test_a_tensor_multiplied_from_the_right_is_used_in_both_directions_only_where_it_is():
    class Right(nn.Module):
        def __init__(self, both):
            super().__init__()
            self.p, self.both = nn.Parameter(torch.randn(3, 4)), both

        def forward(self, x):
            return F.linear(x @ self.p, self.p) if self.both else x @ self.p

    for both in (False, True):
        notes = {layer.name: layer.note for layer in wired(Right(both), torch.randn(2, 3)).layers}
        assert ("both directions" in notes["p transposed"]) == both
        assert ("x @ W" in notes["p transposed"]) != both


def test_what_is_not_followed_before_any_layer_is_no_gap():
    assert wired(Lambda(lambda m, x: m.a(torch.fft.fft(x).real), a=nn.Linear(4, 2)), torch.randn(2, 4)).gaps == ()


def test_layers_inside_a_function_that_is_not_followed_are_gaps_with_its_name():
    model = Lambda(lambda m, x: m.b(m.lstm(m.a(x))[0]), a=nn.Linear(3, 4), lstm=nn.LSTM(4, 4), b=nn.Linear(4, 2))
    gaps = {gap.target: gap.reason for gap in wired(model, torch.randn(5, 1, 3)).gaps}
    assert gaps["lstm.weight_ih_l0 gate i"] == "torch.lstm is not followed"
    assert gaps["b.weight"] == "reads the output of torch.lstm, which is not followed"
    assert "a.weight" not in gaps


def test_a_tensor_that_leaves_torch_and_comes_back_is_a_gap():
    model = Lambda(lambda m, x: m.b(F.relu(torch.from_numpy(np.sin(m.a(x).numpy())))), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    (gap,) = wired(model, torch.randn(2, 3)).gaps
    assert gap.target == "b.weight"
    assert "not made by functions of torch" in gap.reason


def test_a_compiled_module_is_a_gap_for_what_reads_it():
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        inner = torch.jit.trace(nn.ReLU(), torch.randn(2, 4))
    (gap,) = wired(block(nn.Linear(3, 4), inner, nn.Linear(4, 2)), torch.randn(2, 3)).gaps
    assert gap.target == "2.weight"


def test_an_input_channel_that_meets_several_channels_by_position_is_a_gap_between_the_two():
    model = block(nn.Conv2d(2, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 3, 1), nn.PixelUnshuffle(2), nn.Conv2d(12, 2, 1))
    wiring = wired(model, *image(2, 6, 6))
    assert [(gap.source, gap.target) for gap in wiring.gaps] == [("0.weight", "2.weight")]
    assert links(wiring)["2", "4"].rows.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_mixing_over_tokens_keeps_the_stream_and_tells_of_what_is_mixed_into_it():
    model = Lambda(
        lambda m, x: m.head((x := m.stem(x)) + m.back(F.relu(m.mix(x.transpose(1, 2)))).transpose(1, 2)),
        stem=nn.Linear(3, 6),
        mix=nn.Linear(5, 4),
        back=nn.Linear(4, 5),
        head=nn.Linear(6, 2),
    )
    wiring = wired(model, torch.randn(1, 5, 3))
    assert set(links(wiring)) == {("stem", "head"), ("mix", "back")}
    assert {(gap.source, gap.target) for gap in wiring.gaps} == {("stem.weight", "mix.weight"), ("back.weight", "head.weight")}


def test_a_view_that_is_written_in_place_changes_the_tensor_it_is_part_of():
    def run(m, x):
        y = m.a(x)
        part = y[:, 1:3]
        part.copy_(m.b(x))
        y[:, :1].mul_(2)
        return m.c(y)

    wiring = wired(Lambda(run, a=nn.Linear(3, 4), b=nn.Linear(3, 2), c=nn.Linear(4, 2)), torch.randn(2, 3))
    assert links(wiring)["a", "c"].rows.tolist() == [0, -1, -1, 3]
    assert links(wiring)["b", "c"].rows.tolist() == [-1, 0, 1, -1]


def test_tokens_that_experts_give_back_are_added_to_the_stream():
    def run(m, x):
        x = m.stem(x)
        out, chosen = torch.zeros_like(x), m.router(x).softmax(-1).argmax(-1)
        for number, expert in enumerate((m.one, m.two)):
            at = torch.nonzero(chosen == number)[:, 0]
            out.index_add_(0, at, expert(x[at]))
        return m.head(x + out)

    torch.manual_seed(1)
    layers = {name: nn.Linear(4, 4) for name in ("one", "two")}
    model = Lambda(run, stem=nn.Linear(3, 4), router=nn.Linear(4, 2), head=nn.Linear(4, 2), **layers)
    x = torch.randn(16, 3)
    assert set(links(wired(model, x))) == {
        *(("stem", name) for name in ("router", "one", "two", "head")),
        *((name, "head") for name in ("one", "two")),
    }


def test_layers_that_do_not_run_are_named_and_have_no_part():
    model = Lambda(lambda m, x: m.a(x), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    wiring = wired(model, torch.randn(2, 3))
    assert [layer.name for layer in wiring.layers] == ["a.weight"]
    assert wiring.notes == ("did not run on the example input: b.weight",)
    assert wiring.how == "traced"


def test_more_samples_than_one_change_nothing():
    model, (x,) = built("vision")
    one, many = wired(model, x), wired(model, x.repeat(3, 1, 1, 1))
    assert told(one) == told(many)
    assert [folded(layer) for layer in one.layers] == [folded(layer) for layer in many.layers]


def test_values_that_several_query_heads_share_are_met_by_each_of_them():
    model, inputs = built("grouped_query")
    rows = links(wired(model, *inputs))["value", "out"].rows
    assert rows.tolist() == [0, 1] * 3 + [2, 3] * 3

    def run(m, x):
        q = m.query(x).view(1, 3, 6, 2).transpose(1, 2)
        k, v = (layer(x).view(1, 3, 2, 2).transpose(1, 2) for layer in (m.key, m.value))
        return m.out(F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2))

    model = Lambda(run, query=nn.Linear(4, 12), key=nn.Linear(4, 4), value=nn.Linear(4, 4), out=nn.Linear(12, 6))
    assert links(wired(model, torch.randn(1, 3, 4)))["value", "out"].rows.tolist() == rows.tolist()


def test_attention_masks_given_as_numbers_do_not_hide_the_attention():
    def run(m, x, mask):
        x = m.stem(x)
        scores = m.query(x) @ m.key(x).mT + mask
        return m.out(scores.softmax(-1) @ m.value(x))

    model = Lambda(run, stem=nn.Linear(3, 4), **{name: nn.Linear(4, 4) for name in ("query", "key", "value", "out")})
    found = links(wired(model, torch.randn(1, 5, 3), torch.zeros(5, 5)))
    assert [target for _, target in found] == ["query", "key", "value", "out"]
    assert found["value", "out"].relation == "attention"


@pytest.mark.parametrize("first", [True, False])
def test_a_layer_norm_written_by_hand_is_folded_along_the_axis_it_normalises(first):
    class LayerNormByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.rand(4) + 1), nn.Parameter(torch.randn(4))

        def forward(self, x):
            x = x if first else x.movedim(1, -1)
            axis, shape = (1, (4, 1, 1)) if first else (-1, (4,))
            centred = x - x.mean(axis, keepdim=True)
            x = centred / (centred.square().mean(axis, keepdim=True) + 1e-6).sqrt()
            x = x * self.weight.view(shape) + self.bias.view(shape)
            return x if first else x.movedim(-1, 1)

    torch.manual_seed(0)
    wiring = wired(block(nn.Conv2d(2, 4, 1), nn.GELU(), LayerNormByHand(), nn.Conv2d(4, 3, 1)), *image(2, 4, 4))
    (norm,) = wiring["3.weight"].before
    assert norm.name == "2"
    assert norm.at is None
    assert norm.centred


def test_a_norm_that_only_some_of_the_channels_passed_is_not_folded():
    model = Lambda(
        lambda m, x: m.b(F.pad(m.norm(F.relu(m.a(x))), (0, 1))), a=nn.Linear(3, 4), norm=nn.BatchNorm1d(4), b=nn.Linear(5, 2)
    )
    wiring = wired(model, torch.randn(2, 3))
    assert folded(wiring["b.weight"]) == ([], [])
    assert "batch norm norm is not folded" in wiring.links[0].note


def test_a_sum_of_several_channels_of_one_layer_beside_a_stream_is_a_number_about_them():
    """Standardised by hand: the mean over the channels scales and shifts, and is no channel."""
    model = Lambda(lambda m, x: m.b((h := m.a(x)) - h.mean(-1, keepdim=True)), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    (link,) = wired(model, torch.randn(2, 3)).links
    assert link.rows is None


def test_the_chosen_scores_of_a_router_scale_the_experts_and_are_no_channels():
    def run(m, x):
        x = m.stem(x)
        weights, chosen = m.router(x).softmax(-1).topk(2, -1)
        gates = torch.zeros(len(x), 3).scatter(-1, chosen, weights)
        return m.head(x + sum(gates[:, at : at + 1] * expert(x) for at, expert in enumerate((m.one, m.two, m.three))))

    layers = {name: nn.Linear(4, 4) for name in ("one", "two", "three")}
    wiring = wired(Lambda(run, stem=nn.Linear(3, 4), router=nn.Linear(4, 3), head=nn.Linear(4, 2), **layers), torch.randn(5, 3))
    assert wiring.gaps == ()
    assert {source for source, target in links(wiring) if target == "head"} == {"stem", *layers}
    assert dict(wiring.elsewhere)["router.weight"].startswith("torch.Tensor.topk")


def test_tokens_that_are_scattered_back_are_added_to_the_stream():
    def run(m, x):
        x = m.stem(x)
        at = torch.tensor([2, 0])
        found = m.one(x[at])
        return m.head(x + torch.zeros_like(x).scatter_add_(0, at[:, None].expand_as(found), found))

    model = Lambda(run, stem=nn.Linear(3, 4), one=nn.Linear(4, 4), head=nn.Linear(4, 2))
    wiring = wired(model, torch.randn(5, 3))
    assert wiring.gaps == ()
    assert {pair: link.rows for pair, link in links(wiring).items()} == dict.fromkeys(
        [("stem", "one"), ("stem", "head"), ("one", "head")]
    )


def gained(function, size=4):
    model = Lambda(function, a=nn.Linear(3, 4, bias=False), b=nn.Linear(4, 2, bias=False))
    model.gamma = nn.Parameter(torch.randn(size))
    return model.double()


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.b(m.gamma * m.a(x)),
        lambda m, x: m.b(m.a(x).mul_(m.gamma)),
        lambda m, x: m.b((m.a(x).t() * m.gamma[:, None]).t()),
    ],
)
def test_learned_gains_of_the_channels_are_folded_so_that_the_layers_multiply_to_the_network(function):
    model, x = gained(function), torch.randn(5, 3, dtype=torch.float64)
    a, b = in_gauge(wired(model, x), "folded").layers
    assert b.matrix.read() @ a.matrix.read() @ x.numpy().T == pytest.approx(model(x).detach().numpy().T, abs=1e-12)
    assert not np.allclose(b.matrix.read() @ model.a.weight.detach().numpy() @ x.numpy().T, model(x).detach().numpy().T)


def test_the_gains_of_a_branch_belong_to_its_last_layer_and_those_of_a_stream_to_its_readers():
    def run(m, x):
        return m.c(m.gamma * ((x := m.a(x)) + m.beta * m.b(x)))

    model = Lambda(run, a=nn.Linear(3, 4), b=nn.Linear(4, 4), c=nn.Linear(4, 2))
    model.gamma, model.beta = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))
    assert {layer.name: folded(layer) for layer in wired(model, torch.randn(2, 3)).layers} == {
        "a.weight": ([], []),
        "b.weight": (["beta"], []),
        "c.weight": ([], ["gamma"]),
    }


def test_gains_of_positions_and_of_the_whole_are_no_gains_of_channels():
    model = gained(lambda m, x: m.b(m.a(x) * m.gamma[:, None]), size=5)
    assert [folded(layer) for layer in wired(model, torch.randn(5, 3, dtype=torch.float64)).layers] == [([], [])] * 2
    model = gained(lambda m, x: m.b(m.a(x) * m.gamma), size=1)
    assert [folded(layer) for layer in wired(model, torch.randn(5, 3, dtype=torch.float64)).layers] == [([], [])] * 2


def test_channels_that_leave_the_network_or_the_trace_are_told_with_the_place():
    def run(m, x):
        hidden = F.relu(m.a(x))
        return m.b(hidden), hidden, torch.fft.fft(m.c(x)).real

    model = Lambda(run, a=nn.Linear(3, 4), b=nn.Linear(4, 2), c=nn.Linear(3, 4))
    assert dict(wired(model, torch.randn(2, 3)).elsewhere) == {
        **dict.fromkeys(("a.weight", "b.weight"), "the output of the model"),
        "c.weight": "torch.fft.fft, which is not followed",
    }


def test_layers_that_share_a_weight_are_one_with_both_names():
    model = Lambda(lambda m, x: m.c(m.a(x) + m.b(x)), a=nn.Linear(3, 4), b=nn.Linear(3, 4), c=nn.Linear(4, 2))
    model.b.weight = model.a.weight
    assert {layer.name: layer.aliases for layer in wired(model, torch.randn(2, 3)).layers} == {
        "a.weight": ("b.weight",),
        "c.weight": (),
    }
