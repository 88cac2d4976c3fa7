import pytest

from sgdtails import labels
from sgdtails.config.study import Study, read_config
from sgdtails.config.types import Config
from sgdtails.labels import Labels
from tests.conftest import ROOT

RUNS = [{"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": [0.1], "seed": 0}]


def study(**changes: dict[str, object]) -> Study:
    config: Config = dict(read_config(None)) | {"runs": RUNS}
    models, datasets = dict(config["models"]), dict(config["datasets"])
    models["fcn4"] = models["fcn4"] | changes.get("model", {})
    datasets["sources"] = datasets["sources"] | {"digits": datasets["sources"]["digits"] | changes.get("source", {})}
    return Study.read(dict(config) | {"models": models, "datasets": datasets}, ROOT)


def test_what_results_depend_on_has_no_label():
    plain = study()
    labelled = study(model={"label": "wide"}, source={"label": "8 × 8 digits"})
    (row,) = plain.runs.values()
    for part in ("initial", "network", "pruning"):
        assert getattr(plain, part)(row) == getattr(labelled, part)(row)
    for stage in ("train", "average"):
        assert plain.steps(row, stage) == labelled.steps(row, stage)
    assert plain.source("digits") == labelled.source("digits")
    assert plain.labels == {"models": {"fcn4": "FCN4, width 2048"}, "datasets": {"digits": "digits"}}
    assert labelled.labels == {"models": {"fcn4": "wide"}, "datasets": {"digits": "8 × 8 digits"}}


@pytest.mark.parametrize(
    ("name", "model", "label"),
    [
        ("fcn6", {"fcn": [64, 64]}, "FCN6, width 64"),
        ("fcn4_w64", {"fcn": [64, 64]}, "FCN4, width 64"),
        ("fcn2", {"fcn": [64, 32]}, "FCN2"),
        ("cnn", {"cnn": [8, "M"]}, "CNN"),
        ("my_net", {"factory": "a.b"}, "my_net"),
        ("fcn4", {"fcn": [8], "label": "small"}, "small"),
    ],
)
def test_models_without_a_label_have_their_name_and_width(name, model, label):
    assert labels.of_model(name, model) == label


def test_titles():
    row = {"model": "fcn4", "dataset": "mnist", "variant": "m0.9"}
    assert Labels().title(row) == "FCN4, MNIST, momentum 0.9"
    assert Labels({"fcn4": "A"}, {"mnist": "B"}).title(row | {"variant": ""}) == "A, B"
