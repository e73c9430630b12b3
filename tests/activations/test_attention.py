"""Projections of torch's attention, which calls no module for them: each is seen in its place, whatever its weight was made of."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 the name torch gives it

from activation_cases import Attending, rows
from modescope.activations import capture, collect, tapped
from modescope.errors import UsageError

X = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
BOTH = ("input", "preactivation")
PACKED = tuple(f"attn.in_proj_weight {part}" for part in ("query", "key", "value"))


def affine(attention, name, values):
    """The projection of that name of values, as its definition says."""
    leaf, _, part = name.removeprefix("attn.").partition(" ")
    if leaf == "out_proj":
        return attention.out_proj(values)
    at = ("query", "key", "value").index(part) if part else "qkv".index(leaf[0])
    weight = attention.in_proj_weight.chunk(3)[at] if part else getattr(attention, leaf)
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)[at]
    return F.linear(values, weight, bias)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("shape", [(3, 5, 6), (5, 6)])
def test_every_projection_is_its_affine_map_of_what_goes_into_it(first, bias, weights, shape):
    model = Attending(nn.MultiheadAttention(6, 2, bias=bias, batch_first=first), need_weights=weights)
    x = torch.randn(shape)
    names = (*PACKED, "attn.out_proj")
    taken = collect(model, ("attn", *names), x, what=BOTH)
    for name in names:
        given = torch.as_tensor(taken[name, "input"], dtype=torch.float32)
        np.testing.assert_allclose(taken[name, "preactivation"], rows(affine(model.attn, name, given)), rtol=0, atol=1e-6)
    for name in PACKED:
        assert np.array_equal(taken[name, "input"], rows(x))
    assert np.array_equal(taken["attn.out_proj", "preactivation"], rows(model(x)))
    assert np.array_equal(taken["attn", "preactivation"], rows(model(x)))


@pytest.mark.parametrize("sizes", [{}, {"kdim": 4, "vdim": 3}])
def test_queries_keys_and_values_of_several_sources_are_told_apart(sizes):
    attention = nn.MultiheadAttention(6, 2, batch_first=True, **sizes)
    nn.init.normal_(attention.in_proj_bias)
    sources = X, torch.randn(3, 7, sizes.get("kdim", 6)), torch.randn(3, 7, sizes.get("vdim", 6))
    names = tuple(f"{part}_proj_weight" for part in "qkv") if sizes else tuple(name.removeprefix("attn.") for name in PACKED)
    for given in (sources, (sources[0], sources[1], sources[1])) if not sizes else (sources,):  # torch multiplies these at once
        with capture(attention, (*names, "out_proj"), what=BOTH) as taken:
            plain = attention(*given)[0]
        for name, source in zip(names, given, strict=True):
            assert np.array_equal(taken[name, "input"], rows(source))
            np.testing.assert_allclose(taken[name, "preactivation"], rows(affine(attention, name, source)), rtol=0, atol=1e-6)
        assert np.array_equal(taken["out_proj", "preactivation"], rows(plain))


def test_a_reparametrised_or_a_narrowed_weight_is_known_all_the_same():
    plain = Attending(nn.MultiheadAttention(6, 2, batch_first=True))
    expected = collect(plain, "attn.out_proj", X, what=BOTH)
    nn.utils.parametrizations.weight_norm(plain.attn.out_proj)
    found = collect(plain, "attn.out_proj", X, what=BOTH)
    for kind in BOTH:
        np.testing.assert_allclose(found["attn.out_proj", kind], expected["attn.out_proj", kind], rtol=0, atol=1e-6)
    mixed = Attending(nn.MultiheadAttention(6, 2, batch_first=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in range(2):  # the second time the narrowed copies may be kept ones
            taken = collect(mixed, ("attn.out_proj", *PACKED), X, what=BOTH)
            assert np.array_equal(taken["attn.out_proj", "preactivation"], rows(mixed(X)))
            for name in PACKED:
                expected = rows(affine(mixed.attn, name, X))  # where the bias is added before the sum is rounded to 8 bits
                np.testing.assert_allclose(taken[name, "preactivation"], expected, rtol=2**-7, atol=2**-7)


def test_narrowed_rows_of_a_packed_weight_keep_their_own_bias():
    attention, other = Attending(nn.MultiheadAttention(6, 2, batch_first=True)).attn, torch.randn(3, 7, 6)
    names = [name.removeprefix("attn.") for name in PACKED]
    with torch.autocast("cpu", dtype=torch.bfloat16), capture(attention, names, what="preactivation") as taken:
        attention(X, other, other)
    for name, source in zip(names, (X, other, other), strict=True):
        expected = rows(affine(attention, name, source))
        np.testing.assert_allclose(taken[name, "preactivation"], expected, rtol=2**-5, atol=2**-5)


def test_two_attentions_that_share_a_weight_are_told_apart():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.fc = nn.MultiheadAttention(6, 2), nn.MultiheadAttention(6, 2), nn.Linear(6, 6)
            self.b.out_proj.weight = self.fc.weight = self.a.out_proj.weight

        def forward(self, x):
            return self.fc(self.b(*[self.a(x, x, x)[0]] * 3)[0])

    model = Two()
    taken = collect(model, ("a.out_proj", "b.out_proj", "fc"), X, what=BOTH)
    first = model.a(X, X, X)[0]
    second = model.b(first, first, first)[0]
    assert np.array_equal(taken["a.out_proj", "preactivation"], rows(first))
    assert np.array_equal(taken["b.out_proj", "preactivation"], rows(second))
    assert np.array_equal(taken["fc", "input"], rows(second))
    alone = collect(model, "a.out_proj", X, what="preactivation")
    assert np.array_equal(alone["a.out_proj", "preactivation"], rows(first))


def test_an_attention_that_calls_its_projection_is_not_heard_twice():
    class Calling(nn.MultiheadAttention):
        def forward(self, x):
            return self.out_proj(x)

    model = Calling(6, 2)
    assert np.array_equal(collect(model, "out_proj", X, what="preactivation")["out_proj", "preactivation"], rows(model(X)))


def test_what_follows_a_projection_is_no_activation_of_it():
    model = Attending(nn.MultiheadAttention(6, 2))
    with pytest.raises(UsageError, match=r"'attn\.in_proj_weight key', postactivation: .*found none"):
        collect(model, PACKED[1], X, what="postactivation")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("x", [X, X[0]], ids=["batch", "one sequence"])
def test_outputs_are_handed_on_in_the_order_of_the_modules_own_axes(first, x):
    model = Attending(nn.MultiheadAttention(6, 2, batch_first=first))
    seen = {}

    def keep(call):
        seen[call.layer] = call.output.clone()

    with tapped(model, {"attn.out_proj": keep, PACKED[2]: keep}):
        model(x)
    assert torch.equal(seen["attn.out_proj"], model(x))
    np.testing.assert_allclose(seen[PACKED[2]], affine(model.attn, PACKED[2], x).detach(), rtol=0, atol=1e-6)


def test_an_empty_batch_leaves_no_sample():
    model = Attending(nn.MultiheadAttention(6, 2, batch_first=True))
    with capture(model, ("attn.out_proj", PACKED[0]), what=BOTH) as taken:
        model(X[:0])
        model(X)
    assert all(len(taken[key]) == 15 for key in taken)


def test_a_failure_inside_leaves_the_next_call_whole():
    model = Attending(nn.MultiheadAttention(6, 2, batch_first=True))
    with capture(model, "attn.out_proj", what=BOTH) as taken:
        with pytest.raises(AssertionError):
            model(X[..., :5])
        nn.MultiheadAttention(6, 2, batch_first=True)(X, X, X)  # nobody asked for this one
        model(X)
    assert np.array_equal(taken["attn.out_proj", "preactivation"], rows(model(X)))
    assert not model.attn._forward_hooks
    assert not model.attn._forward_pre_hooks


@pytest.mark.parametrize("name", ["attn.q_proj_weight", "attn.in_proj_weight", "attn.in_proj_weight queries", "in_proj_weight key"])
def test_a_projection_that_is_not_there_is_unknown(name):
    with pytest.raises(UsageError, match="expected the name of a module"):
        collect(Attending(nn.MultiheadAttention(6, 2)), name, X)
