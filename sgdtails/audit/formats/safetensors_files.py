"""Files of safetensors, one by one or as the shards of an index."""

import importlib.util
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from sgdtails.audit import checkpoints
from sgdtails.audit.checkpoint import Checkpoint
from sgdtails.config import validation
from sgdtails.errors import InputError


def read(path: Path, where: str) -> dict[str, Any]:
    """Read a file's arrays by name, mapped from the file; without torch as arrays of numpy, read at once.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    where : str
        What named it, for sentences.

    Returns
    -------
    dict of str to array
        Arrays, with numbers in their names counted as people do.

    Raises
    ------
    InputError
        For a damaged file, and without torch for types that numpy does not have.
    """
    from safetensors import SafetensorError

    torch_is_there = importlib.util.find_spec("torch") is not None
    lacking = "" if torch_is_there else ", or it has a type that numpy lacks, such as bfloat16"
    try:
        state: dict[str, Any] = import_module(f"safetensors.{'torch' if torch_is_there else 'numpy'}").load_file(path)
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where}: {path} is a safetensors file that is damaged or cut off{lacking} ({validation.reason(error)}); "
            f"give another{'' if torch_is_there else ', or install torch'}."
        ) from error
    # The format sorts names by type and as text: layer 10 would come before layer 2.
    return {key: state[key] for key in sorted(state, key=natural)}


def natural(key: str) -> list[list[tuple[int, int, str]]]:
    """Sort names as people count: by their parts between dots, numbers as numbers."""
    parts = ([piece for piece in re.split(r"(\d+)", part) if piece] for part in key.split("."))
    return [[(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in part] for part in parts]


def in_order(index: Path, arrays: dict[str, Any]) -> Checkpoint:
    """Put the arrays of shards into the order of their index.

    Parameters
    ----------
    index : pathlib.Path
        The index.
    arrays : dict of str to array
        Of all shards.

    Returns
    -------
    Checkpoint
        In the order of the index, or where that is sorted as text, and so says nothing of layers, as people count.

    Raises
    ------
    InputError
        If a shard lacks an array that the index names.
    """
    names = list(checkpoints.shards(index))
    if missing := [name for name in names if name not in arrays]:
        raise InputError(
            f"{checkpoints.KEY}: {index} names {missing[0]!r}, which no shard holds; download the shards again."
        )
    order = sorted(names, key=natural) if names == sorted(names) else names
    return Checkpoint({name: arrays[name] for name in dict.fromkeys([*order, *arrays])})
