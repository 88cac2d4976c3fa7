"""Snakemake in a process that has imported its libraries and read the repository's code: each run is a fork of it.

A start of Snakemake costs six seconds of CPU, a fork one and a half. All else is as in a new process, but that YAML is
parsed in C: the Snakefile is read and the jobs are planned. Run in a copy of the repository; reads a call per line, and
writes the exit status of each and what it took in seconds of CPU.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def become(call: dict[str, Any]) -> None:
    """Take over a call's arguments, environment and output file."""
    output = os.open(call["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update(call["environment"])
    sys.argv = ["snakemake", *call["arguments"]]


def main() -> None:
    folder = Path.cwd()
    sys.path[0] = str(folder)
    import jsonschema  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import safetensors.numpy  # noqa: F401
    import yaml
    from snakemake import cli

    from sgdtails.digests import code_digest

    cli.get_argument_parser()  # imports the plugins
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for script in (folder / "workflow/scripts").glob("*.py"):
        code_digest.of_files([script], [], folder)  # keeps what it has read of each file, by its contents
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            become(json.loads(line))
            cli.main()  # ends the process
        _, status, used = os.wait4(child, 0)
        print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, flush=True)


if __name__ == "__main__":
    main()
