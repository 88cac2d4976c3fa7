"""The command ``sgdtails``."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as torch_file

import sgdtails
from sgdtails import cli
from sgdtails.audit import audit_inputs
from sgdtails.audit import layers as audit
from sgdtails.config import validation
from sgdtails.errors import InputError
from sgdtails.io import manifest, parquet, tables
from sgdtails.report import status
from tests.conftest import ROOT, script


@pytest.fixture
def checkpoint(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"a.weight": rng.standard_normal((64, 32)), "b.weight": rng.standard_cauchy((48, 16))}
    save_file({name: array.astype(np.float32) for name, array in arrays.items()}, "my.safetensors")
    return "my.safetensors"


def run_script(checkpoint, folder) -> None:
    """Audit a checkpoint as the workflow does, with the settings as shipped."""
    settings = validation.read_yaml(ROOT / "config/config.yaml", "config")["audit"] | {"source": checkpoint}
    output = {
        name: str(folder / f"{name}.parquet")
        for name in ("audit", "profiles", "curves", "compression", "laws", "skipped", "accuracy")
    }

    class Output(dict):
        text, html, plan = (str(folder / name) for name in ("audit.md", "audit.html", "plan.json"))

    script("audit").main(
        SimpleNamespace(
            params=SimpleNamespace(settings=json.dumps(settings), code="0"),
            wildcards=SimpleNamespace(audit="my"),
            output=Output(output),
        )
    )


def test_an_audit_is_that_of_the_workflow(checkpoint, tmp_path, capsys):
    assert cli.main(["audit", checkpoint, "--output", "audits"]) == 0
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert re.fullmatch(r"layer 1 of 2: a, about 0:\d\d:\d\d left", first)
    assert second == "layer 2 of 2: b"
    run_script(checkpoint, tmp_path / "workflow")
    assert said.out == (tmp_path / "workflow/audit.md").read_text() + "\nPage: audits/my/audit.html\n"
    assert said.out.startswith((tmp_path / "audits/my/audit.md").read_text())
    named = re.findall(r"\w+\.(?:json|parquet|html)", said.out)
    assert named
    assert all((tmp_path / "audits/my" / file).is_file() for file in named)
    for file in sorted((tmp_path / "workflow").glob("*.parquet")):
        found = tables.read(tmp_path / "audits/my" / file.name)
        assert found.equals(tables.read(file))
        record = parquet.record(found.schema)
        assert (record["settings"]["source"], record["version"]) == (checkpoint, sgdtails.__version__)
    for name in ("audit.html", "plan.json"):
        assert (tmp_path / "audits/my" / name).read_bytes() == (tmp_path / "workflow" / name).read_bytes()
    assert (tmp_path / "audits/my/audit.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "audits/my/audit.png").stat().st_size > 10_000


def test_a_folder_and_a_file_of_torch(checkpoint, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    torch.save({"c.weight": torch.randn(32, 16)}, "more/c.pt")
    assert cli.main(["audit", "more", checkpoint]) == 0
    pages = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# ")]
    assert pages == ["# Audit of `c.pt`", "# Audit of `my.safetensors`"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "my.safetensors"]


def test_a_file_that_cannot_be_read_does_not_stop_the_others(checkpoint, tmp_path, capsys):
    (tmp_path / "page.pt").write_text("<html>404</html>")
    assert cli.main(["audit", "page.pt", checkpoint, "--output", "audits"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("# Audit of `my.safetensors`")
    assert said.err.startswith("sgdtails: page.pt is an HTML page")
    assert [path.name for path in (tmp_path / "audits").iterdir()] == ["my"]


def test_a_part_and_names_that_are_left_out(tmp_path, capsys):
    state = {"fc.weight": torch.randn(80, 70), "basis.weight": torch.randn(80, 70)}
    torch.save({"student": state, "teacher": state}, tmp_path / "both.pt")
    assert cli.main(["audit", str(tmp_path / "both.pt"), "--part", "teacher", "--exclude", "basis*"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == ["layer 1 of 1: fc"]
    assert r"1 as config key audit.exclude: basis\*" in said.out
    assert "2 as not in part teacher" in said.out
    assert cli.main(["audit", str(tmp_path / "both.pt"), "--part", "pupil"]) == 1
    assert "unknown part 'pupil'" in capsys.readouterr().err


def test_without_torch_the_rows_are_the_same(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "conv.weight": (8, 4, 3, 3),
        "attn.qkv.weight": (96, 32),
        "h.2.weight": (64, 32, 1, 1),
        "h.10.weight": (10, 80),
    }
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    state |= {
        "half": torch.randn(70, 9, generator=generator).half(),
        "conv.bias": torch.zeros(8),
        "steps": torch.ones(3, 3).int(),
    }
    torch_file(state, tmp_path / "a.safetensors")
    torch_file({"a": state["half"].bfloat16()}, tmp_path / "bfloat16.safetensors")
    settings = {"where": "a", "seed": 0, "entries": 2000, "nulls": {"replicates": 2, "entries": 1000}, "epsilon": [0.1]}
    found = [audit.audit(audit_inputs.read(str(tmp_path / "a.safetensors"), weights=None, seed=0), **settings)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    arrays = audit_inputs.read(str(tmp_path / "a.safetensors"), weights=None, seed=0)
    assert {type(array) for array in arrays.values()} == {np.ndarray}
    found.append(audit.audit(arrays, **settings))
    assert len(found[0]["audit"]) == 7
    assert repr(found[0]) == repr(found[1])
    monkeypatch.setattr("safetensors.numpy.load_file", lambda path: {}["BF16"])  # as where numpy has no bfloat16
    with pytest.raises(InputError, match="or install torch"):
        audit_inputs.read(str(tmp_path / "bfloat16.safetensors"), weights=None, seed=0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", "none.safetensors"], "there is no 'none.safetensors'"),
        (["audit", "my.safetensors", "none.pt"], "there is no 'none.pt'"),
        (["audit", "bad.safetensors"], "bad.safetensors is text; give a checkpoint"),
        (["audit", "torchvision:resnet1"], "unknown torchvision model"),
        (["audit", "my.safetensors", "--output", "bad.safetensors"], "File exists: bad.safetensors"),
        (["status", "--configfile", "none.yaml"], "none.yaml"),
    ],
)
def test_a_wrong_file_ends_with_one_sentence(checkpoint, tmp_path, words, said, capsys):
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    assert cli.main(words) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("sgdtails: ")
    assert found.err.count("\n") == 1
    assert said in found.err
    assert "config key" not in found.err or words[0] != "audit"


@pytest.mark.parametrize("words", [[], ["audit"], ["audits"], ["audit", "a", "--out"], ["status", "a"]])
def test_wrong_words_are_shown_the_usage(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage: sgdtails" in capsys.readouterr().err


def test_help_has_examples_that_the_parser_takes(capsys):
    for words in (["--help"], ["audit", "--help"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert not ended.value.code
        shown = capsys.readouterr().out.partition("examples:")[2].splitlines()
        lines = [re.split(" {2,}", line.strip())[0].split() for line in shown]
        examples = [line[1:] for line in lines if line[:1] == ["sgdtails"]]
        assert len(examples) >= 3
        for example in examples:
            assert cli._parser().parse_args(example).run


def test_status_is_that_of_make_status(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    arguments = ["--configfile", "config/demo.yaml", "--results", str(tmp_path)]
    assert cli.main(["status", *arguments]) == status.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Study demo: 33 runs"
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]


def test_verify_says_what_is_damaged(tmp_path, capsys):
    file = tmp_path / "study/tables/theory.parquet"
    row = {"kappa": 0.5, "epsilon": 0.1, "p_epsilon": 0.5, "bound": 1.0}
    columns = set(tables.SCHEMAS["theory"].names)
    tables.write("theory", [{name: row.get(name, 0.0) for name in columns}], file, provenance={})
    manifest.write(tmp_path / "study", [str(file)], [])
    assert cli.main(["verify", str(tmp_path)]) == 0
    assert "1 files checked, 0 problems." in capsys.readouterr().out
    file.write_bytes(file.read_bytes()[:-1])
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "theory.parquet is not what was written" in capsys.readouterr().out


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "sgdtails", "--version"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == f"sgdtails {sgdtails.__version__}\n"


def test_a_reader_that_leaves_is_no_error():
    command = f"'{sys.executable}' -m sgdtails status --configfile config/demo.yaml | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("not enough memory")]
)
def test_out_of_memory_is_a_sentence(checkpoint, monkeypatch, capsys, error):
    def fails(*given, **named):
        raise error

    monkeypatch.setattr("sgdtails.audit.checkpoint_audits.audit", fails)
    assert cli.main(["audit", checkpoint]) == 1
    assert capsys.readouterr().err == "sgdtails: out of memory; take a smaller file, or a machine with more.\n"
