"""Plan a study on one GPU without Snakemake: its runs, groups and files, and the arguments of the workflow's scripts."""

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from sgdtails.config import claimed_tables, run_ids, study
from sgdtails.digests import code_digest
from sgdtails.training import resume
from sgdtails.training.checkpointer import Stores
from sgdtails.training.settings import RunSettings

BASE = Path(__file__).parent.parent
SIDE_BY_SIDE = {"fcn": 64, "cnn": 8}  # most runs of a group
TRAINED = ("converged.safetensors", "history.parquet", "trajectory.parquet", "training.parquet")
AVERAGED = ("last.safetensors", "average.safetensors", "averaging.parquet")
PRUNED = ("pruned.parquet",)
ANALYSES = {  # by script, the files that it writes of a run
    "tails": ("tails.parquet", "readings.parquet"),
    "laws": ("laws.parquet",),
    "compression": ("compression.parquet",),
    "perturbation": ("perturbation.parquet",),
    "bounds": ("bounds.parquet",),
    "dependence": ("dependence.parquet",),
    "errors": ("errors.parquet",),
}
OF_INITIALS = ("tails", "laws", "compression", "dependence")
OF_TAILS = ("bounds", "errors")  # need the tail indices of the same run


@cache
def script(name: str) -> ModuleType:
    """Import a script of the workflow; its ``main`` takes any object with the attributes of Snakemake's own."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", BASE / f"workflow/scripts/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_config(file: str | None, root: str | None, device: str) -> dict[str, Any]:
    """Read config/config.yaml and replace the keys that ``file`` has.

    InputError if the config is wrong, as far as jsonschema is installed to find that.
    """
    checked = importlib.util.find_spec("jsonschema") is not None
    config = study.read_config(Path(file) if file else None, BASE, checked=checked)
    config["device"] = device
    if root:
        config["datasets"] |= {"root": root, "download": False}
    return config


@dataclass(frozen=True)
class RunGroup:
    """Runs of one network, dataset and batch size that train side by side."""

    name: str
    runs: tuple[str, ...]
    slots: int


class Files(SimpleNamespace):
    """Paths, or lists of paths, by name, like Snakemake's Namedlist."""

    def __getitem__(self, key: str | int) -> Any:
        return getattr(self, key) if isinstance(key, str) else [*vars(self).values()][key]

    def items(self) -> Iterable[tuple[str, Any]]:
        return vars(self).items()


