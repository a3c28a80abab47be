"""A training's whole state in one file: written whole or not at all, and checked when read back.

The file is a plain ``.npz`` archive: every array under its own name (``state/model/conv1.weight``), and ``meta``, the
JSON text of everything else, in which each array is represented by its name. Nothing in it can run code, and
NumPy alone can read it. The archive's checksums tell a damaged file from a good one.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..serialization.atomic import replacing
from ..tensor import Tensor

FORMAT = "minicnn checkpoint 1"
META = "meta"
SCALARS = (str, int, float, bool, type(None))


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write ``state`` atomically: after a crash at any moment ``path`` is the old checkpoint or the new one.

    Args:
        state: nested dictionaries (keys: strings or integers), lists and tuples of numbers, strings, booleans,
            None, arrays and tensors.

    Raises:
        TypeError: for anything else in it.
    """
    arrays: dict[str, np.ndarray] = {}
    meta = json.dumps({"format": FORMAT, "state": _pack(state, "state", arrays)})
    arrays[META] = np.frombuffer(meta.encode(), np.uint8)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read back what :func:`save_checkpoint` wrote: equal bit for bit, tensors in host memory.

    Raises:
        FileFormatError: when the file is damaged, or is no checkpoint of this kind.
        FileNotFoundError: when there is none.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = json.loads(arrays.pop(META).tobytes())
        if meta["format"] != FORMAT:
            raise FileFormatError(f"{path} is a checkpoint of another format: {meta['format']!r}, not {FORMAT!r}")
        return _unpack(meta["state"], arrays)
    except FileFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise FileFormatError(f"{path} is damaged or no checkpoint: {error}") from error
    except (KeyError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise FileFormatError(f"{path} is not a checkpoint of minicnn's training") from error


# In the JSON text every container and array is a one-key dictionary that names its kind, so that integer keys and
# tuples, which JSON does not have, come back as what they were.


def _pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, (Tensor, np.ndarray)):
        kind, array = ("tensor", value.detach().cpu().numpy()) if isinstance(value, Tensor) else ("array", value)
        if name in arrays:
            raise TypeError(f"two arrays of a checkpoint would have the name {name!r}")
        arrays[name] = array
        return {kind: name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, dict):
        if not all(isinstance(key, (str, int)) for key in value):
            raise TypeError(f"a checkpoint's dictionary keys are strings or integers, got {list(value)} in {name!r}")
        return {"dict": [[key, _pack(item, f"{name}/{key}", arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(item, f"{name}/{index}", arrays) for index, item in enumerate(value)]}
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__} (in {name!r})")


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    return UNPACK[kind](content, arrays)


UNPACK = {
    "tensor": lambda name, arrays: Tensor(arrays[name]),
    "array": lambda name, arrays: arrays[name],
    "dict": lambda items, arrays: {key: _unpack(item, arrays) for key, item in items},
    "list": lambda items, arrays: [_unpack(item, arrays) for item in items],
    "tuple": lambda items, arrays: tuple(_unpack(item, arrays) for item in items),
}
