"""What every layer kind owes, taken from the registry: a new kind joins these tests by its own sample."""

import importlib.util
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layer_cases import by_name, counting, formed, live, seen
from modescope.errors import UsageError
from modescope.layers import matrices, named_views
from modescope.matrix import Blocks, Convolution, Matrix, Product, Skip
from modescope.registry import modules

HERE = Path(__file__).parent
KINDS = modules("modescope.layers")


def samples(kind):
    path = HERE / f"test_{kind}.py"
    assert path.exists(), f"{path} must exist and hold `samples()`, a list of (tensor, tensors) that the kind claims"
    spec = importlib.util.spec_from_file_location(f"sample_of_{kind}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.samples()


CASES = [pytest.param(kind, *sample, id=f"{kind}-{sample[0].name[:40]!r}") for kind in KINDS for sample in samples(kind)]


def shape_of(operand):
    match operand:
        case Product():
            return operand.left.shape[0], operand.right.shape[1]
        case Blocks():
            return operand.blocks.shape[0] * operand.blocks.shape[1], operand.blocks.shape[0] * operand.blocks.shape[2]
        case Convolution():
            coarse = np.prod(np.array(operand.grid) // np.array(operand.stride))
            return operand.kernel.shape[0] * coarse, operand.kernel.shape[1] * operand.groups * np.prod(operand.grid)
        case _:
            return operand.shape


def all_views(kind, tensor, tensors):
    yield from kind.views(tensor, tensors)
    for view in getattr(kind, "requested", {}).values():
        yield from view(tensor, tensors)


@pytest.mark.parametrize(("kind", "tensor", "tensors"), CASES)
def test_a_sample_is_claimed_by_its_kind_alone(kind, tensor, tensors):
    claims = {name: module.claims(tensor, tensors) for name, module in KINDS.items()}
    best = max(claims.values())
    assert [name for name, evidence in claims.items() if evidence == best] == [kind], claims
    assert best > 0


@pytest.mark.parametrize(("kind", "tensor", "tensors"), CASES)
def test_every_view_travels_and_reads_its_declared_shape(kind, tensor, tensors):
    count = 0
    for view in all_views(KINDS[kind], tensor, tensors):
        count += 1
        if isinstance(view, Skip):
            assert view.name == tensor.name
            assert view.shape == tensor.shape
            assert view.reason
            continue
        there = pickle.loads(pickle.dumps(view))
        assert there.tensor == tensor.name
        assert there.stored == tensor.stored
        assert min(there.shape) > 0
        assert shape_of(there.read()) == there.shape, view
    assert count > 0


@pytest.mark.parametrize(("kind", "tensor", "tensors"), CASES)
def test_judging_a_tensor_reads_no_numbers(kind, tensor, tensors):
    def refuse():
        raise AssertionError("read while judging")

    unread = {name: type(one)(one.name, one.shape, one.stored, refuse, one.declared, one.aliases) for name, one in tensors.items()}
    assert list(all_views(KINDS[kind], unread[tensor.name], unread))


@pytest.mark.parametrize(("kind", "declared", "shape"), [("dense", "Linear", (2, 3)), ("convolution", "Conv2d", (2, 3, 2, 2))])
def test_a_plain_reading_is_stronger_where_declared_and_leaves_room_for_one_that_knows_more(kind, declared, shape):
    said, bare = counting("a.weight", shape, module=declared), counting("a.weight", shape)
    assert KINDS[kind].claims(said, by_name(said)) == 2
    assert KINDS[kind].claims(bare, by_name(bare)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_in_one_line_what_it_is(kind):
    line = KINDS[kind].__doc__.splitlines()[0]
    assert line.endswith(".")
    assert len(line) > 20


PARTS = """model h 0 1 blocks layer attn self_attn SelfAttention attention output mlp moe experts ema optimizer conv deconv
up_conv dw dwconv c_attn c_proj c_fc q_attn qkv query_key_value Wqkv qkv_proj q_proj q o dense embed wte unembed shared pos_embed
norm ln_1 bn lora_A lora_B lora_up lora_down lora_embedding_A lora_a default gate_up_proj down_proj w1 emb_deconv parametrizations
position_ids relative_attention_bias value_emb token"""
NAMES = st.lists(st.sampled_from([*PARTS.split(), "layer\nnorm", "attn\n"]), max_size=4)
ENDS = """weight weight weight bias kernel weight_ih_l0 weight_hh_l0 weight_hr_l0 weight_ih w_hh weight_ih_l1_reverse in_proj_weight
q_proj_weight running_mean alpha lora_A lora_B lora_a lora_b lora_magnitude_vector weight_ema exp_avg mask qweight scales
weight_scale weight_g weight_v weight_orig inv_freq cls_token pos_embed bias_k gate_up_proj gate_up_proj_bias"""
LEAVES = st.sampled_from([*ENDS.split(), "weight\n"])
CLASSES = """Linear Conv1D Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d Embedding LSTM GRU RNN LSTMCell MultiheadAttention
LayerNorm BatchNorm2d PReLU Bilinear LoRA SomebodysLayer"""
MODULES = st.sampled_from(CLASSES.split())
DTYPES = st.sampled_from(
    ["float32"] * 8 + ["bfloat16", "float8_e4m3fn", "int8", "int64", "uint8", "bool", "complex64", "qint8", "<U3"]
)
NUMBERS = st.sampled_from(["1", "2", "3", "4", "2,2", "(2, 1)", "0", "-1", "many", ""])
DECLARED = st.fixed_dictionaries(
    {},
    optional={
        "module": MODULES,
        "buffer": st.sampled_from(["true", "false"]),
        "groups": NUMBERS,
        "stride": NUMBERS,
        "dilation": NUMBERS,
        "input_size": st.sampled_from(["7", "3,8", "1,8,8", "x"]),
        "num_heads": NUMBERS,
        "lora.scale": st.sampled_from(["2.0", "", "nan?"]),
        "config.model_type": st.sampled_from(
            ["gpt2", "falcon", "gpt_bigcode", "codegen", "gpt_neox", "gpt_oss", "mixtral", "bert", "t5"]
        ),
        "config.n_head": NUMBERS,
        "config.num_key_value_heads": NUMBERS,
        "config.multi_query": st.sampled_from(["true", "False"]),
        "config.hidden_size": NUMBERS,
    },
)
SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 4, 6, 8, 12, 0]), max_size=6)
PARTNERS = {"lora_A": "lora_B", "lora_down": "lora_up", "weight_ih": "weight_hh", "weight": "bias", "lora_a": "lora_b"}


