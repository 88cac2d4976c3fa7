"""More GPUs than there are, asked for on the command line."""

from tests.workflow.conftest import TINY


def test_too_many_gpus_are_one_sentence_before_anything_starts(fresh, tmp_path_factory, monkeypatch):
    program = tmp_path_factory.mktemp("bin") / "nvidia-smi"
    lines = "".join(f"GPU {number}: Pretend (UUID: GPU-{number})\n" for number in range(4))
    program.write_text(f"#!/bin/sh\n/bin/cat <<END\n{lines}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    result = fresh.run(TINY, "--resources", "gpu=8")
    assert result.returncode != 0
    assert "--resources gpu=8: there are 4 GPUs on this machine; use --resources gpu=4." in result.stdout
    assert "Traceback" not in result.stdout
    assert not (fresh.folder / "results").exists()
