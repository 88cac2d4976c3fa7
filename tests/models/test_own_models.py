"""A user's own network: which of its arrays are layers, which is the head, and what is said of one that cannot be trained."""

import json
import re
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from sgdtails import layers
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.errors import InputError, UserCodeError
from sgdtails.io import storage, tables
from sgdtails.models import building as models
from sgdtails.models import own_models
from sgdtails.pruning import evaluate
from sgdtails.pruning import methods as pruning
from sgdtails.runtime import jobs
from sgdtails.tail_index import layer_tails
from sgdtails.training.engines.module import ModuleEngine
from tests.conftest import PLAIN, Files, script

SHAPE = (1, 8, 8)
STOP = {"train_nll": 1e-9, "train_accuracy": 1.0, "gate": 5, "budget": 10}
STOP |= {"chance_after": 50, "chance_accuracy": 0.1, "history": 1}


class Net(nn.Module):
    """64 to 12 to 12 to 10, defined head first, with a table that is no parameter; ``tied`` makes the inner layers one."""

    def __init__(self, *, tied=False, double=False):
        super().__init__()
        self.out = nn.Linear(12, 10)
        self.register_buffer("table", torch.randn(5, 7))
        self.first, self.inner, self.again = nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        if tied:
            self.again.weight = self.inner.weight
        self.norm = nn.BatchNorm1d(12)
        if double:
            self.double()

    def body(self, images):
        hidden = torch.relu(self.first(images.flatten(1)))
        return self.norm(torch.relu(self.again(torch.relu(self.inner(hidden)))))

    def forward(self, images):
        return self.out(self.body(images))


def net(input_shape, classes, **arguments):
    return Net(**arguments)


class Convolutional(nn.Module):
    """Its head is a convolution, before the mean over the image and a learned scale."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.score, self.stem = nn.Conv2d(4, 10, 1), nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, images):
        return self.scale * self.score(torch.relu_(self.stem(images))).mean((2, 3)).log_softmax(1)


def convolutional(input_shape, classes):
    return Convolutional()


class Attention(nn.Module):
    """An attention block over rows, with a two-dimensional position that is added, and a frozen head."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 10).requires_grad_(False)
        self.position = nn.Parameter(torch.zeros(8, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)

    def forward(self, images):
        return self.head(self.block(images[:, 0] + self.position).mean(1))


def attention(input_shape, classes):
    return Attention()


class Features(Net):
    def forward(self, images):
        with torch.no_grad():
            found = self.body(images)
        return self.out(found)


def features(input_shape, classes):
    return Features()


class Two(Net):
    def forward(self, images):
        return self.out(self.body(images)) + self.skip(images.flatten(1))


def two(input_shape, classes):
    module = Two()
    module.skip = nn.Linear(64, 10)
    return module


def normed(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(64, 10)))


class Scaled(Net):
    def forward(self, images):
        return super().forward(images) * self.scale


def scaled(input_shape, classes):
    module = Scaled()
    module.scale = nn.Parameter(torch.ones(1, 10))
    return module


def vectors(input_shape, classes):
    return type("Vectors", (Net,), {"named_parameters": lambda self, *a, **k: iter([("b", self.out.bias)])})()


def lazy(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(classes))


def keys(factory, **spec):
    spec = {"factory": f"{__name__}.{factory}"} | spec
    model = models.build("own", SHAPE, 10, {"own": spec})
    before = [parameter.requires_grad for parameter in model.parameters()]
    found = models.layer_keys("own", spec, model, SHAPE, 10)
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    return found


@pytest.mark.parametrize(
    ("factory", "spec", "expected"),
    [
        ("net", {}, ["first.weight", "inner.weight", "again.weight", "out.weight"]),
        ("net", {"arguments": {"tied": True}}, ["first.weight", "inner.weight", "out.weight"]),
        ("net", {"head": "first"}, ["out.weight", "inner.weight", "again.weight", "first.weight"]),
        ("convolutional", {}, ["stem.weight", "score.weight"]),
        ("features", {}, ["first.weight", "inner.weight", "again.weight", "out.weight"]),
        ("lazy", {}, ["1.weight", "3.weight"]),
        ("two", {"head": "out.weight"}, ["first.weight", "inner.weight", "again.weight", "skip.weight", "out.weight"]),
    ],
)
def test_layers_are_parameters_and_the_head_makes_the_output(factory, spec, expected):
    assert keys(factory, **spec) == expected


def test_the_head_of_an_attention_network():
    found = keys("attention")
    assert found[-1] == "head.weight"
    assert {"position", "block.self_attn.in_proj_weight", "block.linear1.weight"} < set(found)