@st.composite
def checkpoints(draw):
    found = {}
    for _ in range(draw(st.integers(1, 4))):
        name = ".".join([*draw(NAMES), draw(LEAVES)])
        shape = draw(SHAPES)
        found[name] = counting(name, shape, draw(DTYPES), **draw(DECLARED))
        for part, other in PARTNERS.items():
            if part in name and draw(st.booleans()):
                partner = other.join(name.rsplit(part, 1))
                sizes = [draw(st.sampled_from(shape or [1])) for _ in range(draw(st.integers(1, 2)))]
                found[partner] = counting(partner, sizes, draw(DTYPES), **draw(DECLARED))
    return found


def statuses(tensors, view=None):
    found = {}
    for item in matrices(tensors.values(), view=view):
        found.setdefault(item.tensor if isinstance(item, Matrix) else item.name, []).append(item)
    return found


@settings(max_examples=400, deadline=None)
@given(checkpoints(), st.sampled_from([None, *named_views()]))
def test_any_tensor_has_one_status_whatever_its_name_shape_type_and_declarations(tensors, view):
    found = statuses(tensors, view)
    assert found.keys() == tensors.keys()
    for items in found.values():
        rows = [item for item in items if isinstance(item, Matrix)]
        assert not rows or len(rows) == len(items)
        assert rows or len(items) == 1
        assert len({row.view for row in rows}) == len(rows)
        for row in rows:
            assert shape_of(row.read()) == row.shape, (row, tensors)


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(), SHAPES)
def test_any_text_may_be_a_name(first, second, shape):
    tensors = by_name(counting(first, shape), counting(f"{first}.{second}", shape), counting(second, shape))
    assert statuses(tensors).keys() == tensors.keys()


