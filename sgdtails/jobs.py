"""What every script does around its ``main``: send output to the log, and turn bad input into one sentence."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError


def run(main: Callable[[Any], None], smk: Any) -> None:
    """Call ``main(smk)`` with both streams in the job's log; exit 1 with one sentence there for bad input, else a traceback."""
    with Path(smk.log[0]).open("w", encoding="utf-8") as log:
        sys.stdout = sys.stderr = log
        try:
            main(smk)
        except InputError as error:
            _fail(f"sgdtails: {error}")
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


def _fail(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    sys.exit(1)
