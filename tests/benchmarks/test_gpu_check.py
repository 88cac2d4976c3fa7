"""`make gpu-check`, rehearsed on the CPU: its checks pass, find what is broken, and do not stop each other."""

import sys

import pytest
import torch

from benchmarks import gpu_check, gpu_machine_checks, gpu_step_checks, gpu_training_checks
from sgdtails.io import parquet
from sgdtails.runtime import devices
from sgdtails.training import convergence, trainer
from sgdtails.training.engines import stacked_mlp

pytestmark = pytest.mark.slow("no part of the library or the workflow")


@pytest.fixture(autouse=True)
def _precision():
    yield
    devices.select("cpu", "fp32", 1)  # a stage may have asked for TF32


def here(stage, device, size, seconds):
    """A stage in this process."""
    rows = []
    gpu_check.run_stage(stage, device, size, rows.append)
    return rows


def of_stages(monkeypatch, *names):
    """Only these stages."""
    monkeypatch.setattr(
        gpu_check, "LONGEST", {name: seconds for name, seconds in gpu_check.LONGEST.items() if name in names}
    )
    monkeypatch.setattr(
        gpu_check, "TIMES", {name: seconds for name, seconds in gpu_check.TIMES.items() if name in names}
    )


def run(tmp_path, runner=here, *more):
    output = tmp_path / "checks.parquet"
    status = gpu_check.main(["--device", "cpu", "--size", "small", "--output", str(output), *more], runner=runner)
    return status, parquet.read(output).to_pylist()


def by_status(rows, status):
    return {(row["check"], row["network"]) for row in rows if row["status"] == status}


def test_steps_and_analyses_pass_on_the_cpu(tmp_path, monkeypatch, capsys):
    of_stages(monkeypatch, "machine", "steps", "analyses")
    status, rows = run(tmp_path)
    said = capsys.readouterr().out
    assert status == 0
    assert {check for check, _ in by_status(rows, "passed")} == {
        *gpu_step_checks.CHECKS,
        *gpu_training_checks.ANALYSES,
        "settings",
    }
    assert by_status(rows, "skipped") == {("the lease", ""), ("peaks", "")}
    assert all(row["value"] <= row["limit"] for row in rows if row["status"] == "passed")
    for row in rows:
        assert f"{row['check']:<44}  {row['network']:<7}  {row['measured']}" in said
    assert f"The table is in {tmp_path / 'checks.parquet'}." in said


@pytest.mark.parametrize("kind", gpu_check.BOTH)
def test_trainings_pass_on_the_cpu(tmp_path, monkeypatch, kind):
    of_stages(monkeypatch, "trainings")
    monkeypatch.setattr(gpu_check, "BOTH", (kind,))
    if kind == "cnn":  # the rest takes seconds, and the same way
        for name in ("gates against full passes", "interruption", "interruption of averages"):
            monkeypatch.delitem(gpu_training_checks.TRAININGS, name)
        monkeypatch.setattr(gpu_check, "stages", lambda: {"trainings": _of_kind(kind)})
    status, rows = run(tmp_path)
    assert status == 0
    assert by_status(rows, "passed") == {(name, kind) for name in gpu_training_checks.TRAININGS}


def _of_kind(kind):
    return [(name, kind, check) for name, check in gpu_training_checks.TRAININGS.items()]


def test_times_are_measured(tmp_path, monkeypatch):
    of_stages(monkeypatch, "times tf32")
    status, rows = run(tmp_path)
    assert status == 0
    assert [row["check"] for row in rows] == list(gpu_machine_checks.TIMES)
    assert all(row["value"] > 0 and row["precision"] == "tf32" for row in rows)


def test_a_wrong_gradient_fails_and_the_others_go_on(tmp_path, monkeypatch):
    of_stages(monkeypatch, "steps")
    monkeypatch.setattr(stacked_mlp, "_relu_backward", lambda below, inputs, threshold: below)
    monkeypatch.setitem(gpu_step_checks.CHECKS, "a check that stops", lambda bench, kind: 1 // 0)
    status, rows = run(tmp_path)
    assert status == 1
    stops = {("a check that stops", kind) for kind in gpu_check.BOTH}
    failed = by_status(rows, "failed")
    assert failed >= {("the change by one step against float64", "fcn"), *stops}
    assert not {check for check, network in failed - stops if network == "cnn"}
    assert len(rows) == 2 * len(gpu_step_checks.CHECKS)
    assert next(row["measured"] for row in rows if row["check"] == "a check that stops").startswith("ZeroDivisionError")


def bench():
    from benchmarks import gpu_bench

    return gpu_bench.Bench(devices.select("cpu", "fp32", 1), "fp32", gpu_bench.SIZES["small"])


def test_proofs_that_are_none_and_slots_that_are_mixed_up_are_found(monkeypatch):
    sound = bench()
    with monkeypatch.context() as patch:
        patch.setattr(convergence.ConvergenceCheck, "proves", lambda self, found: True)
        assert gpu_training_checks.checks(sound, "fcn").status == "failed"

    def careless(engine, replicas, index):
        engine.put(index, engine.get(len(replicas) - 1), 0.01)  # another step size
        replicas[index] = replicas[-1]
        replicas.pop()

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_vacate", staticmethod(careless))
        assert gpu_training_checks.refills(sound, "fcn").status == "failed"


def test_a_stage_that_hangs_or_dies_keeps_what_it_has_found(tmp_path, monkeypatch):
    row = '{"stage": "steps", "check": "one", "status": "passed"}'
    program = tmp_path / "python"
    program.write_text(
        f"#!/bin/sh\necho '{row}'\necho oops >&2\nif [ $4 = machine ]; then exec sleep 600; fi\nexit 3\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    for stage, reason in (("machine", "not finished after 2 s: oops"), ("steps", "exit status 3: oops")):
        found = gpu_check.in_process_of_its_own(stage, "cuda", "full", 2)
        assert [each["status"] for each in found] == ["passed", "failed"]
        assert found[1]["measured"] == reason


def test_what_there_is_no_time_for_is_said(tmp_path, monkeypatch):
    status, rows = run(tmp_path, here, "--seconds", "1")
    assert status == 1
    assert {row["stage"] for row in rows if row["status"] == "failed"} == set(gpu_check.LONGEST)
    assert {row["stage"] for row in rows if row["status"] == "skipped"} == set(gpu_check.TIMES)


def test_a_stage_in_a_process_of_its_own():
    rows = gpu_check.in_process_of_its_own("machine", "cpu", "small", 300)
    assert [row["check"] for row in rows] == list(gpu_machine_checks.MACHINE)
    assert f"torch {torch.__version__.partition('+')[0]}" in rows[0]["measured"]


def test_without_a_gpu_it_is_skipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    output = tmp_path / "checks.parquet"
    assert gpu_check.main(["--output", str(output)]) == 0
    assert capsys.readouterr().out == "skipped: torch sees no GPU here; --device cpu makes the checks on the CPU.\n"
    assert not output.exists()


def test_a_measurement_that_is_cut_off_is_no_failure():
    (row, *_) = reversed(gpu_check.in_process_of_its_own("times", "cpu", "full", 0.5))
    assert (row["status"], row["measured"]) == ("skipped", "not finished after 0 s")
    (row, *_) = reversed(gpu_check.in_process_of_its_own("steps", "cpu", "full", 0.5))
    assert row["status"] == "failed"