@settings(max_examples=50, deadline=None)
@given(checkpoints(), st.randoms())
def test_rows_do_not_depend_on_the_order_of_the_tensors(tensors, random):
    other = list(tensors.values())
    random.shuffle(other)

    def told(one):
        return {(getattr(item, "tensor", None), getattr(item, "view", None), str(item)) for items in one.values() for item in items}

    assert told(statuses(tensors)) == told(statuses(by_name(*other)))


def mixed_checkpoint():
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 5)
            self.conv1, self.conv2, self.conv3 = nn.Conv1d(2, 3, 3), nn.Conv2d(4, 6, 3, groups=2), nn.Conv3d(2, 3, 2)
            self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
            self.up = nn.ConvTranspose2d(4, 6, 2, stride=2)
            self.lstm, self.gru, self.rnn = nn.LSTM(3, 4, bidirectional=True), nn.GRU(3, 4), nn.RNN(3, 4)
            self.mha = nn.MultiheadAttention(8, 2)
            self.tokens = nn.Embedding(60000, 64)
            self.bn, self.ln = nn.BatchNorm2d(6), nn.LayerNorm((3, 4))

    return [
        *live(Net()),
        counting("moe.experts.gate_up_proj", (2, 8, 3)),
        counting("moe.experts.down_proj", (2, 3, 4)),
        counting("lm_head.weight", (7, 6), aliases=("wte.weight",)),
        counting("optimizer.state.0.exp_avg", (5, 6)),
        counting("fc.weight.momentum_buffer", (5, 6)),
        counting("model_ema.fc.weight", (5, 6)),
        counting("h.0.attn.bias", (1, 1, 8, 8)),
        counting("rotary_emb.inv_freq", (4,)),
        counting("x.lora_A.default.weight", (2, 6)),
        counting("x.lora_B.default.weight", (5, 2)),
        counting("q.qweight", (2, 4), "int32"),
        counting("q.scales", (2, 4), "float16"),
        counting("nothing", (0, 4)),
        counting("phase", (4, 4), "complex64"),
    ]


@pytest.mark.parametrize("view", [None, *named_views()])
def test_every_tensor_of_a_mixed_checkpoint_has_exactly_one_status(view):
    tensors = by_name(*mixed_checkpoint())
    found = statuses(tensors, view)
    assert found.keys() == tensors.keys()
    analysed = {name for name, items in found.items() if isinstance(items[0], Matrix)}
    expected = {
        f"{name}.weight" for name in ["fc", "conv1", "conv2", "conv3", "depthwise", "up", "tokens", "lm_head", "mha.out_proj"]
    }
    expected |= {f"{layer}.weight_{side}_l0" for layer in ("lstm", "gru", "rnn") for side in ("ih", "hh")}
    expected |= {"lstm.weight_ih_l0_reverse", "lstm.weight_hh_l0_reverse", "mha.in_proj_weight", "x.lora_A.default.weight"}
    assert analysed == expected | {"moe.experts.gate_up_proj", "moe.experts.down_proj"}


def test_a_tied_tensor_is_one_row_that_names_the_others():
    row = seen(counting("wte.weight", (7, 6), aliases=("lm_head.weight",)))["wte.weight", "embedding"]
    assert row.aliases == ("lm_head.weight",)
    assert row.note == "also known as lm_head.weight; analysed once"


def test_a_view_nobody_offers_is_an_error_that_names_those_offered():
    with pytest.raises(UsageError, match="heads, operator, slices"):
        list(matrices([counting("a.weight", (2, 3))], view="sideways"))


def test_ten_thousand_tensors_are_judged_within_a_second():
    shapes = {"attn.c_attn.weight": (8, 24), "attn.c_attn.bias": (24,), "fc.weight": (8, 8), "conv.weight": (8, 8, 3, 3)}
    tensors = [counting(f"h.{i}.{name}", shape) for i in range(2500) for name, shape in shapes.items()]
    start = time.process_time()
    assert sum(1 for _ in matrices(tensors)) == 2500 * 6
    assert time.process_time() - start < 1


def test_formed_twin_of_blocks_is_block_diagonal():
    (row,) = seen(counting("dw.weight", (2, 1, 1, 2))).values()
    np.testing.assert_array_equal(formed(row), [[0, 1, 0, 0], [0, 0, 2, 3]])
