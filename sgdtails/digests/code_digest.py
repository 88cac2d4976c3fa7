"""Digests of the code that a result depends on. A job checks that it runs the code that was planned."""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path

from sgdtails.digests import digest_cache, source_names, source_trees
from sgdtails.digests.source_trees import ALL, Tree
from sgdtails.errors import InputError

# Modules that count in no digest, each with the reason why an edit of it changes no number. Rename them here too.
LEFT_OUT = frozenset(
    {
        "sgdtails.audit",  # its __init__ only, which makes the package a function too; what that calls counts by itself
        "sgdtails.config.batches",  # says which networks share a job, and which of its files are whose
        "sgdtails.errors",  # kinds of exceptions, sentences, and recognising that memory ran out
        "sgdtails.io.shared",  # copies a table that another study has, byte for byte
        "sgdtails.runtime.container",  # says which container a job runs in, and keeps the host's packages out of it
        "sgdtails.runtime.jobs",  # sends output to logs, ends a job with a sentence, refuses edited code
        "sgdtails.runtime.gpu_locks",  # waits for a GPU that no other job has
        "sgdtails.runtime.limits",  # checks that the libraries fit into a process
        "sgdtails.runtime.progress",  # prints how far a run is
        "sgdtails.digests.code_digest",  # these digests: jobs compare them, and nothing is computed from them
        "sgdtails.digests.digest_cache",  # the same
        "sgdtails.digests.source_names",  # the same
        "sgdtails.digests.source_trees",  # the same
        "sgdtails.digests.source_words",  # the same
    }
)
GIVEN = "SGDTAILS_CODE"  # environment variable: the driver's digests, for jobs that read the Snakefile again
BESIDE = "SGDTAILS_BESIDE"  # folders of config files, for modules of the user's own


