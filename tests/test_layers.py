import numpy as np
import pytest
import torch

from sgdtails import layers
from sgdtails.errors import InputError

LINEAR = np.arange(15.0).reshape(3, 5)
CONVOLUTION = np.arange(4 * 2 * 9.0).reshape(4, 2, 3, 3)


@pytest.mark.parametrize(
    ("weight", "purpose", "head", "shape"),
    [
        (LINEAR, "multivariate", False, (3, 5)),
        (LINEAR, "multivariate", True, (5, 3)),
        (LINEAR, "univariate", True, (15,)),
        (LINEAR, "singular_value", False, (3, 5)),
        (LINEAR, "node", False, (5, 3)),
        (CONVOLUTION, "multivariate", False, (8, 9)),
        (CONVOLUTION, "kernel", False, (8, 9)),
        (CONVOLUTION, "singular_value", False, (4, 18)),
        (CONVOLUTION, "univariate", False, (72,)),
        (LINEAR, "row", False, (3, 5)),
        (CONVOLUTION, "filter", False, (4, 18)),
    ],
)
def test_shapes(weight, purpose, head, shape):
    sample = layers.observations(weight, purpose, head=head)
    assert sample.shape == shape
    assert np.shares_memory(sample, weight)


def test_an_observation_of_a_convolution_is_one_kernel():
    np.testing.assert_array_equal(layers.observations(CONVOLUTION, "kernel")[3], CONVOLUTION[1, 1].ravel())


def test_an_observation_of_a_channel_is_what_it_gives_to_all_filters():
    sample = layers.observations(CONVOLUTION, "channel")
    assert sample.shape == (2, 36)
    np.testing.assert_array_equal(sample[1], CONVOLUTION[:, 1].ravel())


@pytest.mark.parametrize(
    ("weight", "purposes"),
    [
        (LINEAR, ("univariate", "multivariate", "singular_value", "node", "row")),
        (CONVOLUTION, ("univariate", "multivariate", "singular_value", "kernel", "filter", "channel")),
    ],
)
def test_weights_are_restored_from_their_observations(weight, purposes):
    for purpose in purposes:
        for kind in (np.asarray, torch.from_numpy):
            back = layers.restored(layers.observations(kind(weight), purpose), weight.shape, purpose)
            assert type(back) is type(kind(weight))
            np.testing.assert_array_equal(back, weight)


@pytest.mark.parametrize(
    ("weight", "purpose"),
    [
        *((LINEAR, purpose) for purpose in ("kernel", "filter", "channel")),
        *((CONVOLUTION, purpose) for purpose in ("node", "row")),
        (np.ones(3), "univariate"),
    ],
)
def test_meaningless_combinations(weight, purpose):
    with pytest.raises(ValueError, match="shape"):
        layers.observations(weight, purpose)


def test_unknown_purpose_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'univariate'"):
        layers.observations(LINEAR, "univariat")


def test_centring():
    assert np.median(layers.centre(LINEAR.ravel())) == 0
    np.testing.assert_array_equal(np.median(layers.centre(LINEAR), axis=0), np.zeros(5))


def test_layers_are_the_matrices_in_order():
    state = {"b.weight": LINEAR, "b.bias": np.ones(3), "a.weight": CONVOLUTION}
    assert list(layers.weights(state)) == ["b", "a"]
