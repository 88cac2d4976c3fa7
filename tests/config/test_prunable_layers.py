import numpy as np
import pytest

from sgdtails import layers
from sgdtails.config import prunable_layers
from sgdtails.errors import InputError
from sgdtails.pruning import methods as pruning
from tests.pruning.networks import at_ratios, convolutional, network

FCN4, FCN6, CNN, OWN = {"fcn": [8] * 4}, {"fcn": [8] * 6}, {"cnn": [4, "M", 8, 8, "M"]}, {"factory": "a.b"}


@pytest.mark.parametrize(
    ("exempt", "prunable"),
    [
        (["first_convolution", "head"], ["conv2", "conv3"]),
        ([], ["conv1", "conv2", "conv3", "head"]),
        (["head"], ["conv1", "conv2", "conv3"]),
        (["first_convolution"], ["conv2", "conv3", "head"]),
        (["conv2", "head"], ["conv1", "conv3"]),
        ([0, 3, "conv1"], ["conv2", "conv3"]),
        ([0, 1, 2, 3], []),
    ],
)
def test_exempt_layers_are_left_whole(exempt, prunable):
    weights = convolutional()
    assert layers.prunable(weights, "layer_magnitude", exempt) == prunable
    assert layers.prunable(weights, "node", exempt) == [name for name in prunable if name == "head"]
    if prunable:
        pruned = pruning.Pruner(weights, method="layer_magnitude", exempt=exempt).at_ratio(1)
        assert pruned.pruned == set(prunable)
        assert pruned.pruned_ratio == 1
        assert pruned.parameters_left == sum(w.size for name, w in weights.items() if name not in prunable)


def test_the_published_layers_are_the_default():
    assert layers.prunable(convolutional(), "layer_magnitude") == ["conv2", "conv3"]
    # The first layer of a fully connected network is no convolution.
    assert layers.prunable(network(), "layer_magnitude") == ["fc1", "fc2"]
    assert layers.prunable(network(), "layer_magnitude", []) == ["fc1", "fc2", "head"]
    assert layers.prunable({"only": np.ones((3, 3, 3, 3))}, "layer_magnitude") == []


@pytest.mark.parametrize("method", ["layer_magnitude", "global_magnitude", "singular_value", "node", "row"])
def test_a_pruned_head_acts_as_its_dense_weights(method):
    weights = network(dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((5, 12))
    for pruned in at_ratios(weights, [0, 0.5, 1], method=method, exempt=[]):
        assert "head" in pruned.pruned
        hidden, dense = x, pruned.weights()
        for name in ("fc1", "fc2"):
            hidden = np.maximum(hidden @ dense[name].T, 0)
        np.testing.assert_allclose(pruned.chain(x), hidden @ dense["head"].T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("entry", "hint"),
    [("hed", "did you mean 'head'"), ("conv22", "did you mean 'conv2'"), (4, "use one of: conv1"), (-1, "use one of")],
)
def test_layers_that_are_not_there(entry, hint):
    with pytest.raises(InputError, match=rf"unknown layer '{entry}' in config key pruning.exempt: {hint}"):
        layers.prunable(convolutional(), "node", ["head", entry])


def test_entries_of_a_study_with_several_models():
    entries = ["first_convolution", "head", "fc6", "conv3", 5, 1]
    models = [FCN4, FCN6, CNN]
    assert prunable_layers.of_model(entries, FCN4, models) == ["first_convolution", "head", 1]
    assert prunable_layers.of_model(entries, FCN6, models) == ["first_convolution", "head", "fc6", 5, 1]
    assert prunable_layers.of_model(entries, CNN, models) == ["first_convolution", "head", "conv3", 1]
    # Which layers an own model has is not known before it is built: its job asks for all of them.
    assert prunable_layers.of_model(entries, OWN, [FCN6, OWN]) == entries
    assert prunable_layers.of_model(entries, FCN6, [FCN6, OWN]) == ["first_convolution", "head", "fc6", 5, 1]
    for entry, hint in (("fc7", "did you mean 'fc"), ("conv4", "did you mean 'conv"), (7, "use one of: conv1")):
        with pytest.raises(InputError, match=rf"unknown layer '{entry}' in config key pruning.exempt: {hint}"):
            prunable_layers.of_model([entry], FCN4, models)


def test_layers_that_an_index_leaves_out():
    prunable_layers.check_index(["first", "head", "fc6", "conv1"], [FCN6, CNN])
    prunable_layers.check_index(["anything"], [FCN6, OWN])
    with pytest.raises(InputError, match="unknown layer 'haed' in config key index.exempt: did you mean 'head'"):
        prunable_layers.check_index(["haed"], [FCN6, CNN])


def test_names_of_built_in_layers_are_those_of_the_networks():
    from sgdtails.models import building as models

    for model in (FCN4, FCN6, CNN):
        built = layers.weights(models.state(models.build("a", (1, 8, 8), 10, {"a": model})))
        names = list(built)
        assert prunable_layers.of_model(names, model, [model]) == names
        assert prunable_layers.of_model([len(names) - 1], model, [model]) == [len(names) - 1]
        with pytest.raises(InputError, match="unknown layer"):
            prunable_layers.of_model([len(names)], model, [model])
