"""For each kind of edit, exactly which jobs run again. Three runs from one initial network, small enough to share jobs.

Each is a dry run of Snakemake, in a fork of one process; some are repeated in a process of their own.
"""

import copy
import os
import shutil
from contextlib import ExitStack

import pytest

from tests.workflow.conftest import TINY, edited

FIGURES = {"figure": 21}  # the tiny study has no convolutions, hence no figure 6


def several(*stages):
    return {f"{stage}, several": 1 for stage in stages}


# What is made from the table of runs, which has each network's tail index.
RUNS = {
    "runs": 1,
    "paper_table": 2,
    "histograms": 1,
    "latency": 1,
    "profiles": 1,
    "pruning": 1,
    "claims": 1,
    "figure": 12,
}
TRAINED_TAILS = RUNS | several("tails", "bounds") | {"collect": 2, "collect_theory": 1}
TAILS = TRAINED_TAILS | {"initial_tails": 1}
AFTER_TRAINING = TRAINED_TAILS | several("prune", "compression", "perturbation")
AFTER_TRAINING |= {"collect": 3, "collect_theory": 2, "figure": 13}
AVERAGE = AFTER_TRAINING | several("laws", "average") | {"collect": 4}
TRAIN = AVERAGE | several("train") | {"collect": 6}
INITIAL = TRAIN | {"initial": 1, "initial_tails": 1, "initial_laws": 1, "initial_compression": 1, "initial_prune": 1}
SIMULATED = {"calibration_sample": 2, "calibration": 1, "confusion": 1, "labels": 1, "kesten": 1}
LAWS = several("laws") | {"initial_laws": 1, "collect": 1, "claims": 1, "figure": 2}
COMPRESSION = several("compression") | {"initial_compression": 1, "collect": 1, "claims": 1, "figure": 1}
PRUNE = several("prune", "bounds", "perturbation") | {
    **{"initial_prune": 1, "pruning": 1, "latency": 1, "claims": 1},
    **{"collect_theory": 2, "figure": 5},
}
PRUNED = several("prune") | {"initial_prune": 1, "pruning": 1, "claims": 1, "figure": 4}
RATIOS = PRUNED | several("perturbation") | {"collect_theory": 1, "figure": 5}
LABELLED = {"figure": 13}  # all that name networks: nothing else depends on a label
CLIP = ("sgdtails/tail_index/mmo.py", "CLIP = 2.0", "CLIP = 1.9")  # an edit of code
CLIPPED = TAILS | SIMULATED | FIGURES | {"verdicts": 1}


@pytest.mark.parametrize(
    ("file", "old", "new", "jobs"),
    [
        (
            "sgdtails/training/engines/stacked_mlp.py",
            "-step_size / self._batch_size",
            "step_size / -self._batch_size",
            TRAIN,
        ),
        ("sgdtails/models/initial_laws.py", "(2 / (weight", "(3 / (weight", INITIAL),
        ("sgdtails/training/averaging.py", "total / length", "total / float(length)", AVERAGE),
        (*CLIP, CLIPPED),
        (
            "sgdtails/tail_index/histograms.py",
            "(len(rows) - 1) // 2",
            "len(rows) // 2",
            {"histograms": 1, "latency": 1, "profiles": 1, "claims": 1, "figure": 3},
        ),
        ("sgdtails/pruning/plans.py", "(1.0, 2.0)", "(1.0, 2.0, 3.0)", PRUNE),
        (
            "sgdtails/pruning/compression.py",
            "(terms - allowed(errors, epsilon)) / terms",
            "1 - allowed(errors, epsilon) / terms",
            PRUNE | COMPRESSION | {"synthetic": 1, "magnitudes": 1, "theorems": 1, "figure": 9},
        ),
        (
            "sgdtails/theory/bounds.py",
            "entropy / 2 if d is None",
            "entropy / 3 if d is None",
            several("bounds") | {"theory": 1, "collect_theory": 1, "figure": 1},
        ),
        ("sgdtails/figures/paper_tables.py", 'return "\\n".join', 'return "".join', {"paper_table": 2}),
        ("sgdtails/figures/networks.py", "alpha=0.85", "alpha=0.9", FIGURES),
        ("workflow/scripts/tails.py", "in batches.networks(smk)", "in list(batches.networks(smk))", TAILS),
    ],
)
def test_edits_of_code(finished, file, old, new, jobs):
    with edited(finished, file, old, new):
        assert finished.planned(TINY) == jobs


