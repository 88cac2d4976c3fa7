import re

import pytest
import yaml

from sgdtails.config import config_schema, prunable_layers, run_table
from sgdtails.errors import InputError
from tests.conftest import PLAIN, ROOT

NAMES = {"datasets": ["mnist", "cifar10", "digits"], "models": ["fcn4", "fcn6", "cnn"]}
HEADER = "dataset,model,batch_size,step_size,seed\n"


def runs(table):
    return run_table.read_runs(table, **NAMES)


def test_the_papers_table():
    table = runs(str(ROOT / "config/runs/paper.csv"))
    assert len(table) == 215
    panels = [(run["model"], run["dataset"]) for run in table.values()]
    sizes = {panel: panels.count(panel) for panel in dict.fromkeys(panels)}
    assert sizes == {
        ("fcn4", "cifar10"): 48, ("fcn6", "cifar10"): 31, ("cnn", "cifar10"): 18,
        ("fcn4", "mnist"): 52, ("fcn6", "mnist"): 36, ("cnn", "mnist"): 30,
    }  # fmt: skip
    ratios = [run["step_size"] / run["batch_size"] for run in table.values() if run["model"] == "fcn6"]
    assert (min(ratios), max(ratios)) == pytest.approx((2.5e-5, 8.8e-3))


def test_every_shipped_study_is_valid(config, schema):
    for path in (ROOT / "config").glob("*.yaml"):
        if path.name in ("config.schema.yaml", "claims.yaml"):
            continue
        study = merged(config, yaml.safe_load(path.read_text()))
        config_schema.validate(study, schema)
        names = {"datasets": study["datasets"]["sources"], "models": study["models"]}
        assert run_table.read_runs(study["runs"], base=ROOT, **names)


def merged(base, over):
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return both


def test_blocks_are_multiplied_out():
    block = {
        "dataset": "mnist",
        "model": ["fcn4", "cnn"],
        "batch_size": 50,
        "step_size": [0.1, 0.2, 1e-5],
        "seed": [0, 1],
    }
    table = runs([block])
    assert len(table) == 12
    assert "cnn-mnist-b50-lr1e-05-s1" in table


def test_columns_that_change_sgd_can_be_left_out():
    block = {"dataset": "mnist", "model": "fcn4", "batch_size": 50, "step_size": 0.1, "seed": 0}
    (plain,) = runs([block]).values()
    assert plain == block | PLAIN
    changed = {"momentum": [0, 0.9], "weight_decay": 1e-4, "noise_scale": 0.01, "noise_alpha": 1.8}
    ids = list(runs([block | changed]))
    assert ids == ["fcn4-mnist-b50-lr0.1-wd0.0001-n0.01a1.8-s0", "fcn4-mnist-b50-lr0.1-m0.9-wd0.0001-n0.01a1.8-s0"]
    assert runs([block | {"noise_alpha": 1.5, "noise_kind": "neuron"}]) == runs([block])  # there is no noise


def test_the_kind_of_noise_is_in_a_runs_id_unless_it_is_independent():
    block = {"dataset": "mnist", "model": "fcn4", "batch_size": 50, "step_size": 0.1, "seed": 0}
    noisy = block | {"noise_scale": 0.01, "noise_alpha": 1.8}
    kinds = runs([noisy | {"noise_kind": list(run_table.NOISE_KINDS)}])
    start = "fcn4-mnist-b50-lr0.1-n0.01a1.8"
    assert list(kinds) == [f"{start}-s0", f"{start}-neuron-s0", f"{start}-elliptical-s0"]
    assert [run["noise_kind"] for run in kinds.values()] == list(run_table.NOISE_KINDS)
    assert runs([noisy]) == runs([noisy | {"noise_kind": "independent"}])


