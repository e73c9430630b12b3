"""What users hold in their hands becomes batches in one order, with labels that fit, or is refused with the reason."""

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, TensorDataset

from modescope.errors import UsageError
from modescope.profiles.images import Images, images

X = torch.arange(6 * 3 * 2 * 2, dtype=torch.float32).reshape(6, 3, 2, 2)
Y = torch.tensor([2, 0, 1, 1, 0, 2])


class Pairs(Dataset):
    """Arrays and plain labels."""

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return X[i].numpy(), int(Y[i])


class Named(Pairs):
    """Dictionaries, as some libraries give."""

    def __getitem__(self, i):
        return {"pixels": X[i], "label": Y[i]}


class Stream(IterableDataset):
    """Images that only come in a row, starting again every time."""

    def __iter__(self):
        return iter(X)


def together(found):
    return torch.cat([torch.as_tensor(batch) for batch in found.batches()])


SOURCES = {
    "array": (lambda: X.numpy(), False),
    "tensor": (lambda: X, False),
    "dataset of arrays": (Pairs, True),
    "dataset of tensors": (lambda: TensorDataset(X, Y), True),
    "loader": (lambda: DataLoader(TensorDataset(X, Y), batch_size=4), True),
    "loader of images alone": (lambda: DataLoader(X, batch_size=4), False),
    "loader of a stream": (lambda: DataLoader(Stream(), batch_size=4), False),
    "loader of given batches": (lambda: DataLoader(Pairs(), batch_sampler=BatchSampler(SequentialSampler(X), 4, False)), True),
    "list of batches": (lambda: [X[:4], X[4:]], False),
    "list of pairs": (lambda: [(X[:4], Y[:4]), (X[4:], Y[4:])], True),
    "list with empty batches": (lambda: [X[:0], X, X[:0]], False),
}


@pytest.mark.parametrize("name", SOURCES)
def test_images_come_in_their_order_as_often_as_asked_with_the_labels_they_bring(name):
    make, labelled = SOURCES[name]
    found = images(make(), batch=4)
    for _ in range(2):
        assert torch.equal(together(found), X)
    assert torch.equal(torch.as_tensor(found.first(2)), X[:2])
    assert (found.labels is not None) == labelled
    if labelled:
        np.testing.assert_array_equal(found.labels, Y)
        assert found.classes == ("0", "1", "2")
    given = images(make(), [0, 1, 0, 1, 0, 1])
    assert given.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert given.count == 6


@pytest.mark.parametrize("size", [1, 4, 100])
def test_batches_are_as_large_as_asked(size):
    assert [len(batch) for batch in images(X, batch=size).batches()] == [min(size, 6 - start) for start in range(0, 6, size)]


class Targets:
    """A dataset that knows its labels without opening an image."""

    targets = (1, 0)

    def __len__(self):
        return 2

    def __getitem__(self, i):
        raise AssertionError("no image is needed for its label")


def test_targets_of_a_dataset_are_taken_without_opening_images():
    assert images(Targets()).labels.tolist() == [1, 0]


@pytest.mark.parametrize("kind", [list, np.array, lambda names: np.array(names, dtype=object)])
def test_labels_that_are_names_are_classes_in_the_order_given_or_of_the_alphabet(kind):
    names = kind(["cat", "ant", "cat", "bee", "ant", "bee"])
    found = images(X, names)
    assert (found.classes, found.labels.tolist()) == (("ant", "bee", "cat"), [2, 0, 2, 1, 0, 1])
    found = images(X, names, classes=["cat", "dog", "bee", "ant"])
    assert (found.classes, found.labels.tolist()) == (("cat", "dog", "bee", "ant"), [0, 3, 0, 2, 3, 2])
    with pytest.raises(UsageError, match="expected names of classes, got 'ant'; they are cat, bee"):
        images(X, names, classes=["cat", "bee"])


def test_names_of_classes_stand_at_their_labels():
    assert images(X, Y, classes="abcd").classes == ("a", "b", "c", "d")
    assert images(X, Y.double()).labels.tolist() == Y.tolist()
    again = images(images(X, Y, classes="abc"), batch=3)
    assert again.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        ([0, 1], {}, r"labels: expected \(6,\), one for each image, got shape \(2,\)"),
        (np.eye(6), {}, r"got shape \(6, 6\)"),
        ([-1] * 6, {}, "counted from 0, got -1"),
        ([0.5] * 6, {}, "integers or names, got float64"),
        ([np.nan] * 6, {}, "integers or names"),
        ([np.inf] * 6, {}, "integers or names"),
        ([10**12] * 6, {}, "pass names instead"),
        ([1e30] * 6, {}, "pass names instead"),
        ([None] * 6, {}, "integers or names, got object"),
        ([0, 1, 2, 3, 0, 0], {"classes": ("a", "b")}, "classes below 2, the number of their names, got 3"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, options, said):
    with pytest.raises(UsageError, match=said):
        images(X, labels, **options)


REFUSED = {
    "a generator": (lambda: (x for x in [X]), "put in a list first"),
    "a stream": (Stream, "put in a list first"),
    "nothing": (lambda: None, "got NoneType"),
    "a word": (lambda: "images", "got str"),
    "an empty list": (list, "empty list"),
    "no images": (lambda: X[:0], "expected images, got none"),
    "a line of numbers": (lambda: np.zeros(5), r"expected images \(N, ...\), got shape \(5,\)"),
    "one number": (lambda: np.array(5.0), r"got shape \(\)"),
    "objects": (lambda: np.array([[None]]), "expected numbers, got object"),
    "complex numbers": (lambda: np.zeros((2, 2), complex), "expected numbers, got complex128"),
    "batches that are lists": (lambda: [[[1, 2]]], "got list"),
    "batches that are numbers": (lambda: [1, 2], "got int"),
    "a list of single numbers": (lambda: [np.zeros(3)], r"batches of images \(n, ...\), got shape \(3,\)"),
    "batches that are dictionaries": (lambda: [{"pixels": X}], "got dict with 'pixels'"),
    "a loader of dictionaries": (lambda: DataLoader(Named(), batch_size=2), "got dict with 'pixels', 'label'"),
    "a dataset of dictionaries": (Named, "got dict with 'pixels'"),
    "a loader that shuffles": (lambda: DataLoader(X, shuffle=True), "pass shuffle=False"),
    "a loader whose batches are shuffled": (
        lambda: DataLoader(X, batch_sampler=BatchSampler(RandomSampler(X), 2, False)),
        "got one with RandomSampler",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_are_no_images_in_one_order_is_refused(name):
    make, said = REFUSED[name]
    with pytest.raises(UsageError, match=said):
        images(make()).first()


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_a_batch_of_no_size_is_refused(size):
    with pytest.raises(UsageError, match="batch: expected"):
        images(X, batch=size)


def test_only_empty_batches_are_no_images():
    found = Images(lambda: iter([X[:0]]), None)
    with pytest.raises(UsageError, match="expected images, got none"):
        found.first()


def test_going_through_a_loader_draws_no_random_number_of_the_user():
    loader = DataLoader(TensorDataset(torch.zeros(6, 2), torch.arange(6) % 2), batch_size=4)
    before = torch.get_rng_state()
    found = images(loader)
    assert sum(len(batch) for batch in found.batches()) == 6
    assert torch.equal(torch.get_rng_state(), before)
