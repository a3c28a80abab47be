"""``save``: tensors by name into a ``.safetensors`` or ``.npz`` file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..paths import expanded
from ..tensors import Tensor
from .atomic import replacing
from .decoding import STORED_AS
from .npz_file import write_npz
from .safetensors_file import write_safetensors

WRITERS: dict[str, Callable[[Mapping[str, np.ndarray], str, Mapping[str, str]], None]] = {
    ".safetensors": write_safetensors,
    ".npz": write_npz,
}
MAX_KEY_BYTES = 60_000  # the length of a name in a zip archive has 16 bits


def save(state: Mapping[str, Any], path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors by name, such as ``model.state_dict()``, so that ``load`` returns the same.

    The file is written next to ``path`` and moved there when it is complete: after a crash, a full disk or an error
    the old file is still there. The new file gets the permissions of the old one.

    Args:
        state: ``{key: Tensor or array}``; keys are kept as they are, with dots and slashes.
        path: ends in ``.safetensors`` or ``.npz``.
        metadata: text to store with the tensors, for ``load_metadata``.

    Raises:
        TypeError: for anything but a mapping from text to tensors or arrays of numbers, or metadata that are not text.
        ValueError: for another suffix, or a key that the format cannot hold.
        OSError: if the file cannot be written.
    """
    path = expanded(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in WRITERS:
        raise ValueError(f"cannot save {path!r}: expected a name that ends in {' or '.join(WRITERS)}")
    if not isinstance(state, Mapping):
        advice = "; pass its .state_dict()" if hasattr(state, "state_dict") else ""
        raise TypeError(f"expected a dictionary of tensors to save, got {type(state).__name__}{advice}")
    metadata = metadata or {}
    if not all(isinstance(text, str) for item in metadata.items() for text in item):
        raise TypeError("metadata must map text to text")
    arrays = {_checked_key(key): _as_array(key, value) for key, value in state.items()}
    with replacing(path) as temporary:
        WRITERS[suffix](arrays, temporary, metadata)


def _checked_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"expected text as keys, got {key!r}, a {type(key).__name__}")
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the key {key!r} is not valid Unicode text") from None
    if "\0" in key or len(encoded) > MAX_KEY_BYTES:
        raise ValueError(f"a key must have no NUL and at most {MAX_KEY_BYTES} bytes, got {key[:40]!r}")
    return key


def _as_array(key: str, value: Any) -> np.ndarray:
    """The value as a contiguous array in host memory, copied only if it must be."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"expected a tensor or array under {key!r}, got {type(value).__name__}")
    if value.dtype.name not in STORED_AS:
        raise TypeError(f"cannot save {key!r}: its dtype is {value.dtype}, and a file holds {', '.join(STORED_AS)}")
    return np.asarray(value, order="C")
