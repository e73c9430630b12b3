"""The whole of a profile beside its definitions, computed anew with NumPy from outputs that hooks of the test took."""

import numpy as np
import pytest
import torch
from torch import nn

import modescope as ms
from modescope import profiles
from modescope.errors import UsageError

CLASSES, IMAGES = 4, 60
QUICK = {"features": 0, "truncation": False, "resamples": 0, "permutations": 0}


class Mixed(nn.Module):
    """Stride, groups, dilation, a transposed convolution, tokens and batch norms, of which one can be folded wrongly."""

    def __init__(self):
        super().__init__()
        self.plain, self.norm = nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
        self.grouped, self.normed = nn.Conv2d(6, 8, 3, padding=2, dilation=2, groups=2, bias=False), nn.BatchNorm2d(8)
        self.transposed = nn.ConvTranspose2d(8, 10, 3, stride=2, groups=2)
        self.tokens, self.last = nn.Linear(10, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        h = torch.tanh_(self.norm(self.plain(x)))
        h = torch.tanh_(self.normed(self.grouped(h)))
        h = torch.tanh(self.transposed(h)).flatten(2).transpose(1, 2)
        return self.last(torch.tanh(self.tokens(h)).mean(dim=1))


@pytest.fixture
def mixed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = Mixed().double()
        for norm in (model.norm, model.normed):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
        images = torch.randn(IMAGES, 2, 8, 8, dtype=torch.float64)
    labels = np.arange(IMAGES) % CLASSES
    images[labels == 1] += 0.7
    return model, images, labels


def matrices(name, module, gain):
    """Unfolded weights of all groups."""
    weight, groups = module.weight.detach().numpy(), getattr(module, "groups", 1)
    parts = np.split(weight, groups)
    if name == "transposed":
        parts = [part.swapaxes(0, 1) for part in parts]
    return [part.reshape(len(part), -1) * g[:, None] for part, g in zip(parts, np.split(gain, groups), strict=True)]


def expected(model, images, bn, how):
    """Singular values and signals (N, r) by layer."""
    taken, found = {}, {}
    layers = {name: module for name, module in model.named_children() if not isinstance(module, nn.BatchNorm2d)}
    hooks = [
        module.register_forward_hook(lambda _m, _a, output, name=name: taken.update({name: output.detach().numpy().copy()}))
        for name, module in layers.items()
    ]
    with torch.no_grad():
        model.eval()(images)
    for hook in hooks:
        hook.remove()
    for name, module in layers.items():
        y = np.moveaxis(taken[name], -1, 1) if name == "tokens" else taken[name]
        y = y.reshape(*y.shape[:2], -1) - (0 if module.bias is None else module.bias.detach().numpy()[:, None])
        norm = {"plain": model.norm, "grouped": model.normed}.get(name) if bn == "fold" else None
        gain = np.ones(y.shape[1])
        if norm is not None:
            gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().numpy()
        values, directions = [], []
        for group, matrix in enumerate(matrices(name, module, gain)):
            u, s, _ = np.linalg.svd(matrix, full_matrices=False)
            for column, value in zip(u.T, s, strict=True):
                whole = np.zeros(y.shape[1])
                whole[group * len(matrix) : (group + 1) * len(matrix)] = column * np.sign(column[np.abs(column).argmax()])
                values.append(value)
                directions.append(whole)
        order = np.argsort(-np.array(values), kind="stable")
        signals = np.einsum("rd,ndp->nrp", np.array(directions)[order] * gain, y)
        found[name] = np.array(values)[order], how(signals)
    return found


@pytest.mark.parametrize(
    ("bn", "aggregate", "how"),
    [
        ("ignore", "mean", lambda s: s.mean(axis=2)),
        ("fold", "rms", lambda s: np.sqrt((s**2).mean(axis=2))),
        ("fold", "min", lambda s: s.min(axis=2)),
    ],
)
def test_everything_about_classes_is_that_of_the_definitions(mixed, bn, aggregate, how):
    model, images, labels = mixed
    result = ms.profile(model, images, labels=labels, bn=bn, aggregate=aggregate, select="all", exemplars=5, batch=17, **QUICK)
    truth = expected(model, images, bn, how)
    assert [layer.site for layer in result.layers] == list(truth)
    for layer in result.layers:
        s, a = truth[layer.site]
        means = np.array([a[labels == c].mean(axis=0) for c in range(CLASSES)])
        assert layer.basis.s == pytest.approx(s, rel=1e-12)
        assert layer.statistics.mean == pytest.approx(means, abs=1e-12)
        errors = np.array([a[labels == c].std(axis=0, ddof=1) for c in range(CLASSES)]) / np.sqrt(IMAGES / CLASSES)
        assert layer.statistics.error == pytest.approx(errors, rel=1e-9)
        z = (means - a.mean(axis=0)) / a.std(axis=0)
        assert layer.membership.profile == pytest.approx(z, abs=1e-9)
        sets = []
        for row in z:
            strongest = np.argsort(-np.abs(row), kind="stable")[: max(2, s.size // 8)]
            sets.append({(int(i), int(np.sign(row[i]))) for i in strongest})
        index, sign = layer.membership.index.tolist(), layer.membership.sign.tolist()
        for members, row in zip(sets, layer.membership.member, strict=True):
            assert {(index[v], sign[v]) for v in np.flatnonzero(row)} == members
        overlap = [len(p & q) / len(p | q) for i, p in enumerate(sets) for q in sets[:i]]
        assert layer.separation["z"].jaccard.value == pytest.approx(np.mean(overlap))
        between = np.square(means - a.mean(axis=0)).sum() / CLASSES
        assert layer.separation["z"].eta.value == pytest.approx(between / a.var(axis=0).sum())
        assert (layer.extremes.top.indices == np.argsort(-a, axis=0, kind="stable")[:5].T).all()
        assert (layer.extremes.bottom.indices == np.argsort(a, axis=0, kind="stable")[:5].T).all()
        for c in range(CLASSES):
            count = np.zeros(s.size, int)
            for row in np.abs(a[labels == c]):
                order = np.argsort(-row, kind="stable")
                count[order[: int((np.cumsum(row[order]) <= 0.1 * row.sum()).sum()) + 1]] += 1
            assert (result.classes[str(c)].layers[layer.site].count == count).all()


def test_labels_without_relation_to_the_images_are_called_unlikely_no_more_often_than_chance():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    random, p = np.random.default_rng(0), []
    for seed in range(40):
        images, labels = random.normal(size=(24, 6)).astype(np.float32), random.permutation(np.arange(24) % 3)
        given = {**QUICK, "permutations": 19, "seed": seed, "shown": 0, "exemplars": 1}
        first = ms.profile(model, images, labels=labels, layers="0", **given).layers[0].separation["z"]
        p.append((first.eta.null.p_high, first.eta.null.p_low, first.jaccard.null.p_high, first.jaccard.null.p_low))
    for column in np.array(p).T:  # a binomial of 40 and 1 / 10 is above 10 once in 1000; of 40 and 1 / 2 above 30
        assert (column <= 0.1 + 1e-9).sum() <= 10
        assert (column <= 0.5 + 1e-9).sum() <= 30


@pytest.mark.parametrize("name", ["aggregate", "select", "standardise", "rule", "scope"])
def test_words_that_do_not_exist_are_refused_before_the_network_runs(name):
    def fail(*_):
        raise AssertionError("the network ran")

    model = nn.Linear(4, 3)
    model.register_forward_pre_hook(fail)
    with pytest.raises(UsageError, match=f"^{name}: expected one of .*, got 'nothing'"):
        ms.profile(model, torch.zeros(4, 4), **{name: "nothing"})
    with pytest.raises(UsageError, match=r"^exemplars: "):
        ms.profile(model, torch.zeros(4, 4), exemplars=0)


def test_an_accuracy_over_classes_of_another_number_comes_with_a_caution():
    model, images, labels = nn.Linear(4, 7), torch.randn(40, 4), np.arange(40) % 2
    said = "tells 7 classes apart and the data have 2"
    assert any(said in one for one in ms.profile(model, images, labels=labels, **QUICK).cautions)
    assert not any("apart" in one for one in ms.profile(model, images, **QUICK).cautions)
    assert not any("apart" in one for one in ms.profile(model, images, labels=np.arange(40) % 7, **QUICK).cautions)


def test_all_layers_share_the_level_of_outliers(monkeypatch):
    tests, inner = [], profiles.ranked
    monkeypatch.setattr(profiles, "ranked", lambda one, **given: tests.append(given["tests"]) or inner(one, **given))
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    ms.profile(model, torch.randn(8, 6), select="outliers", shown=0, **QUICK)
    assert tests == [3, 3, 3]


@pytest.mark.parametrize("task", ["modes", "signals", "pictures", "validation", "operators", "truncation", "nothing"])
def test_a_network_in_training_is_given_back_wherever_a_profile_is_interrupted(mixed, task):
    model, images, labels = mixed
    model.train()
    model.norm.eval()
    model.plain.weight.requires_grad_(False)
    model.last.weight.grad = torch.ones_like(model.last.weight)

    def seen():
        values = [*model.state_dict().values(), model.last.weight.grad, torch.get_rng_state()]
        plain = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
        places = [(p.data_ptr(), p.requires_grad, p.grad is None) for p in model.parameters()]
        return [value.clone() for value in values], plain, places, np.random.get_state()[1].tolist()  # noqa: NPY002

    def stop(name, *_):
        if name == task:
            raise KeyboardInterrupt

    before = seen()
    given = {**QUICK, "labels": labels, "truncation": True, "features": 1, "layers": "last", "progress": stop}
    if task == "operators":
        given |= {"layers": "plain", "features": 0}
    if task == "nothing":
        ms.profile(model, images, **given)
    elif task == "truncation":  # the last step: what was found before it is kept
        assert ms.profile(model, images, **given).truncation == "interrupted before it was done"
    else:
        with pytest.raises(KeyboardInterrupt):
            ms.profile(model, images, **given)
    after = seen()
    assert all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]
