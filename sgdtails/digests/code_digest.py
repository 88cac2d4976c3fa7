"""What a result depends on: a digest of the code that made it, and whether a job runs that code."""

import hashlib
import os
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path

from sgdtails.digests import source_names, source_trees
from sgdtails.digests.source_trees import ALL, Tree
from sgdtails.errors import InputError

# Modules that count in no digest, each with the reason why an edit of it changes no number. Rename them here too.
LEFT_OUT = frozenset(
    {
        "sgdtails.config.batches",  # says which networks share a job, and which of its files are whose
        "sgdtails.errors",  # kinds of exceptions, sentences, and whether it was the machine that had no memory
        "sgdtails.runtime.container",  # says which container a job runs in, and keeps the host's packages out of it
        "sgdtails.runtime.jobs",  # sends output to logs, ends a job with a sentence, refuses edited code
        "sgdtails.runtime.gpu_locks",  # waits for a GPU that no other job has
        "sgdtails.runtime.limits",  # asks whether the libraries fit into a process
        "sgdtails.runtime.progress",  # prints how far a run is
        "sgdtails.digests.code_digest",  # these digests: jobs compare them, and nothing is computed from them
        "sgdtails.digests.source_names",  # the same
        "sgdtails.digests.source_trees",  # the same
        "sgdtails.digests.source_words",  # the same
    }
)
GIVEN = "SGDTAILS_CODE"  # environment variable: what the driver has planned with, for jobs that read the Snakefile anew


def put_first(root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let jobs find this repository before any other clone that PYTHONPATH names."""
    others = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(root)]
    environment["PYTHONPATH"] = os.pathsep.join([str(root), *others])


def of_rule(script: str, modules: Iterable[str], root: Path, environment: MutableMapping[str, str] = os.environ) -> str:
    """``<digest> <script> <module> ...``: the digest of a script below ``root``, of modules by name, and what they import there.

    The environment keeps it: a job that reads the Snakefile anew, as on a cluster, gets the digest that the driver planned with.
    """
    names = " ".join([script, *sorted(set(modules) - {""})])
    given = environment.get(GIVEN, "")
    for planned in given.split(";"):
        if planned.partition(" ")[2] == names:
            return planned
    found = f"{of_files(*_files(names.split(), root), root)} {names}"
    environment[GIVEN] = f"{given}{found};"
    return found


def check(planned: str, root: Path) -> None:
    """InputError if the code below ``root`` is no longer that of which ``of_rule`` gave ``planned``."""
    names = planned.split()[1:]
    try:
        found = of_files(*_files(names, root), root)
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"the code of {names[0]} in {root} was edited while the study ran, and cannot be read ({error}); start again."
        ) from error
    if found != planned.partition(" ")[0]:
        raise InputError(
            f"the code of {names[0]} in {root} was edited, or another version checked out, since the study was started: "
            "this job would mislabel its results; start again, or put the code back."
        )


def _files(names: Sequence[str], root: Path) -> tuple[list[Path], list[Path]]:
    """The script, and the files of modules that are there; a module of the user's may lie elsewhere."""
    modules = [source_names.file_of(name, root) for name in names[1:]]
    return [root / names[0]], [file for file in modules if file]


def of_files(scripts: Iterable[Path], modules: Iterable[Path], root: Path, left_out: frozenset[str] = LEFT_OUT) -> str:
    """Digest of what scripts and modules, whose functions somebody names, can compute, with all that they import below ``root``.

    An edit that cannot change a number does not change it: see ``source_trees``. Nor does a file that is moved or a module
    that is renamed: files count by their contents and by which of them uses which. Imports inside functions count too. All
    versions of Python that run this code give the same digest: a container's may be another than the driver's.
    """
    root = root.resolve()
    named = {file.resolve() for file in modules}
    starts = {file.resolve() for file in scripts} | named
    found = trees(starts, root, left_out, dict.fromkeys(named, ALL))
    order = sorted(starts, key=lambda file: (found[file].own, file))
    numbers = {file: number for number, file in enumerate(order)}
    parts = []
    for file in order:  # grows meanwhile
        tree = found[file]
        besides = [other for other in tree.imported if not found[other].empty]
        for other in [*tree.used, *sorted(besides, key=lambda file: (found[file].own, file))]:
            if other not in numbers:
                numbers[other] = len(order)
                order.append(other)
        numbered = [numbers[other] for other in tree.used], sorted(numbers[other] for other in besides)
        parts.append(f"{tree.own} {numbered}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def trees(
    starts: Iterable[Path],
    root: Path,
    left_out: frozenset[str] = LEFT_OUT,
    kept: Mapping[Path, frozenset[str]] | None = None,
) -> dict[Path, Tree]:
    """What is left of files and of all that they import; again, where a file's private names turn out to be used by another."""
    kept = kept or {}
    found: dict[Path, Tree] = {}
    waiting = list(starts)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = source_trees.read(file.read_bytes(), file, root, left_out, kept.get(file, frozenset()))
            waiting += found[file].used + found[file].imported
    asked = dict(kept)
    for file, name in {pair for tree in found.values() for pair in tree.asked}:
        if file not in found or name.startswith("_") or name == "*" or name not in found[file].names:
            # A name that the file does not define is one that it offers by a function __getattr__.
            more = {name, *(() if name in found[file].names else ("__getattr__",))}
            asked[file] = asked.get(file, frozenset()) | more
    return found if asked == kept else trees(starts, root, left_out, asked)
