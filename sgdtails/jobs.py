"""What every script does around its ``main``: send output to the log, and turn bad input into one sentence."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError, Interrupted


def run(main: Callable[[Any], None], smk: Any) -> None:
    """Call ``main(smk)`` with both streams in the job's log; exit 1 with one sentence there for bad input, else a traceback."""
    _spare_pandas()
    with Path(smk.log[0]).open("w", encoding="utf-8") as log:
        sys.stdout = sys.stderr = log
        try:
            main(smk)
        except InputError as error:
            _fail(f"sgdtails: {error}")
        except Interrupted:
            _fail("sgdtails: asked to end; what was done is saved, and the next start goes on from there.")
        except OSError as error:  # a full disk, a missing right: the message says what and where
            traceback.print_exc()
            _fail(
                f"sgdtails: {error.strerror or error}: {error.filename or 'see above'}; make room or grant access, then run again."
            )
        except Exception:
            traceback.print_exc()
            _fail("sgdtails: this is an error of the program, not of its input; please report it with this log.")
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


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


def _fail(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    sys.exit(1)
