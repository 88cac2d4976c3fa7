"""A failing disk, a full or read-only one, a full /tmp, a clock that jumps: one sentence, earlier results intact, the same bytes after."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from sgdtails.io import integrity
from tests.conftest import PLAIN, ROOT
from tests.faults.harness import Study, content

pytestmark = pytest.mark.slow("a study of its own, and starts of Snakemake beside each kind of failure")

CODES = {5: "Input/output error", 28: "No space left on device"}
RUN, INITIAL = "fcn4-digits-b50-lr0.1-s0", "fcn4-digits-s0"
OUTPUTS = f"study/runs/{RUN}"


@pytest.fixture(scope="session")
def failing(tmp_path_factory):
    """A library that lets one call of a process fail."""
    if not (compiler := shutil.which("gcc") or shutil.which("cc")):
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(ROOT / "tests/faults/failing.c"), "-ldl"]
    subprocess.run(command, check=True)
    return library


def jobs(study: Study) -> dict[str, dict]:
    """Jobs that write every kind of file, on the inputs of a finished study."""
    done = study.results
    settings = {
        "run": {"dataset": "digits", "model": "fcn4", "batch_size": 50, **PLAIN},
        "model": study.config["models"]["fcn4"],
        **{"device": "cpu", "precision": "fp32", "threads": 1},
        "stop": {"train_accuracy": 1.0, "chance_accuracy": 0.1, **study.config["stop"]},
    }
    tables = {name: str(done / f"tables/{name}.parquet") for name in ("runs", "tails")}
    return {
        "collect": {
            "input": {
                "parts": [str(done / f"runs/{RUN}/tails.parquet")],
                "initial": [str(done / f"initial/{INITIAL}/tails.parquet")],
            },
            "output": ["tails.parquet"],
            "params": {"settings": "{}"},
        },
        "paper_table": {
            "input": tables | {"initial": []},
            "output": {"table": "table2.parquet", "text": "table2.md"},
            "wildcards": {"table": "table2"},
            "params": {"settings": "{}"},
        },
        "figure": {
            "input": [*tables.values()],
            "output": ["fig01.pdf", "fig01.png"],
            "wildcards": {"figure": "fig01"},
            "params": {"settings": "{}"},
        },
        "train": {
            "input": {
                "dataset": str(done / "data/digits.safetensors"),
                "initial": str(done / f"initial/{INITIAL}/weights.safetensors"),
            },
            "output": {
                "converged": "converged.safetensors",
                "history": "history.parquet",
                "trajectory": "trajectory.parquet",
                "row": "training.parquet",
            },
            "params": {"settings": json.dumps(settings)},
            "config": {"slots": 1, "checkpoint_minutes": 0.001},
        },
    }


def run(script, description, folder, **environment):
    """The job in a folder; its outputs are in a run's folder."""
    outputs = folder / OUTPUTS
    outputs.mkdir(parents=True, exist_ok=True)
    place = {name: str(outputs / name) for name in _names(description["output"])}
    described = {"params": {}, "config": {}, "wildcards": {}, **description}
    described["output"] = (
        {key: place[name] for key, name in description["output"].items()}
        if isinstance(description["output"], dict)
        else [place[name] for name in description["output"]]
    )
    described["params"] = {"code": "c", **described["params"]}
    described["log"] = [str(outputs / "job.log")]
    (folder / "job.json").write_text(json.dumps(described))
    command = [
        sys.executable,
        "-m",
        "tests.faults.job",
        str(ROOT / f"workflow/scripts/{script}.py"),
        str(folder / "job.json"),
    ]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)


def _names(output):
    return list(output.values() if isinstance(output, dict) else output)


def made(folder, description):
    """What those of the job's outputs hold that are there."""
    paths = [folder / OUTPUTS / name for name in _names(description["output"])]
    return {path.name: content(path) for path in paths if path.exists()}