@pytest.mark.parametrize(
    ("key", "value", "jobs"),
    [
        (("stop", "budget"), 5000, TRAIN),
        (("snapshots", "ratio"), 3, TRAIN),
        (("models", "fcn4"), {"fcn": [16, 16], "init": {"linear": "kaiming_normal"}}, INITIAL),
        (("average", "length"), 31, AVERAGE),
        (("tails", "seed"), 1, TAILS),
        (("tails", "centring"), "mean", TAILS | LAWS | {"collect": 3, "figure": 12}),
        (("tails", "block_lengths"), [2, 4], TAILS),
        (("tails", "square_root"), False, TAILS),
        (("tails", "permutations"), 3, TAILS),
        (("tails", "orders"), 3, TAILS),
        (("tails", "robustness"), False, TAILS),
        (("laws", "margin"), 1e-3, LAWS | {"labels": 1, "figure": 3}),
        (("laws", "sample"), 100, LAWS),
        (("labels", "layers"), 2, {"labels": 1, "figure": 1}),
        (("index", "value"), "alpha", RUNS),
        (("index", "layers"), "median", RUNS),
        (("histograms", "layer"), "fc2", {"histograms": 1, "claims": 1, "figure": 2}),
        (("histograms", "bins"), 31, {"histograms": 1, "claims": 1, "figure": 2}),
        (("compression", "epsilon"), [0.1], COMPRESSION),
        (("average", "until_converged"), False, AVERAGE),
        (("pruning", "weights"), "converged", AFTER_TRAINING),
        (("pruning", "evaluate"), ["test"], PRUNED),
        (("pruning", "initial"), False, {"pruning": 1, "claims": 1, "figure": 4}),
        (("pruning", "layer_magnitude"), {"ratios": [0, 0.5]}, RATIOS),
        (("pruning", "row"), {"ratios": [0, 0.5], "p": 2.0}, PRUNED | {"figure": 5}),
        (("pruning", "centring"), "mean", RATIOS | COMPRESSION | {"latency": 1, "figure": 6}),
        (("pruning", "exempt"), ["head", "fc2"], RATIOS),
        (("pruning", "adaptive"), {"epsilon": [0.1]}, PRUNED),
        (("pruning", "scheme"), "error", {"figure": 3}),
        (("pruning", "attack"), {"epsilon": 0.1, "steps": 2}, PRUNED),
        (("models", "fcn4"), TINY["models"]["fcn4"] | {"label": "a small network"}, LABELLED),
        (("datasets", "sources"), {"digits": {"label": "digits of 8 × 8 pixels"}}, LABELLED),
        (("latency", "ratios"), [0.5], {"latency": 1}),
        (("synthetic", "draws"), 4, {"synthetic": 1, "claims": 1, "figure": 1}),
        (("claims", "level"), 0.01, {"claims": 1, "verdicts": 1}),
        (("bounds", "tau"), 2.0, several("bounds") | {"collect_theory": 1}),
        (("calibration", "layers"), 3, {"calibration_sample": 2, "calibration": 1, "figure": 1}),
        (("profiles", "replicates"), 3, {"profiles": 1, "figure": 1}),
        (("theory", "points"), 11, {"theory": 1, "figure": 1}),
    ],
)
def test_edits_of_the_config(finished, key, value, jobs):
    config = copy.deepcopy(TINY)
    config.setdefault(key[0], {})[key[1]] = value
    assert finished.planned(config) == jobs


def test_without_snapshots_there_is_no_trajectory(finished):
    assert finished.planned(TINY | {"snapshots": []}) == TRAIN | {"collect": 5, "figure": 12}


def test_a_process_of_its_own_plans_the_same(finished):
    with edited(finished, *CLIP):
        assert finished.planned(TINY, warm=False) == CLIPPED
    config = copy.deepcopy(TINY)
    config["stop"]["budget"] = 5000
    assert finished.planned(config, warm=False) == TRAIN


def test_a_new_row_trains_one_run(finished):
    config = copy.deepcopy(TINY)
    config["runs"].append({"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": 0.2, "seed": 0})
    one = (
        "train",
        "average",
        "tails",
        "laws",
        "compression",
        "runs",
        "histograms",
        "pruning",
        "latency",
        "profiles",
        "bounds",
    )
    more = {
        "perturbation": 1,
        "claims": 1,
        "prune": 1,
        "paper_table": 2,
        "collect": 6,
        "collect_theory": 2,
        "figure": 13,
    }
    assert finished.planned(config) == dict.fromkeys(one, 1) | more


