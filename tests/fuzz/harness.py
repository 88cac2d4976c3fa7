"""Look for inputs that a target reads neither to the end nor to an InputError, led by coverage: ``make fuzz``.

    python -m tests.fuzz.harness TARGET [--seconds N] [libFuzzer's options]

Ends with libFuzzer's statistics; what it finds is left in ``.fuzz/TARGET/crash-*``, ``timeout-*`` or ``oom-*``, and is read
back with that file as an argument.
"""

import argparse
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("fuzzing needs atheris, which `make fuzz` installs; it has no wheel for this Python or system.")

with atheris.instrument_imports(
    include=["sgdtails", "tarfile", "zipfile", "csv", "numpy.lib", "yaml", "safetensors", "PIL"]
):
    from tests.fuzz import targets

SLOWEST, MEMORY = 20, 4096  # CPU seconds and MiB of one input
_STUCK = 600  # seconds


class TooSlow(BaseException):
    """Nothing that takes exceptions as damage must take this one."""


def limited(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The target with a limit on its CPU time: libFuzzer's own limit counts the time that other processes take."""

    def stop(number: int, frame: object) -> None:
        raise TooSlow(f"more than {SLOWEST} seconds of CPU time")

    def run(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_PROF, SLOWEST)
        target(data)
        signal.setitimer(signal.ITIMER_PROF, 0)

    signal.signal(signal.SIGPROF, stop)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("--seconds", type=int, default=120)
    chosen, more = parser.parse_known_args()
    warnings.simplefilter("ignore")  # decoders warn of what they meet
    corpus = Path(".fuzz", chosen.target)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(targets.seeds(chosen.target)):
        (corpus / f"seed{number}").write_bytes(data)
    options = [f"-max_total_time={chosen.seconds}", f"-timeout={_STUCK}", f"-rss_limit_mb={MEMORY}", "-max_len=20000"]
    options += [f"-artifact_prefix={corpus}/", "-print_final_stats=1", "-verbosity=1"]
    files = [] if any(Path(argument).is_file() for argument in more) else [str(corpus)]
    atheris.Setup([sys.argv[0], *options, *more, *files], limited(targets.TARGETS[chosen.target]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
