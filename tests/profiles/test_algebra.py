"""Profiles: their sums, likeness with its golden values, classes in one pass, and files that are damaged on purpose."""

import json
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from modescope.checkpoints.safetensors import metadata
from modescope.errors import UnreadableError, UsageError
from modescope.profiles.algebra import (
    ClassProfiles,
    Entry,
    Parameters,
    Profile,
    average_jaccard,
    containment,
    jaccard,
    layer_jaccard,
    load,
    merged,
    per_image,
    profile,
    save,
)
from modescope.profiles.passing import Passed
from modescope.profiles.selection import contributing

WIDTHS = {"a": 3, "b": 6}


def of(a, b, inputs=1, **layers):
    """A profile by the modes that one image chose."""
    return profile({name: dict.fromkeys(modes, (1, 0.5, 1)) for name, modes in {"a": a, "b": b, **layers}.items()}, WIDTHS, inputs)


P1, P2, P3 = of([0], [0, 1, 2, 4]), of([0], [1, 2, 3, 4, 5]), of([0, 1], [1, 3])


def signals(seed, n=20, r=6):
    a = np.random.default_rng(seed).standard_normal((n, r))
    a[0] = 0
    return {"a": a, "b": 2 * a[:, ::-1]}


def batches(table, sizes):
    start = 0
    for size in sizes:
        part = {name: a[start : start + size] for name, a in table.items()}
        yield Passed(start, None, part, {}, None, None), {name: contributing(a, share=0.4) for name, a in part.items()}
        start += size


def test_golden_values_of_the_likenesses():
    assert jaccard(P1, P2) == pytest.approx(4 / 7, abs=1e-12)
    assert average_jaccard(P1, P2) == 0.75
    assert layer_jaccard(P1, P2) == {"a": 1.0, "b": 0.5}
    assert containment(P1, P1 + P2) == 1
    assert containment(P3, P1 + P2) == 0.75


def test_a_profile_is_like_itself_and_nothing_is_like_nothing():
    assert jaccard(P1, P1) == average_jaccard(P1, P1) == containment(P1, P1) == 1
    for measure in (jaccard, average_jaccard, containment):
        assert measure(Profile(), Profile()) == measure(Profile(), P1) == measure(P1, Profile()) == 0


def test_a_layer_that_the_other_profile_lacks_counts_nothing():
    short = profile({"a": {0: (1, 1.0, 1)}}, WIDTHS, 1)
    assert layer_jaccard(P1, short) == {"a": 1.0, "b": 0.0}
    assert average_jaccard(P1, short) == 0.5
    assert average_jaccard(short, P1) == 1
    assert containment(short, P1) == 1


NUMBERS = st.tuples(st.integers(1, 5), st.integers(1, 64).map(lambda x: x / 64), st.integers(-1, 1))
PROFILES = st.builds(
    lambda a, b: profile({"a": a, "b": b}, WIDTHS, 5),
    st.dictionaries(st.integers(0, 2), NUMBERS),
    st.dictionaries(st.integers(0, 5), NUMBERS),
)


@given(PROFILES, PROFILES, PROFILES)
def test_sums_ignore_order_and_brackets_and_weigh_by_counts(x, y, z):
    assert x + y == y + x
    assert (x + y) + z == x + (y + z) == merged([z, x, y])
    assert x + Profile() == Profile() + x == x == sum([x], Profile())
    assert jaccard(x, y) == jaccard(y, x)
    both = x + y
    assert both.inputs == 10
    for name in WIDTHS:
        one, other, layer = x[name], y[name], both[name]
        np.testing.assert_array_equal(layer.count, one.count + other.count)
        mean = (one.count * one.weight + other.count * other.weight) / np.maximum(layer.count, 1)
        np.testing.assert_allclose(layer.weight, mean, rtol=1e-12)


def test_profiles_chosen_in_two_ways_or_of_two_networks_are_not_added():
    other = profile({"a": {}}, WIDTHS, 1, parameters=Parameters(share=0.2, aggregate="rms"))
    with pytest.raises(UsageError, match=r"aggregate 'mean' and 'rms', share 0.1 and 0.2"):
        P1 + other
    wide = profile({"a": {0: (1, 1.0, 1)}}, {"a": 4}, 1)
    for act in (lambda: P1 + wide, lambda: jaccard(P1, wide), lambda: containment(P1, wide)):
        with pytest.raises(UsageError, match="layer 'a': expected profiles of one network, got 3 and 4 modes"):
            act()
    with pytest.raises(TypeError):
        P1 + 1