def test_what_no_result_depends_on_reruns_nothing(finished):
    """Comments, docstrings, times of files, resources; keys of methods and models that no run of the study has."""
    for file in ("workflow/scripts/train.py", "sgdtails/training/trainer.py"):
        os.utime(finished.folder / file)
    config = copy.deepcopy(TINY) | {"resources": {"mem_mb": 3000}, "datasets": {"root": "elsewhere"}}
    config["models"]["cnn"] = {"cnn": [4, "M", 4]}
    config["pruning"] |= {key: {"ratios": [0, 0.5], "p": 2.0} for key in ("kernel", "filter")}
    with (
        edited(finished, "sgdtails/training/evaluation.py", "BATCH = 1000", "BATCH = 1000  # a comment"),
        edited(finished, "sgdtails/tail_index/mmo.py", '"""Tail index of', '"""The tail index of'),
        edited(finished, "rules/tails.smk", "runtime=retried(30)", "runtime=retried(60)"),
    ):
        assert finished.planned(config) == {}


def test_edits_of_analysis_train_nothing(finished):
    modules = (
        *("schemas/study_schemas", "schemas/trust_schemas", "io/tables", "layers", "figures/registry"),
        *("claims/decisions", "tail_index/layer_tails"),
    )
    with ExitStack() as stack:
        for name in modules:
            text = (finished.folder / f"sgdtails/{name}.py").read_text()
            stack.enter_context(edited(finished, f"sgdtails/{name}.py", text, f"{text}\nEDITED = True\n"))
        planned = finished.planned(TINY)
    assert planned.items() >= (RUNS | SIMULATED | FIGURES).items()
    assert not {rule for rule in planned if rule.startswith(("initial,", "train", "average"))}
    assert "initial" not in planned


def test_a_mistyped_file_of_claims_is_said_of_a_finished_study(finished):
    config = TINY | {"claims": TINY["claims"] | {"path": "config/claim.yaml"}}
    result = finished.run(config)
    assert result.returncode != 0
    assert "config key claims.path: cannot read" in result.stdout
    assert "Nothing to be done" not in result.stdout


@pytest.fixture
def forgetful(finished, tmp_path):
    """The finished study, of which Snakemake has forgotten everything."""
    notes = finished.folder / ".snakemake"
    notes.rename(tmp_path / "notes")
    yield finished
    shutil.rmtree(notes, ignore_errors=True)
    (tmp_path / "notes").rename(notes)


def test_without_snakemakes_notes_edits_rerun_the_same_and_nothing_else_but_figures(forgetful):
    """Figures carry no settings: they are drawn again."""
    results = {path: path.stat().st_mtime_ns for path in (forgetful.folder / "results").rglob("*")}
    averages, fewer, data = (copy.deepcopy(TINY) for _ in range(3))
    averages["average"]["length"] = 31
    fewer["runs"][0]["step_size"] = [0.1, 0.3]
    data["datasets"] = {"sources": {"digits": {"kind": "digits", "test_fraction": 0.3}}}
    planned = {}
    for name, config in {"nothing": TINY, "averages": averages, "fewer": fewer, "data": data}.items():
        planned[name] = forgetful.planned(config)
        shutil.rmtree(forgetful.folder / ".snakemake")
    assert planned["nothing"] == FIGURES
    assert planned["averages"] == AVERAGE | FIGURES
    # Tables of three runs are none of two.
    assert {"runs": 1, "collect": 6, "collect_theory": 2, "pruning": 1, "claims": 1}.items() <= planned["fewer"].items()
    made = ("initial", "train", "average", "tails", "laws", "prune", "bounds", "calibration", "synthetic", "kesten")
    assert not [rule for rule in planned["fewer"] if rule.startswith(made)]
    assert planned["data"] == {"dataset": 1, **INITIAL, **FIGURES}
    with edited(forgetful, *CLIP):
        assert forgetful.planned(TINY, warm=False) == CLIPPED
    assert {path: path.stat().st_mtime_ns for path in (forgetful.folder / "results").rglob("*")} == results
