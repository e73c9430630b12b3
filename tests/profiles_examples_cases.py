"""What the examples that profile a trained network claim of each, as assertions that their tests share."""


def check_accuracy_of_cut_networks(one, margins):
    cut = one.cut
    assert one.accuracy >= margins.accuracy
    assert cut["top", 0.5] >= cut["bottom", 0.5] + margins.weak
    assert cut["top", 0.5] > cut["random", 0.5] + 0.3
    assert cut["top", 0.75] > one.accuracy - margins.loss
    assert cut["bottom", 0.75] <= 0.3


def check_separation_of_classes(one):
    first, last = one.layers[0], one.layers[-1]
    assert first.jaccard > last.jaccard + 0.2
    assert last.eta > max(first.eta, last.eta_start) + 0.2
    assert all(layer.eta > 5 * layer.eta_permuted for layer in one.layers)


def check_that_what_is_not_claimed_of_overlap_is_so(one):
    """Uncentred, permuted labels overlap more than by chance; centred, real ones do about as by chance in linear layers."""
    assert all(layer.jaccard_permuted > layer.jaccard - 1e-9 for layer in one.layers)
    assert all(layer.jaccard_permuted > 2 * layer.chance for layer in one.layers)
    assert all(layer.jaccard_z < 2 * layer.chance for layer in one.layers[3:])


def check_spectra_beside_noise(one):
    assert len(one.wide) == 3
    for layer in one.wide:
        assert layer.above >= 2
        assert layer.ratio > 1.5
        assert max(layer.ratio_start, layer.ratio_permuted) <= 1.2


def check_images_that_were_made(one):
    for place, layer in enumerate(one.layers):
        assert layer.beats["start"] == layer.beats["random"] == 1
        assert layer.beats["data"] == 1 or place == 0
