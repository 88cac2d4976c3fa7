"""What every script does around its ``main``: send output to the log, and turn bad input into one sentence."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import sgdtails
from sgdtails.digests import code_digest
from sgdtails.errors import InputError, Interrupted, UserCodeError, out_of_memory, unrepeatable
from sgdtails.runtime import limits, progress

SPEAKER = "sgdtails: "  # begins the sentence at the end of the log of a job that failed
_MOUNTED = "/mnt/snakemake_searchpaths"  # where Snakemake puts a driver's folders into containers


def run(main: Callable[[Any], None], smk: Any) -> None:
    """Call ``main(smk)`` with both streams in the job's log; exit 1 with one sentence there for bad input, else a traceback."""
    log = None
    try:
        # Line by line: what a killed job has said is there, and a full disk shows at once.
        log = Path(smk.log[0]).open("w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        sys.stdout = sys.stderr = log
        if hasattr(smk, "scriptdir"):
            _check_code(Path(smk.scriptdir).parents[1], smk.params.code)
        _spare_pandas()
        progress.start(Path(smk.log[0]))
        main(smk)
        progress.finish()
    except Exception as error:
        _say(error, log)
        sys.exit(1)
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        if log:
            with suppress(OSError):
                log.close()


def _say(error: Exception, log: TextIO | None) -> None:
    """One sentence, in the log, after a traceback where that helps, and on the terminal: Snakemake may hide the log."""
    traced: BaseException | None = None
    match error:
        case InputError():
            sentence = f"{error}"
        case Interrupted():
            sentence = "asked to end; what was done is saved, and the next start goes on from there."
        case UserCodeError():
            traced, sentence = error.__cause__, f"{error}"
        case _ if out_of_memory(error):
            said = str(error).partition("\n")[0][:200] or type(error).__name__
            sentence = (
                f"out of memory ({said}); make the network, the batch, the data or config key slots smaller, "
                "or give the job more (a larger GPU; config key resources.mem_mb on a cluster)."
            )
            if limit := limits.address_space():
                sentence += f" A process may address {limit / 1e9:.1f} GB here: raise that (ulimit -v)."
        case _ if unrepeatable(error):
            traced, said = error, f"{error}".partition(" ")[0]
            sentence = f"torch has no {said} on a GPU that gives the same result twice; leave it out of the model, or set config key device: cpu."
        case OSError():  # a full disk, a missing right
            traced, reason = error, os.strerror(error.errno) if error.errno else str(error)
            where = error.filename or (log.name if log else "see above")
            sentence = f"{reason}: {where}; make room or grant access, then run again."
        case _:
            traced, where = error, log.name if log else "above"
            sentence = f"this is an error of the program, not of its input; please report it, with {where}."
    trace = "".join(traceback.format_exception(traced)) if traced else ""
    for stream, text in ((log, trace + SPEAKER), (sys.__stderr__, SPEAKER)):
        with suppress(OSError):  # of a full disk
            print(f"{text}{sentence}", file=stream, flush=True)


def _check_code(beside: Path, planned: str) -> None:
    """InputError if this job runs other code than that of which its results would carry the digest; ``beside`` is the Snakefile's folder."""
    root = Path(sgdtails.__file__).resolve().parents[1]
    package = beside / "sgdtails"
    # In a container the repository may lie elsewhere, and what is at that place be another.
    if package.is_dir() and not package.samefile(root / "sgdtails") and not root.is_relative_to(_MOUNTED):
        raise InputError(
            f"Python finds {root / 'sgdtails'} before the repository's own {package}; take {root} out of PYTHONPATH, or uninstall it."
        )
    code_digest.check(planned, root)
    sys.meta_path.insert(0, _Unedited(planned, root))


class _Unedited:
    """Looks once more before a module of the repository is imported: a job may have waited for hours by then."""

    def __init__(self, planned: str, root: Path) -> None:
        self._planned, self._root = planned, root
        self._packages = {"sgdtails", *(name.partition(".")[0] for name in planned.split()[2:])}

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name.partition(".")[0] in self._packages:
            code_digest.check(self._planned, self._root)


class _NoPandas:
    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("not here", name=name)


def _spare_pandas() -> None:
    """Let pyarrow look for pandas once, in vain: it would import it with its first array, for longer than most jobs take.

    Only ``to_pandas``, which no job uses, needs it; whoever else imports pandas afterwards gets it.
    """
    import pyarrow

    sys.meta_path.insert(0, _NoPandas)
    try:
        pyarrow.array([0.0])
    finally:
        sys.meta_path.remove(_NoPandas)