@pytest.mark.parametrize(
    ("factory", "spec", "said"),
    [
        ("two", {}, "which layer .* is the head is not clear .*made by out.weight and skip.weight.*models.own.head"),
        ("normed", {}, "is not clear .*original0 and .*original1"),
        ("scaled", {}, "is not clear .*made by scale; a head has 10 rows"),
        ("net", {"head": "uot"}, "unknown layer 'uot' in config key models.own.head: did you mean 'out'"),
        ("vectors", {}, "has no layer"),
    ],
)
def test_an_unclear_head_is_refused(factory, spec, said):
    with pytest.raises(InputError, match=said):
        keys(factory, **spec)


def test_the_networks_of_the_workflow_have_the_layers_that_they_had():
    config = {"fcn": {"fcn": [7, 5]}, "cnn": {"cnn": [4, "M", 6]}}
    for name in config:
        model = models.build(name, SHAPE, 10, config)
        found = models.layer_keys(name, config[name], model, SHAPE, 10)
        assert layers.weights(models.state(model), found).keys() == layers.weights(models.state(model)).keys()
        assert found[-1] == "head.weight"


def test_a_file_says_what_its_layers_are(tmp_path):
    state = {"out.weight": np.ones((2, 3)), "table": np.ones((4, 4)), "fc.weight": np.zeros((3, 3))}
    storage.save_arrays(tmp_path / "a.safetensors", state, {"layers": ["fc.weight", "out.weight"]})
    storage.save_arrays(tmp_path / "none.safetensors", {}, {"layers": ["fc.weight", "out.weight"]})
    assert list(layers.read(tmp_path / "a.safetensors")[0]) == ["fc", "out"]
    assert layers.read(tmp_path / "none.safetensors")[0] == {}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One run of the tied network through the scripts: training, average, tails, compression and pruning."""
    folder = tmp_path_factory.mktemp("own")

    def file(name):
        return str(folder / name)

    data.write(loaders.load("digits", {"kind": "digits"}, root=folder, download=False), file("digits.safetensors"))
    run = "own-digits-b50-lr0.1-s0"
    spec = {"factory": f"{__name__}.net", "arguments": {"tied": True}}
    row = {"dataset": "digits", "model": "own", "batch_size": 50} | PLAIN
    common = {"run": row, "model": spec, "device": "cpu", "precision": "fp32", "threads": 1}
    kinds = ("converged", "last", "average")
    weights = {"initial": file("initial/own-digits-s0/weights.safetensors")}
    weights |= {kind: file(f"runs/{run}/{kind}.safetensors") for kind in kinds}

    def job(name, settings, inputs, **outputs):
        params = types.SimpleNamespace(settings=json.dumps(settings), code="c")
        smk = {"input": inputs, "params": params, "config": {"slots": 1, "checkpoint_minutes": 5}}
        script(name).main(types.SimpleNamespace(output=Files(**outputs), **smk))

    def parquet(name):
        return file(f"runs/{run}/{name}.parquet")

    dataset = {"dataset": file("digits.safetensors")}
    start = {"dataset": "digits", "name": "own", "model": spec}
    job("initial", start, Files(**dataset), weights=weights["initial"])
    stop = STOP | {"train_nll": 5.0, "train_accuracy": 0.0}  # converged at once
    outputs = {"converged": weights["converged"], "history": parquet("history"), "row": parquet("training")}
    outputs["trajectory"] = parquet("trajectory")
    job("train", common | {"stop": stop}, Files(**dataset, initial=weights["initial"]), **outputs)
    average = common | {"average": {"burn_in": 2, "length": 3, "until_converged": True}, "stop": stop}
    outputs = {"last": weights["last"], "average": weights["average"], "row": parquet("averaging")}
    job("average", average, Files(**dataset, converged=weights["converged"]), **outputs)
    tails = {"seed": 0, "own": {}}
    trained = Files(trained=weights["last"], average=weights["average"])
    job("tails", tails | {"weights": "last"}, trained, tails=parquet("tails"), readings=parquet("readings"))
    tables = {name: file(f"initial/own-digits-s0/{name}.parquet") for name in ("tails", "readings", "compression")}
    compression = {"centring": "median", "p": [2.0], "epsilon": [0.1]}
    job("compression", compression, Files(initial=weights["initial"]), compression=tables.pop("compression"))
    job("tails", tails, Files(initial=weights["initial"]), **tables)
    trained = Files(trained=weights["average"])
    job("compression", compression | {"weights": "average"}, trained, compression=parquet("compression"))
    how = {"methods": {"layer_magnitude": {"ratios": [0, 1]}}, "own": {}, "weights": "average", "evaluate": ["test"]}
    how |= {"centring": "median", "exempt": ["first_convolution", "head"], "adaptive": {"epsilon": []}}
    job("prune", common | how, Files(**dataset, trained=weights["average"]), pruned=parquet("pruned"))
    return folder


OF_RUN, OF_INITIAL = "runs/own-digits-b50-lr0.1-s0", "initial/own-digits-s0"


@pytest.mark.parametrize("place", [OF_RUN, OF_INITIAL])
def test_every_table_has_parameters_alone_and_the_head_last(study, place):
    for table in ("tails", "readings", "compression"):
        rows = tables.read(study / f"{place}/{table}.parquet").to_pylist()
        assert list(dict.fromkeys(row["layer_name"] for row in rows)) == ["first", "inner", "out"], table
    (head,) = {
        (row["observations"], row["dimension"])
        for row in tables.read(study / f"{place}/tails.parquet").to_pylist()
        if row["layer_name"] == "out" and row["estimator"] == "mmo_multivariate"
    }
    assert head == (12, 10)  # an observation of a head is what one input gives to all classes


def test_tied_layers_are_pruned_together_and_counted_once(study):
    whole, pruned = tables.read(study / f"{OF_RUN}/pruned.parquet").to_pylist()[-2:]
    assert whole["parameters_left"] == 64 * 12 + 12 * 12 + 12 * 10
    assert pruned["parameters_left"] == 12 * 10
    model = models.build("own", SHAPE, 10, {"own": {"factory": f"{__name__}.net", "arguments": {"tied": True}}})
    split = data.splits(data.read(study / "digits.safetensors"), torch.device("cpu"))[1]
    measure = evaluate.module(model, {"test": split})
    weights = layers.weights(models.state(model), ["first.weight", "inner.weight", "out.weight"])
    table = model.table.clone()
    next(evaluate.pruning_rows(weights, measure, evaluate.Sweep("layer_magnitude", [1]), positions={}))
    assert model.inner.weight is model.again.weight
    assert len(model.again.weight.unique()) == 1
    assert torch.equal(model.table, table)


# What goes wrong in a user's code, by the names of their functions.
def raises(input_shape, classes):
    raise ValueError("the width is odd.\nSee above")


def leaves(input_shape, classes):
    sys.exit(0)


def silent(input_shape, classes):
    raise KeyError


def missing_file(input_shape, classes):
    return torch.load("no_such_file")


def reads_what_is_no_file(input_shape, classes):
    raise IsADirectoryError(21, "Is a directory", "a")


class Failing(Net):
    def forward(self, images):
        return super().forward(images)[:, self.nothing]


def failing(input_shape, classes):
    return Failing()


def shapes_differ(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(63, classes))


class OnlyInTraining(Net):
    def forward(self, images):
        output = super().forward(images)
        if self.training:
            raise RuntimeError("not like this")
        return output


def only_in_training(input_shape, classes):
    return OnlyInTraining()


class PairInTraining(Net):
    def forward(self, images):
        output = super().forward(images)
        return (output, output) if self.training else output


def pair_in_training(input_shape, classes):
    return PairInTraining()


def pair(input_shape, classes):
    return type("Pair", (Net,), {"forward": lambda self, images: (self.out(self.body(images)), 1)})()


def detached(input_shape, classes):
    return type("Detached", (Net,), {"forward": lambda self, images: self.out(self.body(images)).detach()})()


def frozen(input_shape, classes):
    return Net().requires_grad_(False)


def half_buffer(input_shape, classes):
    module = Net()
    module.register_buffer("coarse", torch.zeros(3, dtype=torch.bfloat16))
    return module


def extra(input_shape, classes):
    return type("Extra", (Net,), {"get_extra_state": lambda self: {"a": 1}, "set_extra_state": lambda self, s: None})()


HERE = r" \(tests/models/test_own_models.py:[0-9]+\)"


@pytest.mark.parametrize(
    ("factory", "arguments", "said"),
    [
        ("raises", {}, r"ValueError: the width is odd. See above"),
        ("leaves", {}, r"SystemExit: 0"),
        ("silent", {}, r"KeyError"),
        ("missing_file", {}, r"FileNotFoundError: .*no_such_file'"),
        ("reads_what_is_no_file", {}, r"IsADirectoryError: .*"),
        ("net", {"widht": 3}, r"TypeError: .*unexpected keyword argument 'widht'"),
        ("failing", {}, r"AttributeError: 'Failing' object has no attribute 'nothing'"),
        ("shapes_differ", {}, r"RuntimeError: mat1 and mat2 .*"),
        ("only_in_training", {}, r"RuntimeError: not like this"),
        ("pair_in_training", {}, r"TypeError: cross_entropy.* must be Tensor, not tuple"),
        ("net", {"double": True}, r"RuntimeError: .*"),
    ],
)
def test_what_a_network_raises_is_one_sentence_with_its_line(tmp_path, capsys, factory, arguments, said):
    spec = {"factory": f"{__name__}.{factory}", "arguments": arguments}

    def main(smk):
        model = models.build("own", SHAPE, 10, {"own": spec})
        engine = ModuleEngine(model, torch.zeros(4, *SHAPE), torch.zeros(4, dtype=torch.int64), batch_size=2)
        engine.advance(torch.zeros(1, 1, 2, dtype=torch.int64))

    log, sentence = ended(main, tmp_path, capsys)
    sentence_of = f"sgdtails: config key models.own: {__name__}.{factory} raised {said}{HERE}; correct it there.\n"
    assert re.fullmatch(sentence_of, sentence), sentence
    assert "Traceback" in log
    assert "plugins.py" not in log.splitlines()[-2]


def ended(main, folder, capsys):
    """The log and the terminal of a job that ends with exit status 1."""
    with pytest.raises(SystemExit) as caught, capsys.disabled():
        terminal = (folder / "terminal").open("w")
        keep, sys.__stderr__ = sys.__stderr__, terminal
        try:
            jobs.run(main, types.SimpleNamespace(log=[str(folder / "log")]))
        finally:
            sys.__stderr__ = keep
            terminal.close()
    assert caught.value.code == 1
    log = (folder / "log").read_text()
    assert "error of the program" not in log
    return log, (folder / "terminal").read_text()


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("pair", "to a tuple; it must map it to"),
        ("frozen", "no parameter that can be trained"),
        ("half_buffer", "coarse of its state is bfloat16"),
        ("extra", "_extra_state of its state is dict"),
        ("detached", "which layer .* is the head is not clear .*no layer makes it"),
    ],
)
def test_networks_that_cannot_be_trained(factory, said):
    with pytest.raises(InputError, match=f"config key models.own: .*{said}"):
        models.build("own", SHAPE, 10, {"own": {"factory": f"{__name__}.{factory}"}})


def test_weights_of_another_type():
    with pytest.raises(InputError, match="its parameter out.weight is float64; it must be float32"):
        own_models._check_state(Net(double=True), "config key models.own")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "x = undefined\n",
            r"importing broken_\d raised NameError: name 'undefined' is not defined \(.*broken_\d.py:1\)",
        ),
        ("def build(:\n", r"importing broken_\d raised SyntaxError: .*broken_\d.py, line 1"),
        ("import sys\nsys.exit(2)\n", r"importing broken_\d raised SystemExit: 2 \(.*broken_\d.py:2\)"),
        ("build = 3\n", r"'broken_\d.build' is int; it must be a function"),
        ("import nothing_like_this\n", "cannot import .*nothing_like_this"),
    ],
)
def test_modules_that_cannot_be_imported(tmp_path, monkeypatch, request, text, said):
    name = f"broken_{request.node.callspec.indices['text']}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises((InputError, UserCodeError), match=f"config key models.own: {said}"):
        models.build("own", SHAPE, 10, {"own": {"factory": f"{name}.build"}})


def test_memory_that_runs_out_is_no_error_of_the_network():
    """So that training goes on with fewer replicas."""
    model = models.build("own", SHAPE, 10, {"own": {"factory": f"{__name__}.net"}})
    with pytest.raises(torch.OutOfMemoryError), models.guard(model):
        raise torch.OutOfMemoryError("CUDA out of memory")


def key_error(sample):
    return {}["alpha"]


def too_few(sample):
    raise ValueError("too few")


def leaving(sample, count=0):
    raise SystemExit


def test_own_estimators_and_pruning_methods(tmp_path, capsys):
    """A ValueError of an estimator is a reason; anything else is an error of the user's code."""
    weight = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)

    def estimated(name):
        own = script("tails").plugins.load_all(
            {"mine": f"{__name__}.{name}"}, "config key tails.own", [], (ValueError,)
        )
        return [row for row in layer_tails.of_layer(weight, own=own) if row["estimator"] == "mine"]

    assert [row["reason"] for row in estimated("too_few")] == ["too few"]
    for name, said in {"key_error": "KeyError: 'alpha'", "leaving": "SystemExit"}.items():
        log, sentence = ended(lambda smk, name=name: estimated(name), tmp_path, capsys)
        pattern = f"sgdtails: config key tails.own.mine: {__name__}.{name} raised {said}{HERE}; correct it there.\n"
        assert re.fullmatch(pattern, sentence), sentence
        assert f"in {name}" in log


def ragged(weight, count):
    return [[True], [True, False]]


def of_torch(sample):
    return torch.ones(1, requires_grad=True)


def test_own_functions_that_give_no_numbers():
    with pytest.raises(InputError, match="config key tails.own.mine: it gave tensor"):
        list(layer_tails.of_layer(np.eye(6, 4, dtype=np.float32), own={"mine": of_torch}))
    weights = {"a": np.arange(6.0).reshape(2, 3), "head": np.ones((2, 2))}
    with pytest.raises(InputError, match="config key pruning.own.mine: it gave object .* it must give booleans"):
        pruning.Pruner(weights, method="mine", own=ragged).at_ratio(0.5)
