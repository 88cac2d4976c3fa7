"""What a user keeps among results is never touched: the short version of the rounds in ``make soak``."""

import random

import pytest

from tests.faults.harness import TARGETS
from tests.faults.keep import Keep, soak

pytestmark = pytest.mark.slow("starts of Snakemake after each thing that a user may do")


def test_planted_files_survive_whatever_is_done(undisturbed, tmp_path, capsys):
    done, wrong = soak(12, 1, tmp_path / "study", undisturbed.folder, undisturbed.contents())
    with capsys.disabled():
        print(
            "\nkept files in a study that was:", ", ".join(f"{name} ({count})" for name, count in sorted(done.items()))
        )
    assert wrong == []
    assert len(done) == 12  # each thing once


def test_a_file_that_cannot_be_read_ends_the_start_with_one_sentence(study):
    """The memory of a process is a file that cannot be read at its beginning, by root neither."""
    path = study.results / "tables/tails.parquet"
    path.rename(study.folder / "sound")
    path.symlink_to("/proc/self/mem")
    (study.results / "figures/fig01.png").write_bytes(b"damaged")
    for options in ((), ("--dry-run",)):
        refused = study.workflow.run(study.config, *options, "--", *TARGETS)
        assert refused.returncode != 0
        assert (
            "results/tiny/tables/tails.parquet: Input/output error; make room or grant access, or see to"
            in refused.stdout
        )
        assert "Traceback" not in refused.stdout
        assert path.is_symlink()
        assert (study.results / "figures/fig01.png").read_bytes() == b"damaged"  # not yet moved either
    (study.folder / "sound").rename(path)
    study.finish()
    assert (study.results / ".damaged/figures/fig01.png").read_bytes() == b"damaged"


def test_a_file_that_is_lost_or_changed_would_be_seen(undisturbed, study):
    study.rng = random.Random(1)
    keep = Keep(study, undisturbed.contents())
    assert keep.round("verify") == []
    victim = next(iter(keep.planted))
    for damage in (lambda: victim.write_bytes(b"changed"), victim.unlink):
        damage()
        assert any(str(victim) in problem for problem in keep.round("verify"))
    keep.planted.pop(victim)
    keep._verify = lambda: (study.results / "figures/fig01.png").write_bytes(b"") or ""
    assert any("verify changed" in problem for problem in keep.round("verify"))