def put_first(root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let jobs find this repository before any other clone that PYTHONPATH names.

    Parameters
    ----------
    root
        The repository's folder.
    environment
        Changed in place.
    """
    others = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(root)]
    environment["PYTHONPATH"] = os.pathsep.join([str(root), *others])


def of_rule(
    script: str,
    modules: Iterable[str],
    root: Path,
    environment: MutableMapping[str, str] = os.environ,
    state: str | None = None,
) -> str:
    """Digest a rule's script, modules given by name, and what they import in this repository.

    Parameters
    ----------
    script
        Its path below ``root``.
    modules
        Names of modules, such as a user's own.
    root
        The repository's folder.
    environment
        Keeps the digest: a job that reads the Snakefile again, as on a cluster, gets the one that the driver planned with.
    state
        That of the code (``digest_cache.state``), for a process that has computed it.

    Returns
    -------
    str
        ``<digest> <script> <module> ...``
    """
    names = " ".join([script, *sorted(set(modules) - {""})])
    given = environment.get(GIVEN, "")
    for planned in given.split(";"):
        if planned.partition(" ")[2] == names:
            return planned
    found = f"{_digest(names.split(), root, environment, state)} {names}"
    environment[GIVEN] = f"{given}{found};"
    return found


def check(planned: str, root: Path) -> None:
    """Check that the code still has the digest that ``of_rule`` gave.

    Parameters
    ----------
    planned
        What ``of_rule`` returned.
    root
        The repository's folder.

    Raises
    ------
    InputError
        The code was edited, or cannot be read.
    """
    names = planned.split()[1:]
    try:
        found = _digest(names, root, os.environ)
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"the code of {names[0]} in {root} was edited while the study ran, and cannot be read ({error}); start again."
        ) from error
    if found != planned.partition(" ")[0]:
        raise InputError(
            f"the code of {names[0]} in {root} was edited, or another version checked out, since the study was started: "
            "this job would mislabel its results; start again, or put the code back."
        )


def beside(folders: Iterable[Path], root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let the driver and its jobs import modules that lie beside a config, and count them in digests.

    Parameters
    ----------
    folders
        Those of the config files.
    root
        The repository's folder, whose modules come first.
    environment
        Changed in place.
    """
    own = [str(folder) for folder in dict.fromkeys(folders) if folder != root]
    sys.path += [
        folder for folder in own if folder not in sys.path
    ]  # last: a random.py there replaces no module of Python's
    environment[BESIDE] = os.pathsep.join(own)


def _digest(names: Sequence[str], root: Path, environment: Mapping[str, str], state: str | None = None) -> str:
    """Digest a script and modules; modules beside a config are read with that folder as their root.

    What they use of the repository counts with the script.
    """
    folders = [Path(folder) for folder in environment.get(BESIDE, "").split(os.pathsep) if folder]
    root = root.resolve()
    outside: list[str] = []
    others: set[Path] = set()
    for name in (name for name in names[1:] if not source_names.file_of(name, root)):
        lies = next((folder.resolve() for folder in folders if source_names.file_of(name, folder)), None)
        if lies and (file := source_names.file_of(name, lies)):
            starts, found = _trees([], {file: ALL}, lies, LEFT_OUT)
            outside.append(_of_trees(starts, found))
            others.update(found)
    scripts, modules = _files(names, root)
    kept = _used(others, root) | dict.fromkeys(modules, ALL)
    inside = _inside(scripts, kept, root, state or digest_cache.state(root))
    return hashlib.sha256(" ".join([inside, *outside]).encode()).hexdigest()[:16] if outside else inside


def _used(files: Iterable[Path], root: Path) -> dict[Path, frozenset[str]]:
    """Find the modules of the repository that other files import, each with the names that they use of it."""
    found: dict[Path, frozenset[str]] = {}
    for file in files:
        tree = source_trees.read(file.read_bytes(), file, root, LEFT_OUT, ALL)
        for module in (*tree.used, *tree.imported):
            found.setdefault(module, frozenset())
        for module, name in tree.asked:
            found[module] |= {name, "__getattr__"}  # a package may offer it by that function
    return found


def _inside(scripts: Sequence[Path], modules: Mapping[Path, frozenset[str]], root: Path, state: str) -> str:
    """Digest files in the repository, or take the digest that is kept."""
    asked = [(file, f":{','.join(sorted(names))}") for file, names in sorted(modules.items())]
    files = [*((file, "") for file in scripts), *asked]
    name = " ".join(os.path.relpath(file.resolve(), root) + names for file, names in files)
    kept = digest_cache.find(root, state).get(name)
    if kept:
        return kept
    starts, reduced = _trees(scripts, modules, root, LEFT_OUT)
    found = _of_trees(starts, reduced)
    if digest_cache.covers(reduced, {top for tree in reduced.values() for top in tree.tops}, root):
        digest_cache.keep(root, state, name, found)
    return found


def _files(names: Sequence[str], root: Path) -> tuple[list[Path], list[Path]]:
    """Find the script, and the files of modules that are in the repository; a user's module may lie elsewhere."""
    modules = [source_names.file_of(name, root) for name in names[1:]]
    return [root / names[0]], [file for file in modules if file]


def of_files(scripts: Iterable[Path], modules: Iterable[Path], root: Path, left_out: frozenset[str] = LEFT_OUT) -> str:
    """Digest what scripts and modules can compute, with all that they import below ``root``.

    An edit that cannot change a number does not change the digest: see ``source_trees``. Nor does a file that is moved or a
    module that is renamed: files count by their contents and by which of them uses which. Imports inside functions count
    too. All versions of Python that run this code give the same digest: a container's may differ from the driver's.

    Parameters
    ----------
    scripts
        Files.
    modules
        Files whose functions are named elsewhere, such as in a config.
    root
        The repository's folder.
    left_out
        Modules that count in no digest.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    return _of_trees(*_trees(scripts, dict.fromkeys(modules, ALL), root.resolve(), left_out))


def _of_trees(starts: Iterable[Path], found: Mapping[Path, Tree]) -> str:
    """Digest trees, with the files that were asked for first."""
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


def _trees(
    scripts: Iterable[Path], modules: Mapping[Path, frozenset[str]], root: Path, left_out: frozenset[str]
) -> tuple[set[Path], dict[Path, Tree]]:
    """Reduce scripts, modules of which others use names, and what they import; also return the first two."""
    kept = {file.resolve(): names for file, names in modules.items()}
    starts = {file.resolve() for file in scripts} | kept.keys()
    return starts, trees(starts, root, left_out, kept)


def trees(
    starts: Iterable[Path],
    root: Path,
    left_out: frozenset[str] = LEFT_OUT,
    kept: Mapping[Path, frozenset[str]] | None = None,
) -> dict[Path, Tree]:
    """Reduce files, and all that they import, to what counts.

    A file is read again where another one turns out to use its private names.

    Parameters
    ----------
    starts
        Files.
    root
        The repository's folder.
    left_out
        Modules that count in no digest.
    kept
        For some files, the names that others look up.

    Returns
    -------
    dict
        Trees by file.
    """
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