@pytest.mark.parametrize(("script", "draws"), [("collect", 6), ("paper_table", 6), ("figure", 2), ("train", 2)])
def test_a_call_that_fails_is_one_sentence_and_nothing_is_half_written(undisturbed, failing, tmp_path, script, draws):
    description, rng = jobs(undisturbed)[script], random.Random(script)
    watched = {"LD_PRELOAD": str(failing), "FAIL_COUNT": str(tmp_path / "count"), "FAIL_BELOW": "/study/"}
    whole = run(script, description, tmp_path / "whole", **watched, FAIL_AT="0", FAIL_ERRNO="5")
    assert whole.returncode == 0, whole.stderr
    calls = int((tmp_path / "count").read_text())
    assert calls >= 3 * len(description["output"])  # write, fsync, rename
    reference = made(tmp_path / "whole", description)
    for draw, number in enumerate(sorted(rng.sample(range(1, calls + 1), draws))):
        code, folder = rng.choice([*CODES]), tmp_path / str(draw)
        failed = run(script, description, folder, **watched, FAIL_AT=str(number), FAIL_ERRNO=str(code))
        if failed.returncode == 0:  # a call that was made again
            assert made(folder, description) == reference
            continue
        sentence = rf"sgdtails: {CODES[code]}: \S+; make room or grant access, then run again\.\n"
        assert re.fullmatch(sentence, failed.stderr), (number, failed.stderr)
        assert made(folder, description).items() <= reference.items()
        assert not [
            path for path in (folder / "study").rglob(".*") if path.suffix != ".sha256" and path.name != ".done"
        ]
        again = run(script, description, folder)
        assert again.returncode == 0, again.stderr
        assert made(folder, description) == reference


@contextmanager
def mounted(folder, options):
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"may not mount a file system here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("where", "options", "reason"),
    [
        ("figures", "size=68k", r"sgdtails: No space left on device: \S*figures/fig01\.p\S+; make room"),
        ("tables", "ro", r"results/tiny/tables: Read-only file system; make room or grant access"),
        ("", "size=12k", r"results/tiny: No space left on device; make room or grant access"),
        ("", "ro", r"results/tiny: Read-only file system; make room or grant access"),
    ],
)
def test_a_full_or_read_only_file_system(undisturbed, study, where, options, reason):
    reference = undisturbed.contents()
    with mounted(study.results / where, options):
        succeeded, output = study.attempt()
        assert not succeeded
        assert re.search(reason, output), output
        assert study.wrong(reference) == []
        assert list(integrity.damaged(integrity.written(study.results), weights=True)) == []
    (study.results / "tables/table2.md").unlink()
    study.finish()
    assert study.differences(reference) == []


def test_a_full_folder_for_temporary_files(undisturbed, study, tmp_path, monkeypatch):
    shutil.rmtree(study.results / "tables")
    with mounted(tmp_path / "full", "size=4k"):
        (tmp_path / "full/filler").write_bytes(bytes(4096))
        monkeypatch.setenv("TMPDIR", str(tmp_path / "full"))
        succeeded, output = study.attempt()
        assert succeeded, output  # another folder is taken
    assert study.differences(undisturbed.contents()) == []


@pytest.mark.parametrize("seed", range(2))
def test_times_of_files_after_a_clock_has_jumped(undisturbed, study, seed):
    rng = random.Random(seed)
    for path in study.results.rglob("*"):
        if path.is_file() and rng.random() < 0.3:
            jumped = path.stat().st_mtime + rng.choice([-1, 1]) * rng.choice([60, 86_400, 3e7])
            os.utime(path, (jumped, jumped))
    study.finish()
    assert study.differences(undisturbed.contents()) == []


@pytest.mark.parametrize("clock", ["-3d", "+2d x20"])
def test_a_clock_set_back_or_running_ahead(undisturbed, study, monkeypatch, clock):
    if not (libraries := list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))):
        pytest.skip("needs libfaketime, from Debian's package faketime")
    shutil.rmtree(study.results / "tables")
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(libraries[0]))
        patch.setenv("FAKETIME", clock)
        patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")  # as of a clock that is set
        study.attempt()
    study.finish()
    assert study.differences(undisturbed.contents()) == []
