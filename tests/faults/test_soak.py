"""The short version of ``make soak``, and what its counts stand on."""

import random

import pytest

from tests.faults.harness import TARGETS, Study, disturb, soak

pytestmark = pytest.mark.slow("a study that is killed, damaged and begun again until it is whole")


def test_killed_and_damaged_at_random_it_ends_with_the_same_bytes(undisturbed, tmp_path, capsys):
    study = Study(tmp_path / "study", 1, random.Random("short"))
    disturb(study, kills=4, damages=6, gap=3)
    with capsys.disabled():
        print("\nseed 'short':", ", ".join(f"{count} {name}" for name, count in sorted(study.done.items())))
    assert study.done["kills"] >= 4
    assert study.done["damages"] >= 6
    assert study.differences(undisturbed.contents()) == []


def test_a_killed_driver_leaves_a_lock_that_unlock_removes(study):
    (study.results / "tables/table2.md").unlink()
    (study.folder / ".snakemake/locks").mkdir(exist_ok=True)
    (study.folder / ".snakemake/locks/0.output.lock").write_text("results/tiny/tables/table2.md\n")
    arguments = ("--quiet", "rules", "progress", "--", "results/tiny/tables/table2.md")
    refused = study.workflow.run(study.config, *arguments)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout
    assert study.workflow.run(study.config, "--unlock").returncode == 0
    assert study.workflow.run(study.config, *arguments).returncode == 0


@pytest.mark.parametrize("lock", [False, True])
def test_a_dry_run_says_what_is_damaged_and_leaves_it(study, lock):
    path = study.results / "figures/fig01.png"
    path.write_bytes(path.read_bytes()[:-1])
    if lock:  # another run may be about to replace it
        (study.folder / ".snakemake/locks").mkdir(exist_ok=True)
        (study.folder / ".snakemake/locks/0.output.lock").write_text("elsewhere\n")
    said = study.workflow.run(study.config, *(() if lock else ("--dry-run",)), "--", TARGETS[0]).stdout
    assert ("results/tiny/figures/fig01.png is not what was written; delete it and run again." in said) != lock
    assert path.exists()


def test_a_difference_is_seen(undisturbed, study):
    reference = undisturbed.contents()
    assert study.differences(reference) == []
    path = study.results / "figures/fig01.png"
    path.write_bytes(path.read_bytes() + b" ")
    assert study.differences(reference) == ["figures/fig01.png"]
    path.unlink()
    assert study.differences(reference) == ["results/tiny/figures/fig01.png"]


def test_a_soak_fails_if_a_byte_differs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("tests.faults.harness.undisturbed", lambda folder, runs_per_job: {})
    monkeypatch.setattr("tests.faults.harness.disturb", lambda study, **_: study.done.update(kills=5, damages=5))
    for differences, status in (([], 0), (["figures/fig01.png"], 1)):
        monkeypatch.setattr(Study, "differences", lambda study, reference, found=differences: found)
        assert soak(10, 10, 7, tmp_path / str(status)) == status
        said = capsys.readouterr().out.splitlines()[-1]
        assert said.startswith("seed 7, ")
        assert said.endswith(f" s: 10 damages, 10 kills, 2 studies; {2 * status} files differ")


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_damage_changes_a_file(study, seed):
    study.rng = random.Random(seed)
    before = {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()}
    study.damage(1)
    after = {path: path.read_bytes() for path in study.folder.rglob("*") if path.is_file()}
    changed = [path for path, data in before.items() if after.get(path) != data]
    assert len(changed) == 1
