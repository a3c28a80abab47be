"""A training's whole state in one file: written whole or not at all, and checked when read back.

The file is a plain ``.npz`` archive: every array under its own name (``state/model/conv1.weight``), and ``meta``, the
JSON text of everything else, in which each array is represented by its name. Nothing in it can run code, and
NumPy alone can read it. The archive's checksums tell a damaged file from a good one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..serialization import load, save
from ..tensors import Tensor

FORMAT = "minicnn checkpoint 1"
META = "meta"
MAX_META_BYTES = 1 << 26  # it has some hundred per epoch
SCALARS = (str, int, float, bool, type(None))


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write ``state`` atomically: after a crash at any moment ``path`` is the old checkpoint or the new one.

    Args:
        state: nested dictionaries (keys: strings or integers), lists and tuples of numbers, strings, booleans,
            None, arrays and tensors.

    Raises:
        TypeError: for anything else in it.
        ValueError: for a path that does not end in ``.npz``.
    """
    arrays: dict[str, np.ndarray] = {}
    meta = json.dumps({"format": FORMAT, "state": _pack(state, "state", arrays)})
    save({**arrays, META: np.frombuffer(meta.encode(), np.uint8)}, path)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read back what :func:`save_checkpoint` wrote: equal bit for bit (float16 as float32), tensors in host memory.

    Raises:
        FileFormatError: if the file is damaged, refused because it would inflate to far more than its size, or not a
            checkpoint of this kind.
        FileNotFoundError: if there is no such file.
    """
    content = load(path, mmap=False)
    try:
        arrays = {name: tensor.numpy() for name, tensor in content.items()}
        packed = arrays.pop(META)
        if packed.size > MAX_META_BYTES:
            raise FileFormatError(f"{path}: refused: its description takes more than {MAX_META_BYTES >> 20} MB")
        meta = json.loads(packed.tobytes())
        if meta["format"] != FORMAT:
            raise FileFormatError(f"{path}: a checkpoint of another format: {meta['format']!r}, not {FORMAT!r}")
        return _unpack(meta["state"], arrays)
    except FileFormatError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{path}: not a checkpoint of minicnn's training") from error


# In the JSON text every container and array is a one-key dictionary that names its kind, so that integer keys and
# tuples, which JSON does not have, are read back as what they were.


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