def test_iterating_gives_the_chosen_modes_in_order():
    found = profile({"a": {2: (2, 0.25, -2), 0: (1, 0.5, 1)}, "b": {}}, WIDTHS, 2)
    assert list(found) == [Entry("a", 0, 1, 0.5, 1), Entry("a", 2, 2, 0.25, -1)]
    assert len(found) == 2
    assert found["a"].modes.tolist() == [0, 2]
    assert list(Profile()) == []
    assert not Profile()


def test_equality_looks_at_every_number():
    assert of([0], [1]) == of([0], [1])
    assert hash(of([0], [1])) == hash(of([0], [2]))
    assert of([0], [1]) != of([0], [2])
    assert of([0], [1]) != of([0], [1], inputs=2)
    assert of([0], [1]) != profile({"a": {0: (1, 0.5, 1)}, "b": {1: (1, 0.5, -1)}}, WIDTHS, 1)
    assert of([0], [1]) != profile({"a": {0: (1, 0.5, 1)}, "b": {1: (1, 0.4, 1)}}, WIDTHS, 1)
    assert P1 != "P1"
    with pytest.raises(ValueError, match="read-only"):
        P1["a"].count[0] = 3


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({3: (1, 1.0, 1)}, "from 0 to 2, got 3"),
        ({0: (2, 1.0, 1)}, "from 0 to 1"),
        ({0: (1, 1.0, 2)}, "signs"),
        ({0: (1, -1.0, 1)}, "weights"),
    ],
)
def test_impossible_entries_are_refused(entries, said):
    with pytest.raises(UsageError, match=said):
        profile({"a": entries}, WIDTHS, 1)


@pytest.mark.parametrize("sizes", [(20,), (7, 13), (1,) * 20])
def test_classes_of_one_pass_are_the_sums_of_their_images(sizes):
    table, labels = signals(0), np.random.default_rng(1).integers(0, 3, 20)
    running, images = ClassProfiles(labels, classes=("x", "y", "z", "none")), []
    for passed, chosen in batches(table, sizes):
        running.add(passed, chosen)
        images += per_image(chosen)
    found = running.value()
    assert list(found.classes) == ["x", "y", "z", "none"]
    assert not found.classes["none"]
    for c, name in enumerate("xyz"):
        slow = reduce(lambda p, q: p + q, [one for one, label in zip(images, labels, strict=True) if label == c])
        assert found.classes[name].inputs == slow.inputs
        for layer in table:
            np.testing.assert_array_equal(found.classes[name][layer].count, slow[layer].count)
            np.testing.assert_array_equal(found.classes[name][layer].balance, slow[layer].balance)
            np.testing.assert_allclose(found.classes[name][layer].weight, slow[layer].weight, rtol=1e-12)
    assert found.whole == merged(found.classes.values())
    assert found.whole.inputs == 20


def test_an_image_has_the_modes_weights_and_signs_of_its_selection():
    (_, chosen), *_ = batches(signals(2), (20,))
    images = list(per_image(chosen))
    assert len(images[0]) == 0
    assert images[0].inputs == 1
    for i, one in enumerate(images):
        np.testing.assert_array_equal(one["a"].count > 0, chosen["a"].selected[i])
        np.testing.assert_array_equal(one["a"].weight, chosen["a"].weights[i])
        np.testing.assert_array_equal(one["a"].sign, chosen["a"].signs[i])


def test_without_labels_there_is_the_whole_alone():
    running = ClassProfiles(None)
    for passed, chosen in batches(signals(0), (8, 12)):
        running.add(passed, chosen)
    found = running.value()
    assert found.whole.inputs == 20
    assert not found.classes


def test_memory_of_classes_does_not_grow_with_images():
    def held(times):
        running = ClassProfiles(np.zeros(20 * times, np.int64))
        for passed, chosen in batches({name: np.tile(a, (times, 1)) for name, a in signals(0).items()}, (20,) * times):
            running.add(passed, chosen)
        return sum(array.nbytes for sums in running._sums.values() for array in sums)

    assert held(1) == held(9)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="classes below 1"):
        ClassProfiles(np.array([0, 1]), classes=("x",))
    running = ClassProfiles(np.array([0, 1, 1]))
    first, second = batches(signals(0), (2, 2))
    running.add(*first)
    with pytest.raises(UsageError, match="expected one for each image, got 3"):
        running.add(*second)


