import pytest
import torch
from torch import nn

from sgdtails.config import architectures, config_schema
from sgdtails.errors import InputError
from sgdtails.models import building as models
from sgdtails.models import initial_laws

MNIST, CIFAR10, DIGITS = (1, 28, 28), (3, 32, 32), (1, 8, 8)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("fcn4", CIFAR10, 18_894_848),
        ("fcn6", CIFAR10, 27_283_456),
        ("cnn", CIFAR10, 9_222_848),
        ("fcn4", MNIST, 14_209_024),
        ("fcn6", MNIST, 22_597_632),
        ("cnn", MNIST, 9_221_696),
    ],
)
def test_table_1(config, name, shape, parameters):
    with torch.device("meta"):
        module = models.build(name, shape, 10, config["models"])
    assert count(module) == parameters


def test_pools_in_a_row_each_halve_the_image():
    model = models.build("cnn", (1, 28, 28), 10, {"cnn": {"cnn": ["M", "M", 4, "M", "M"]}})
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in model) == 4
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_small_images_lose_the_first_pools(config):
    published = config["models"]["cnn"]["cnn"]
    assert architectures.affordable_pools(published, 32) == published
    assert architectures.affordable_pools(published, 28) == [64, 128, *published[3:]]
    assert architectures.affordable_pools([8, "M", 8, "M"], 1) == [8, 8]


@pytest.mark.parametrize("shape", [MNIST, CIFAR10, DIGITS, (2, 5, 9)])
def test_any_image_shape_maps_to_logits(shape):
    config = {"cnn": {"cnn": [4, "M", 6, "M", 6]}, "fcn": {"fcn": [7, 5]}}
    for name in config:
        module = models.build(name, shape, 3, config)
        assert module(torch.zeros(2, *shape)).shape == (2, 3)
        assert all(parameter.ndim >= 2 for parameter in module.parameters())


def test_initialisation_is_the_published_one():
    config = {"fcn": {"fcn": [1000]}, "cnn": {"cnn": [50, 200]}}
    linear = models.build("fcn", (1, 20, 20), 10, config)[1].weight
    assert linear.abs().max() <= 1 / 20
    assert linear.std().item() == pytest.approx((1 / 20) / 3**0.5, rel=0.01)
    convolution = models.build("cnn", MNIST, 10, config)[2].weight
    assert convolution.std().item() == pytest.approx((2 / (9 * 200)) ** 0.5, rel=0.02)
    assert convolution.mean().item() == pytest.approx(0, abs=5e-4)


