"""The command ``sgdtails``, which needs no Snakemake. A subcommand imports what it needs when it runs."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import sgdtails
from sgdtails.errors import InputError, out_of_memory

_EXAMPLES = """\
examples:
  sgdtails audit my.safetensors              one page about its weights, layer by layer
  sgdtails audit a.pt b.pt --output audits   the same, and tables and figures of each
  sgdtails new mine                          mine.yaml, a small study to start from
  sgdtails status --configfile mine.yaml     the progress of a running study
  sgdtails verify results                    compare every result with its checksum
"""
_AUDIT = """\
examples:
  sgdtails audit my.safetensors
  sgdtails audit checkpoints/ --output audits     every checkpoint in the folder
  sgdtails audit torchvision:resnet18             a random initialisation
  sgdtails audit base.pt tuned.pt --compare       what fine-tuning has changed, layer by layer
  sgdtails audit checkpoints/ --series            tail indices against the step of each checkpoint in the folder

A .safetensors file needs no torch, unless it holds bfloat16; files of torch and torchvision models do. ONNX, GGUF, Keras and
Flax need the extras sgdtails[onnx], [gguf], [keras] and [flax].
"""
_MEMORY = "out of memory; take a smaller file, or a machine with more."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments after ``sgdtails`` on the command line; by default those of this process.

    Returns
    -------
    int
        The exit status: 0; 1 after one sentence on stderr, or if ``verify`` has found a problem.

    Raises
    ------
    SystemExit
        With status 2 for unknown arguments, with 0 after ``--help`` and ``--version``.

    Examples
    --------
    >>> main(["verify", "docs"])
    docs holds no results; is it the right folder?
    0 files checked, 1 problems.
    1
    """
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        status = run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at the exit goes there
        return 0
    except InputError as error:
        return _failed(_without_key(error))
    except ModuleNotFoundError as error:
        return _failed(f"Python has no {error.name}; install it, or the extra that has it: sgdtails[train].")
    except OSError as error:
        if out_of_memory(error):
            return _failed(_MEMORY)
        return _failed(f"{error.strerror or error}: {error.filename}; make room or grant access, then run again.")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not out_of_memory(error):
            raise
        return _failed(_MEMORY)
    return status


def _without_key(error: InputError) -> str:
    """Take the config key out of a sentence: on the command line nobody has written it."""
    return f"{error}".replace(" in config key checkpoint", "").replace("config key checkpoint: ", "")


def _failed(sentence: str) -> int:
    print(f"sgdtails: {sentence}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "sgdtails", description="Heavy tails in the weights of neural networks.", epilog=_EXAMPLES, formatter_class=raw
    )
    parser.add_argument("--version", action="version", version=f"sgdtails {sgdtails.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    audit = commands.add_parser(
        "audit", help="describe a checkpoint's weights", description=_audit.__doc__, epilog=_AUDIT, formatter_class=raw
    )
    audit.add_argument("files", nargs="+", metavar="FILE", help="a checkpoint, a folder of them, or torchvision:MODEL")
    audit.add_argument(
        "--output", type=Path, metavar="DIR", help="write page, plan, tables and figures to DIR/<name of the file>"
    )
    several = audit.add_mutually_exclusive_group()
    several.add_argument(
        "--compare", action="store_true", help="compare two checkpoints of one network, the base first"
    )
    several.add_argument("--series", action="store_true", help="follow tail indices over checkpoints of one training")
    audit.add_argument("--part", help="audit one network of a file with several, such as teacher")
    audit.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out arrays of this name, such as '*stft*'; may be given several times",
    )
    audit.set_defaults(run=_audit)

    new = commands.add_parser("new", help="start a study of your own", description=_new.__doc__)
    new.add_argument(
        "name", metavar="NAME", help="the study's name: the config is NAME.yaml, results go to results/NAME"
    )
    new.set_defaults(run=_new)

    status = commands.add_parser("status", help="show a study's progress", description=_status.__doc__)
    status.add_argument("--configfile", type=Path, help="the file given to Snakemake; by default the paper's study")
    status.add_argument(
        "--results", type=Path, default=Path("results"), help="the folder that holds studies; by default results"
    )
    status.set_defaults(run=_status)

    verify = commands.add_parser("verify", help="find damaged results", description=_verify.__doc__)
    verify.add_argument(
        "results",
        type=Path,
        nargs="?",
        default=Path("results"),
        help="the folder that holds studies; by default results",
    )
    verify.set_defaults(run=_verify)
    return parser


def _audit(options: argparse.Namespace) -> int:
    """Print a page for each checkpoint: which of its layers are heavy-tailed, what can be pruned, what is dead."""
    from sgdtails.audit import checkpoint_audits
    from sgdtails.audit.several import commands

    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)  # before the work, in case that it cannot be
    sources = checkpoint_audits.sources(_inside(options.files) if options.series else options.files)
    how = {"part": options.part, "exclude": options.exclude}
    if options.compare or options.series:
        print((commands.compare if options.compare else commands.follow)(sources, options.output, **how), flush=True)
        _say_where(options.output, f"{commands.folder(*sources)}/comparison" if options.compare else "series/series")
        return 0
    failed = 0
    for name, source in sources.items():
        try:
            print(checkpoint_audits.audit(name, source, options.output, **how), flush=True)
            _say_where(options.output, f"{name}/audit")
        except InputError as error:  # the other files are audited all the same
            failed = _failed(_without_key(error))
    return failed


def _say_where(output: Path | None, page: str) -> None:
    if output:
        print(f"Page: {output / page}.html", flush=True)


def _inside(files: Sequence[str]) -> list[str]:
    """List the folders of a folder that holds one for each checkpoint and no file; leave anything else as it is."""
    found = []
    for given in files:
        inside = sorted(Path(given).iterdir()) if Path(given).is_dir() else []
        folders = [str(path) for path in inside if path.is_dir()]
        found += folders if folders and len(folders) == len(inside) else [given]
    return found


def _new(options: argparse.Namespace) -> int:
    """Write the config of a small study, which runs in minutes, and print the commands that run it."""
    from sgdtails.report import new_study

    path = new_study.create(options.name)
    print(f"{path} describes 8 runs of a small network on scikit-learn's digits. Change its runs, then:")
    commands = new_study.next_commands(path)
    width = max(map(len, commands))
    print(*(f"  {command:{width}}  # {what}" for command, what in commands.items()), sep="\n")
    return 0


def _status(options: argparse.Namespace) -> int:
    """Read a study's progress from its files: runs, iterations, time left."""
    from sgdtails.report import status

    config = ["--configfile", str(options.configfile)] if options.configfile else []
    return status.main([*config, "--results", str(options.results)])


def _verify(options: argparse.Namespace) -> int:
    """Compare every result with its checksum, and list those that are damaged or missing."""
    from sgdtails.io import integrity

    return integrity.main(options.results)