class Plan:
    """The runs of a config, their files below ``folder``, and the arguments of each job."""

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        """Read the run table; InputError if it cannot be used."""
        self.config, self.folder = config, folder
        self.study = study.Study.read(config, BASE)
        self.runs = self.study.runs

    def as_json(self) -> str:
        """Return a text from which ``from_json`` makes the same plan in another process."""
        return json.dumps({"config": self.config, "folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        read = json.loads(text)
        return cls(read["config"], Path(read["folder"]))

    @cached_property
    def groups(self) -> list[RunGroup]:
        """The groups in the order in which they train: first those of the paper's first figure, last convolutional networks."""
        found: list[RunGroup] = []
        for (model, dataset, *_), runs in self._alike().items():
            kind = "fcn" if "fcn" in self.config["models"][model] else "cnn"
            size = SIDE_BY_SIDE[kind]
            runs = sorted(runs, key=lambda run: -self.runs[run]["step_size"]) if kind == "cnn" else runs
            for start in range(0, len(runs), size):
                members = tuple(sorted(runs[start : start + size]))
                name = f"{model}-{dataset}-b{self.runs[members[0]]['batch_size']}-{len(found)}"
                found.append(RunGroup(name, members, len(members)))
        return found

    def _alike(self) -> dict[tuple[Any, ...], list[str]]:
        groups: dict[tuple[Any, ...], list[str]] = {}
        for name, run in self.runs.items():
            key = (run["model"], run["dataset"], run["batch_size"], run["variant"])
            groups.setdefault(key, []).append(name)
        return dict(sorted(groups.items(), key=self._rank))

    def _rank(self, group: tuple[tuple[Any, ...], list[str]]) -> tuple[Any, ...]:
        model, dataset, batch, variant = group[0]
        spec = self.config["models"][model]
        return (
            "fcn" not in spec,
            dataset != "mnist",
            len(next(iter(spec.values()), ())),
            batch,
            variant,
            model,
            dataset,
        )

    def path(self, run: str, name: str) -> Path:
        return self.folder / "runs" / run / name

    def initial(self, run: str, name: str = "weights.safetensors") -> Path:
        """Return a file of the initial network of a run."""
        return self.folder / "initial" / run_ids.initial_id(run) / name

    def dataset(self, run: str) -> Path:
        return self.folder / "data" / f"{self.runs[run]['dataset']}.safetensors"

    def table(self, name: str) -> Path:
        return self.folder / "tables" / f"{name}.parquet"

    def is_there(self, run: str, files: Iterable[str]) -> bool:
        return all(self.path(run, name).exists() for name in files)

    @cached_property
    def asked(self) -> set[str]:
        """The tables that only claims and comparisons ask for."""
        files = claimed_tables.paths(self.config["claims"]["path"], BASE)
        found = claimed_tables.of_files([str(path) for path in files])
        return found | claimed_tables.of_content(self.config["compare"])

    def analyses(self, run: str, *, initial: bool = False) -> list[str]:
        """List the analyses of a run, or of its initial network, in an order in which they can be made."""
        chain = "fcn" in self.config["models"][self.runs[run]["model"]]
        left_out = {"dependence", "errors"} - self.asked | (set() if chain else {"perturbation"})
        return [name for name in (OF_INITIALS if initial else ANALYSES) if name not in left_out]

    def is_analysed(self, run: str, name: str, *, initial: bool = False) -> bool:
        """Tell if one analysis of a run, or of its initial network, is made."""
        place = self.initial if initial else self.path
        return all(place(run, file).exists() for file in ANALYSES[name])

    def precision(self, run: str) -> str:
        """Return a run's precision: TF32 for convolutions on a GPU, which take three times as long in float32."""
        convolutional = "cnn" in self.config["models"][self.runs[run]["model"]]
        return "tf32" if convolutional and self.config["device"] != "cpu" else self.config["precision"]

    def stage_settings(self, stage: str, group: RunGroup) -> dict[str, Any]:
        """Return the settings of training or averaging a group's runs."""
        run = group.runs[0]
        return self.study.steps(self.runs[run], stage, group.slots) | {"precision": self.precision(run)}

    def initial_settings(self, run: str) -> dict[str, Any]:
        """Return the settings of the initial network of a run."""
        return self.study.initial(self.runs[run])

    @cache  # noqa: B019  # a process has one plan
    def code(self, name: str) -> str:
        factories = {spec.get("factory", "").rpartition(".")[0] for spec in self.config["models"].values()}
        return code_digest.of_rule(f"workflow/scripts/{name}.py", factories, BASE, {})

    def params(self, stage: str, settings: Any) -> SimpleNamespace:
        return SimpleNamespace(settings=json.dumps(settings, sort_keys=True), code=self.code(stage))

    def files(self, stage: str, runs: Iterable[str]) -> tuple[Files, Files]:
        """Return the files that training or averaging runs reads and writes."""
        runs = list(runs)
        outputs = TRAINED if stage == "train" else AVERAGED
        written = {_short(name): [str(self.path(run, name)) for run in runs] for name in outputs}
        if stage == "train":
            inputs = {"initial": [str(self.initial(run)) for run in runs]}
        else:
            inputs = {"converged": [str(self.path(run, "converged.safetensors")) for run in runs]}
        return Files(dataset=str(self.dataset(runs[0])), **inputs), Files(**written)

    def store(self, stage: str, runs: Iterable[str], group: RunGroup) -> Stores:
        """Return the checkpoints of runs in a stage. For averaging, training must have written its files."""
        runs, common = list(runs), self.stage_settings(stage, group)
        inputs, outputs = self.files(stage, runs)
        job = SimpleNamespace(input=inputs, output=outputs, params=self.params(stage, common))
        each = [dict.fromkeys(runs, inputs.dataset)]
        each += [dict(zip(runs, paths, strict=True)) for name, paths in inputs.items() if name != "dataset"]
        return resume.checkpoint_stores(stage, {run: RunSettings.from_params(common, run) for run in runs}, job, *each)

    def job(self, name: str, log: str, **parts: Any) -> SimpleNamespace:
        """Return the argument of a script's ``main``; ``parts`` are input, output, params and wildcards."""
        return SimpleNamespace(config=self.config, log=[str(self.folder / "logs" / f"{log}.log")], **parts)

    def pruning(self, run: str) -> dict[str, Any]:
        """Return the settings of a run's pruning, as the rule has them."""
        more = {"weights": self.config["pruning"]["weights"], "precision": self.precision(run)}
        return self.study.pruning(self.runs[run]) | more


def _short(name: str) -> str:
    """Return the name that a rule gives to a file of a run."""
    return "row" if name in ("training.parquet", "averaging.parquet") else name.partition(".")[0]
