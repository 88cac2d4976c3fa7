"""What is asked of SLURM before jobs are submitted; the real one is in tests/cluster."""

import pytest

from sgdtails.errors import InputError
from sgdtails.runtime import slurm


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """Put an sinfo with these lines of shell in place of any other."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(script: str) -> None:
        (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "sinfo").chmod(0o755)

    return write


def test_partitions_that_exist_or_none_at_all(sinfo):
    slurm.check_partitions([], "site.yaml")  # asks nothing: there is no sinfo
    sinfo("echo main; echo gpu")
    slurm.check_partitions(["gpu", "main"], "site.yaml")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo main; echo gpu", "unknown partition 'gpus' in site.yaml: did you mean 'gpu'?"),
        ("echo down >&2; exit 1", "SLURM does not answer (sinfo: down); try again later."),
        (None, "SLURM's commands are not found; run on a login node"),
    ],
)
def test_others_are_one_sentence(sinfo, script, sentence):
    if script:
        sinfo(script)
    with pytest.raises(InputError) as error:
        slurm.check_partitions(["gpus"], "site.yaml")
    assert sentence in str(error.value)