HOSTILE = 'x"\n\\../../\u202e</script>\x00'


def test_profiles_come_back_from_a_file_as_they_were(tmp_path):
    one = profile(
        {HOSTILE: {1: (2, 1 / 3, -2)}, "b": {}},
        {HOSTILE: 4, "b": 6},
        3,
        parameters=Parameters("rms", "fold", 0.3, "ddp", "topk", 4.0),
    )
    given = {HOSTILE: one, "": P1 + P2, "empty": Profile()}
    save(given, tmp_path / "p.safetensors")
    found = load(tmp_path / "p.safetensors")
    assert found == given
    assert list(found) == list(given)
    assert found[HOSTILE].parameters == one.parameters
    assert list(found[HOSTILE].layers) == [HOSTILE, "b"]
    save({}, tmp_path / "none.safetensors")
    assert load(tmp_path / "none.safetensors") == {}


def test_a_file_that_cannot_be_written_or_profiles_of_two_networks_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        save({"p": P1}, tmp_path / "no" / "p.safetensors")
    with pytest.raises(UsageError, match="expected 3 modes in every profile, got 4"):
        save({"p": P1, "q": profile({"a": {}}, {"a": 4}, 1)}, tmp_path / "p.safetensors")


def _edited(path, edit):
    arrays, said = load_file(path), metadata(path)
    plain = json.loads(said["profiles"])
    edit(arrays, plain, said)
    text = said.get("profiles") if said.get("profiles") == "[" else json.dumps(plain)
    save_file(arrays, path, {**said, "profiles": text})


EDITS = {
    "schema": lambda a, p, s: s.update(schema="modescope.profiles/9"),
    "no JSON": lambda a, p, s: s.update(profiles="["),
    "a missing tensor": lambda a, p, s: a.pop("0.count"),
    "another dtype": lambda a, p, s: a.update({"0.count": a["0.count"].astype(np.int32)}),
    "another shape": lambda a, p, s: a.update({"0.total": a["0.total"][:, :2].copy()}),
    "another axis": lambda a, p, s: a.update({"0.total": a["0.total"].ravel()}),
    "a negative count": lambda a, p, s: a["0.count"].__setitem__((0, 0), -1),
    "more counts than images": lambda a, p, s: a["0.count"].__setitem__((0, 0), 10**6),
    "more signs than counts": lambda a, p, s: a["0.balance"].__setitem__((0, 0), 5),
    "the least of all numbers of signs": lambda a, p, s: a["0.balance"].__setitem__((0, 0), -(2**63)),
    "a weight that is no number": lambda a, p, s: a["0.total"].__setitem__((0, 0), np.nan),
    "images that are no number": lambda a, p, s: p.update(inputs=["1"]),
    "negative images": lambda a, p, s: p.update(inputs=[-1]),
    "images missing": lambda a, p, s: p.pop("inputs"),
    "two profiles of a name": lambda a, p, s: p.update(profiles=["x", "x"]),
    "a name that is none": lambda a, p, s: p.update(layers=[["a"], "b"]),
    "too many layers": lambda a, p, s: p["layers"].append("c"),
    "a foreign parameter": lambda a, p, s: p["parameters"][0].update(run="rm"),
    "a parameter of another kind": lambda a, p, s: p["parameters"][0].update(share="x"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_damaged_file_is_named_and_not_believed(name, tmp_path):
    path = tmp_path / "p.safetensors"
    save({"p": P1}, path)
    _edited(path, EDITS[name])
    with pytest.raises(UnreadableError, match=r"p\.safetensors: ") as caught:
        load(path)
    assert len(str(caught.value)) < 500


def test_a_cut_file_and_a_file_of_something_else_are_refused(tmp_path):
    path = tmp_path / "p.safetensors"
    save({"p": P1}, path)
    for kept in (0, 7, 60, path.stat().st_size - 1):
        (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:kept])
        with pytest.raises(UnreadableError, match=r"cut\.safetensors"):
            load(tmp_path / "cut.safetensors")
    save_file({"w": np.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(UnreadableError, match="no schema"):
        load(tmp_path / "w.safetensors")
    with pytest.raises(UnreadableError, match="absent"):
        load(tmp_path / "absent.safetensors")