def test_empty_cells_of_columns_that_can_be_left_out(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("momentum," + HEADER + ",mnist,fcn4,50,0.1,0\n0.9,mnist,fcn4,50,0.1,0\n")
    assert [run["momentum"] for run in runs(str(table)).values()] == [0.0, 0.9]


def test_a_block_with_an_empty_list():
    """Its product has no rows, beside blocks that have some."""
    block = {"dataset": "mnist", "model": "fcn4", "batch_size": 5, "step_size": 0.1, "seed": 0}
    with pytest.raises(
        InputError, match="config key runs, block 2: column seed is an empty list; give at least one value"
    ):
        runs([block, block | {"seed": []}])


def test_names_that_differ_in_case_only():
    blocks = [{"dataset": "digits", "model": m, "batch_size": 5, "step_size": 0.1, "seed": 0} for m in ("net", "Net")]
    with pytest.raises(InputError, match="model Net differs from net in case only; rename one"):
        run_table.read_runs(blocks, datasets=["digits"], models=["net", "Net"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "mnist,fcn4,50,0.1,0\nmnist,fcn4,50,0.10,0\n",
            r"line 3: run fcn4-mnist-b50-lr0.1-s0 is already listed at .*line 2",
        ),
        (HEADER + "mnist,fcn4,50,0,0\n", r"line 2: step_size is 0; it must be a positive number"),
        (HEADER + "mnist,fcn4,50,-0.1,0\n", "positive"),
        (HEADER + "mnist,fcn4,50,nan,0\n", "positive"),
        ("momentum," + HEADER + "1,mnist,fcn4,50,0.1,0\n", r"line 2: momentum is 1; it must be at least 0 and below 1"),
        ("momentum," + HEADER + "nan,mnist,fcn4,50,0.1,0\n", "momentum is nan"),
        ("weight_decay," + HEADER + "-0.1,mnist,fcn4,50,0.1,0\n", "weight_decay is -0.1; it must be 0, or from 1e-30"),
        (
            "noise_scale," + HEADER + "1e300,mnist,fcn4,50,0.1,0\n",
            "noise_scale is 1e.300; it must be 0, or from 1e-30 to",
        ),
        ("noise_scale," + HEADER + "1e-300,mnist,fcn4,50,0.1,0\n", "noise_scale is 1e-300"),
        ("weight_decay," + HEADER + "1e39,mnist,fcn4,50,0.1,0\n", r"weight_decay is 1e\+39"),
        ("noise_alpha," + HEADER + "1e-3,mnist,fcn4,50,0.1,0\n", "noise_alpha is 0.001; it must be at least 0.1"),
        ("noise_scale," + HEADER + "inf,mnist,fcn4,50,0.1,0\n", "noise_scale is inf"),
        (
            "noise_kind," + HEADER + "neurons,mnist,fcn4,50,0.1,0\n",
            "unknown noise_kind 'neurons' in .*did you mean 'neuron'",
        ),
        (
            "noise_alpha," + HEADER + "2.1,mnist,fcn4,50,0.1,0\n",
            "noise_alpha is 2.1; it must be at least 0.1 and at most 2",
        ),
        (HEADER + "mnist,fcn4,50,inf,0\n", "positive"),
        (HEADER + "mnist,fcn4,50,fast,0\n", "step_size is 'fast'"),
        (HEADER + "mnist,fcn4,0,0.1,0\n", "batch_size is 0"),
        (HEADER + "mnist,fcn4,12.5,0.1,0\n", "whole number"),
        (HEADER + "mnist,fcn4,50,0.1,-1\n", "seed is -1"),
        (HEADER + "mnist,fcn4,50,0.1\n", "seed is None"),
        (HEADER + "mnits,fcn4,50,0.1,0\n", "unknown dataset 'mnits'.*did you mean 'mnist'"),
        (HEADER + "mnist,fcn5,50,0.1,0\n", "unknown model 'fcn5'.*did you mean 'fcn"),
        (HEADER, "has no rows"),
        ("", "no column dataset"),
        ("dataset,model,batch_size,step_size\n", "no column seed"),
        ("dataset,model,batch_size,stepsize,seed\n", "unknown column 'stepsize'.*did you mean 'step_size'"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        runs(str(path))


def test_a_missing_table():
    with pytest.raises(InputError, match=r"config key runs: cannot read .*absent.csv"):
        runs("absent.csv")


@pytest.mark.parametrize("changes", [{"models": {"../x": {"fcn": [4]}}}, {"datasets": {"sources": {"a b": {}}}}])
def test_names_cannot_leave_the_results_folder(config, schema, changes):
    with pytest.raises(InputError, match="letters, digits and underscores"):
        config_schema.validate(merged(config, changes), schema)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stopp": 1}, "unknown key 'stopp' in the config: did you mean 'stop'"),
        ({"stop": {"trainnll": 1}}, "unknown key 'trainnll' in config key stop: did you mean 'train_nll'"),
        ({"stop": {"train_nll": "5e-5"}}, r"stop.train_nll: .*YAML reads 1e-3 as text"),
        ({"index": {"clip": "true"}}, r"index.clip: .*within the braces of --config everything is text"),
        ({"stop": {"budget": 0}}, r"stop.budget: 0 is less than"),
        ({"average": {"length": 0}}, r"average.length"),
        ({"precision": "fp23"}, "unknown value 'fp23' in config key precision: did you mean 'fp32'"),
        ({"study": "../up"}, "study"),
        ({"models": {"fcn4": {"cnn": [4]}}}, "models.fcn4 needs exactly one of: fcn, cnn, factory"),
        ({"models": {"own": {}}}, "models.own needs exactly one of"),
        ({"models": {"a-b": {"fcn": [4]}}}, "letters, digits and underscores"),
        ({"datasets": {"sources": {"x": {"kind": "mnits"}}}}, "did you mean 'mnist'"),
        ({"datasets": {"sources": {"x": {"kind": "npz", "pth": "a"}}}}, "did you mean 'path'"),
        ({"models": {"own": {"cnn": [64, "m"]}}}, "models.own.cnn.1 is 'm'; config/config.yaml says what it may be"),
        ({"stop": {"gate": 1000, "budget": 999}}, "stop.gate is 1000, more than stop.budget, 999"),
        ({"snapshots": [0, 200, 300]}, "snapshots has 300, which is no multiple of stop.gate, 200"),
        ({"snapshots": [2000], "stop": {"budget": 1000}}, "snapshots has nothing up to stop.budget, 1000"),
        ({"snapshots": {"ratio": 1}}, "config key snapshots is .*; config/config.yaml says what it may be"),
        ({"theorems": {"band": [0.95, 0.05]}}, r"theorems.band is \[0.95, 0.05\]; give the lower quantile first"),
        ({"theorems": {"band": [0.5, 0.5]}}, "lower quantile first"),
        ({"theorems": {"alpha": [0.05]}}, "theorems.alpha.0: 0.05 is less than the minimum of 0.3"),
        ({"theorems": {"p": [20], "alpha": [0.5]}}, "p = 20 at alpha = 0.5 leaves the range of float64"),
        ({"theorems": {"p": [1000]}}, "theorems.p.0: 1000 is greater than the maximum of 20"),
        ({"theorems": {"epsilon": 1e-300}}, "theorems.epsilon: 1e-300 is less than the minimum"),
        ({"theorems": {"kappa": [1 - 1e-16]}}, "theorems.kappa.0: .* is greater than the maximum"),
        ({"synthetic": {"alpha": [2.0, 1.75]}}, r"synthetic.alpha is \[2.0, 1.75\]; give the smaller tail index first"),
        ({"synthetic": {"alpha": [0.1, 2.0]}}, "synthetic.alpha.0: 0.1 is less than the minimum of 0.3"),
        ({"magnitudes": {"alpha": 0.01}}, "magnitudes.alpha: 0.01 is less than the minimum of 0.3"),
        ({"calibration": {"alpha": [0.05]}}, "calibration.alpha.0: 0.05 is less than the minimum of 0.3"),
        ({"compression": {"p": [1.0]}}, "compression.p lacks 2, which figures and claims are made from; add it"),
        ({"compression": {"epsilon": [0.2]}}, "compression.epsilon lacks 0.1"),
        ({"compression": {"p": [2.0, 1e-3]}}, "compression.p.1: 0.001 is less than the minimum of 0.05"),
        ({"pruning": {"evaluate": ["train"]}}, "pruning.evaluate lacks test"),
        ({"pruning": {"node": {"p": 1e300}}}, "pruning.node.p: .* is greater than the maximum of 20"),
        ({"resources": {"threads": 100_000}}, "resources.threads: 100000 is greater than the maximum of 1024"),
        ({"pruning": {"centring": "medain"}}, "'medain' in config key pruning.centring: did you mean 'median'"),
        ({"pruning": {"scheme": "errors"}}, "'errors' in config key pruning.scheme: did you mean 'error'"),
        ({"pruning": {"rows": {"ratios": [0.5]}}}, "unknown key 'rows' in config key pruning: did you mean 'row'"),
        ({"pruning": {"exempt": [-1]}}, r"pruning.exempt.0: -1 is less than the minimum of 0"),
        ({"pruning": {"exempt": "head"}}, r"pruning.exempt: 'head' is not of type 'array'"),
        ({"pruning": {"adaptive": {"epsilon": [0]}}}, r"pruning.adaptive.epsilon.0"),
        ({"pruning": {"attack": {"epsilon": 0.1}}}, "pruning.attack: 'steps' is a required property"),
        (
            {"pruning": {"attack": {"epsilon": 25.5, "steps": 10}}},
            "pruning.attack.epsilon: 25.5 is greater than the max",
        ),
        (
            {"pruning": {"attack": {"epsilon": 0.1, "step": 10}}},
            "unknown key 'step' in config key pruning.attack: did you",
        ),
    ],
)
def test_wrong_configs(config, schema, change, message):
    with pytest.raises(InputError, match=message):
        config_schema.validate(merged(config, change), schema)


@pytest.mark.parametrize(
    "change",
    [
        {"synthetic": {"alpha": [1.8, 1.8]}},
        {"stop": {"gate": 999, "budget": 999}},
        {"theorems": {"p": [9], "alpha": [0.3]}},
        {"study": "my-audit"},
    ],
)
def test_configs_at_the_edge_of_what_is_right(config, schema, change):
    config_schema.validate(merged(config, change), schema)


@pytest.mark.parametrize(
    ("mine", "meant"),
    [
        ({"cnn": [4, "M"]}, {"cnn": [4, "M"]}),
        ({"factory": "a.b", "arguments": {"width": 4}}, {"factory": "a.b", "arguments": {"width": 4}}),
        ({"fcn": [4]}, {"fcn": [4]}),
        ({}, None),
    ],
)
def test_a_model_of_another_kind_replaces_the_default_of_its_name(config, schema, mine, meant):
    default = config["models"]
    both = merged(config, {"models": {"fcn4": mine, "own": {"fcn": [3]}}})
    both["models"] = config_schema.whole_models(both["models"], default)
    assert both["models"] == default | {"fcn4": meant or default["fcn4"], "own": {"fcn": [3]}}
    config_schema.validate(both, schema)
    assert config_schema.whole_models(both["models"], default) == both["models"]  # a job, too, merges and looks


def test_two_kinds_of_the_users_own_are_refused(config, schema):
    both = merged(config, {"models": {"fcn4": {"cnn": [4], "factory": "a.b"}, "own": {"fcn": [3], "cnn": [4]}}})
    models = config_schema.whole_models(both["models"], config["models"])
    for name in ("fcn4", "own"):
        with pytest.raises(InputError, match=f"models.{name} needs exactly one of"):
            config_schema.validate(config | {"models": {name: models[name]}}, schema)


@pytest.mark.parametrize("models", [None, [], "x", {"fcn4": None}, {"fcn4": [1]}, {"fcn4": {}}])
def test_what_is_no_model_is_left_to_the_schema(config, models):
    assert config_schema.whole_models(models, config["models"]) == models


def test_a_pruning_method_runs_where_it_has_ratios_and_layers(config):
    everywhere = ("layer_magnitude", "global_magnitude", "singular_value")
    published = {"fcn4": (*everywhere, "node"), "cnn": (*everywhere, "kernel")}
    for name, methods in published.items():
        assert prunable_layers.methods(config["models"][name], config["pruning"]) == methods
    more = {method: {"ratios": [0.5], "p": 2.0} for method in ("row", "filter", "channel")}
    pruning = config["pruning"] | more | {"global_magnitude": {"ratios": []}}
    rest = ("layer_magnitude", "singular_value")
    assert prunable_layers.methods({"fcn": [4]}, pruning) == (*rest, "node", "row")
    assert prunable_layers.methods({"cnn": [4]}, pruning) == (*rest, "kernel", "filter", "channel")
    assert prunable_layers.methods({"factory": "a"}, pruning) == (*rest, "node", "row", "kernel", "filter", "channel")


def test_figures_by_relative_error_need_relative_errors(config):
    pruning = config["pruning"]
    config_schema.check_together(config | {"pruning": pruning | {"scheme": "error"}})
    config_schema.check_together(config | {"pruning": pruning | {"adaptive": {"epsilon": []}}})
    none = pruning | {"scheme": "error", "adaptive": {"epsilon": []}}
    with pytest.raises(InputError, match=r"pruning.scheme is error, but pruning.adaptive.epsilon is empty; give"):
        config_schema.check_together(config | {"pruning": none})


def declared(schema, prefix=""):
    for key, value in schema.get("properties", {}).items():
        yield key
        if isinstance(value, dict):
            yield from declared(value)
            for nested in ("items", "additionalProperties"):
                if isinstance(value.get(nested), dict):
                    yield from declared(value[nested])


def test_no_key_is_declared_that_nothing_reads(schema):
    code = "".join(
        path.read_text()
        for folder in ("sgdtails", "rules", "workflow/scripts")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".smk")
    )
    spelled = {key for key in declared(schema) if re.search(rf"""['"]{key}['"]|\b{key}\b[:=]""", code)}
    assert spelled == set(declared(schema))


def test_no_study_is_named_like_another_folder_of_results(config, schema):
    files = [path for folder in ("rules", "profiles") for path in (ROOT / folder).rglob("*") if path.is_file()]
    taken = {name for path in files for name in re.findall(r"\bresults/([A-Za-z0-9_-]+)", path.read_text())}
    assert taken >= {"audit", "slurm"}
    for name in (*taken, "Audit", "SLURM"):
        with pytest.raises(InputError, match=f"config key study is '{name}', which is taken; choose another name"):
            config_schema.validate(config | {"study": name}, schema)
