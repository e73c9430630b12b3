"""Rotation: the writer's directions are Haar distributed, the reader stays as it is; credits matching directions and nothing else.

Exact for Gaussian initialisation, and for any reader: smooth, separable and sparse kernels have heavier tails than isotropic ones,
so the law is taken conditional on each of them. Directions that match because both carry the mean activation count too;
`positivity` takes that away.
"""

from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._conditional import by_block, conditional
from modescope.spectral_graph.pairs import Pair
from modescope.svd import Values


def test(pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
    """Test overlaps by the exact law of a random writer against the given reader.

    A writer with several blocks is random within each; its law has the dimensions of one block. Groups of equal singular values are
    tested as subspaces: exact against a single dimension, otherwise as `laws.haar_block.tail` says. A node that fills its space
    overlaps as it must, and so does one in a single dimension: both have p = 1.

    Args:
        pair: The two layers.
        weights: (reader nodes, writer nodes) overlaps.
        most: Largest p-value of interest.
        draws: Not used: nothing is simulated.
        seed: Not used.

    Returns:
        Edges with a p-value of at most `most`.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, for the overlaps; `laws.haar_overlap` for the law.
    """
    del draws, seed  # a null takes them all
    return by_block(pair, weights, conditional, most)
