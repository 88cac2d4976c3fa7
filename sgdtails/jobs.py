"""What every script does around its ``main``: send output to the log, and turn bad input into one sentence."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from sgdtails import limits
from sgdtails.errors import InputError, Interrupted, out_of_memory


def run(main: Callable[[Any], None], smk: Any) -> None:
    """Call ``main(smk)`` with both streams in the job's log; exit 1 with one sentence there for bad input, else a traceback."""
    log = None
    try:
        # Line by line: what a killed job has said is there, and a full disk shows at once.
        log = Path(smk.log[0]).open("w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        sys.stdout = sys.stderr = log
        _spare_pandas()
        main(smk)
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
    traced = False
    match error:
        case InputError():
            sentence = f"{error}"
        case Interrupted():
            sentence = "asked to end; what was done is saved, and the next start goes on from there."
        case _ if out_of_memory(error):
            said = str(error).partition("\n")[0][:200] or type(error).__name__
            sentence = (
                f"out of memory ({said}); make the network, the batch, the data or config key slots smaller, "
                "or give the job more (a larger GPU; config key resources.mem_mb on a cluster)."
            )
            if limit := limits.address_space():
                sentence += f" A process may address {limit / 1e9:.1f} GB here: raise that (ulimit -v)."
        case RuntimeError() if "does not have a deterministic implementation" in f"{error}":
            traced, said = True, f"{error}".partition(" ")[0]
            sentence = f"torch has no {said} on a GPU that gives the same result twice; leave it out of the model, or set config key device: cpu."
        case OSError():  # a full disk, a missing right
            traced, reason = True, os.strerror(error.errno) if error.errno else str(error)
            where = error.filename or (log.name if log else "see above")
            sentence = f"{reason}: {where}; make room or grant access, then run again."
        case _:
            traced, where = True, log.name if log else "above"
            sentence = f"this is an error of the program, not of its input; please report it, with {where}."
    trace = "".join(traceback.format_exception(error)) if traced else ""
    for stream, text in ((log, trace + "sgdtails: "), (sys.__stderr__, "sgdtails: ")):
        with suppress(OSError):  # of a full disk
            print(f"{text}{sentence}", file=stream, flush=True)


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