def test_initial_weights_are_those_of_the_published_laws_to_the_last_bit():
    config = {"small": {"cnn": [4, 6]}}
    chosen = {"small": config["small"] | {"init": {"linear": "uniform_fan_in", "conv": "normal_fan_out"}}}
    torch.manual_seed(5)
    expected = []
    for channels, filters in ((1, 4), (4, 6)):
        convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
        expected.append(nn.init.normal_(convolution.weight, 0.0, (2 / (9 * filters)) ** 0.5))
    head = nn.Linear(6 * 64, 10, bias=False)
    expected.append(nn.init.uniform_(head.weight, -((6 * 64) ** -0.5), (6 * 64) ** -0.5))
    for each in (config, chosen):
        found = models.build("small", DIGITS, 10, each, seed=5).parameters()
        assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("law", "variance"),  # of a weight with these fans
    [
        ("uniform_fan_in", lambda fan_in, fan_out: 1 / (3 * fan_in)),
        ("torch_default", lambda fan_in, fan_out: 1 / (3 * fan_in)),
        ("normal_fan_out", lambda fan_in, fan_out: 2 / fan_out),
        ("kaiming_uniform", lambda fan_in, fan_out: 2 / fan_in),
        ("kaiming_normal", lambda fan_in, fan_out: 2 / fan_in),
        ("xavier_uniform", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("xavier_normal", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    ],
)
def test_initial_laws_have_their_variances(law, variance):
    config = {name: {name: [50, 200], "init": {"linear": law, "conv": law}} for name in ("fcn", "cnn")}
    linear = models.build("fcn", (1, 20, 20), 10, config)[3].weight
    convolution = models.build("cnn", DIGITS, 10, config)[2].weight
    head = models.build("cnn", DIGITS, 10, config)[-1].weight
    for weight, fans in ((linear, (50, 200)), (convolution, (450, 1800)), (head, (200 * 64, 10))):
        kurtosis = (weight**4).mean() / (weight**2).mean() ** 2
        assert weight.var().item() == pytest.approx(variance(*fans), rel=0.05)
        assert kurtosis.item() == pytest.approx(1.8 if "uniform" in law or law == "torch_default" else 3, rel=0.1)


def test_torchs_own_layers_start_by_its_default():
    config = {"fcn": {"fcn": [7], "init": {"linear": "torch_default"}}}
    bound = 1 / 8  # of 64 inputs
    ours = models.build("fcn", DIGITS, 10, config)[1].weight
    assert bound * 0.95 < ours.abs().max() <= bound


def test_the_config_knows_the_initial_laws_and_names_the_nearest(config, schema):
    assert set(schema["$defs"]["law"]["enum"]) == set(initial_laws.LAWS)
    spec = {"fcn": [4], "init": {"linear": "kaiming_norml"}}
    message = "unknown .* 'kaiming_norml' in config key models.fcn4.init.linear: did you mean 'kaiming_normal'"
    with pytest.raises(InputError, match=message):
        config_schema.validate(config | {"models": {"fcn4": spec}}, schema)
    with pytest.raises(InputError, match=message):
        models.build("fcn4", DIGITS, 10, {"fcn4": spec})
    with pytest.raises(InputError, match="unknown key 'convs' in config key models.cnn.init: did you mean 'conv'"):
        config_schema.validate(config | {"models": {"cnn": {"cnn": [4], "init": {"convs": "xavier_normal"}}}}, schema)
    own = {"factory": "a.b", "init": {"linear": "xavier_normal"}}
    with pytest.raises(InputError, match="models.own.init does not go together with factory; remove one of them"):
        config_schema.validate(config | {"models": {"own": own}}, schema)


def test_a_seed_is_a_network_and_leaves_the_global_generator_alone():
    config = {"fcn": {"fcn": [5]}}
    before = torch.get_rng_state()
    one, same, other = (models.build("fcn", DIGITS, 10, config, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one[1].weight, same[1].weight)
    assert not torch.equal(one[1].weight, other[1].weight)


def test_unknown_name_gives_the_nearest(config):
    with pytest.raises(InputError, match="unknown model 'fnc4'.*did you mean 'fcn4'"):
        models.build("fnc4", MNIST, 10, config["models"])


def affine(input_shape, classes, *, width=3):
    size = input_shape[0] * input_shape[1] * input_shape[2]
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, width), torch.nn.Linear(width, classes))


def not_a_module(input_shape, classes):
    return "a string"


def wrong_output(input_shape, classes):
    return torch.nn.Flatten()


def test_own_factory():
    config = {"own": {"factory": f"{__name__}.affine", "arguments": {"width": 4}}}
    module = models.build("own", DIGITS, 10, config, seed=3)
    assert count(module) == 64 * 4 + 4 + 4 * 10 + 10
    again = models.build("own", DIGITS, 10, config, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.build", "cannot import"),
        (f"{__name__}.missing", "cannot import"),
        ("nodots", "cannot import"),
        (f"{__name__}.not_a_module", "must return a torch.nn.Module"),
        (f"{__name__}.wrong_output", "must map it to"),
    ],
)
def test_unusable_factories(path, message):
    with pytest.raises(InputError, match=message):
        models.build("own", DIGITS, 10, {"own": {"factory": path}})
