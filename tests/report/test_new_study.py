"""The config that a study of one's own starts from."""

import pytest
import yaml

from sgdtails import cli
from sgdtails.config.study import Study, read_config
from sgdtails.errors import InputError
from sgdtails.report import new_study
from tests.conftest import ROOT


def test_a_new_study_is_sound_and_small(tmp_path):
    path = new_study.create("mine", tmp_path)
    config, demo = read_config(path), read_config(ROOT / "config/demo.yaml")
    assert config["study"] == "mine"
    assert len(Study.read(config, ROOT).runs) == 8
    assert config["average"]["burn_in"] == demo["average"]["burn_in"] == 199
    assert config["stop"]["budget"] == demo["stop"]["budget"]
    for key in ("layers", "shapes"):
        assert config["calibration"][key] <= demo["calibration"][key]
    assert config["claims"]["simulations"]["studies"] == demo["claims"]["simulations"]["studies"]


@pytest.mark.parametrize("name", ["2024", "yes", "1e3", "a-b_c"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(tmp_path, name):
    assert read_config(new_study.create(name, tmp_path))["study"] == name


@pytest.mark.parametrize("name", ["../mine", "a b", "", "x\n", "audit", "SLURM", "x" * 101])
def test_a_name_that_no_study_can_have_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="another name|cannot be called"):
        new_study.create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.yaml").write_text("study: old\n")
    with pytest.raises(InputError, match=r"there is a file .*mine.yaml already"):
        new_study.create("mine", tmp_path)
    assert (tmp_path / "mine.yaml").read_text() == "study: old\n"
    (tmp_path / "results/done").mkdir(parents=True)
    with pytest.raises(InputError, match="there are results of a study done"):
        new_study.create("done", tmp_path)


def test_the_small_config_itself_runs_too():
    assert yaml.safe_load((ROOT / "config/small.yaml").read_text())["study"] == "small"


def test_the_command_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "mine"]) == 0
    said = capsys.readouterr().out
    assert f"snakemake -s {ROOT}/Snakefile --cores all --configfile mine.yaml" in said
    assert "results/mine/figures/fig01.png" in said
    assert cli.main(["new", "mine"]) == 1
    assert capsys.readouterr().err.startswith("sgdtails: there is a file mine.yaml already")


def test_in_the_repository_it_names_targets_that_make_has(monkeypatch):
    monkeypatch.chdir(ROOT)
    makefile = (ROOT / "Makefile").read_text()
    named = [
        command.split()[1] for command in new_study.next_commands(ROOT / "mine.yaml") if command.startswith("make")
    ]
    assert len(named) == 4
    for target in named:
        assert f"\n{'fig%' if target == 'fig01' else target}: " in makefile
