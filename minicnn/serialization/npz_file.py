"""NumPy's ``.npz``: a zip archive of one ``KEY.npy`` per tensor, and JSON metadata as its comment."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import FileFormatError
from .decoding import decode, itemsize, reshaped
from .source import Archive, shown

SUFFIX = ".npy"
MAX_HEADER_BYTES = 16_384  # NumPy itself accepts 10 000
MAX_COMMENT_BYTES = 65_535
HEADERS: dict[tuple[int, int], Callable[[Any], tuple[tuple[int, ...], bool, np.dtype]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def is_npz(archive: Archive) -> bool:
    """Whether all records are arrays."""
    return all(name.endswith(SUFFIX) for name in archive.entries)


def read_npz(archive: Archive, wrap: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """All arrays by key. Those that were not compressed are mapped; all are compared with their checksums.

    Raises:
        FileFormatError: for arrays of anything but numbers, and for damage.
    """
    return {
        name.removesuffix(SUFFIX): wrap(_read_array(archive.read(name, check=True), shown(name)))
        for name in archive.entries
    }


def _read_array(data: np.ndarray, name: str) -> np.ndarray:
    stream = io.BytesIO(data[:MAX_HEADER_BYTES].tobytes())
    try:
        shape, fortran_order, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError, SyntaxError, RecursionError, TypeError, tokenize.TokenError) as error:
        raise FileFormatError(f"the array {name} has no valid .npy header") from error
    if dtype.kind not in "biuf":
        raise FileFormatError(
            f"the array {name} holds {dtype.name if dtype.kind != 'O' else 'Python objects'}, not numbers"
        )
    if math.prod(shape) * itemsize(dtype.name) != data.size - stream.tell():
        raise FileFormatError(f"the array {name} has {data.size - stream.tell()} bytes, which do not fit its shape")
    elements = decode(data[stream.tell() :], dtype.name, "big" if dtype.str[0] == ">" else "little")
    return reshaped(elements, shape[::-1]).T if fortran_order else reshaped(elements, shape)


def read_npz_metadata(archive: Archive) -> dict[str, str]:
    """The metadata that ``write_npz`` stored; empty if there are none."""
    try:
        metadata = json.loads(archive.comment or b"{}")
    except (ValueError, RecursionError):
        return {}  # another program's comment
    is_ours = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    return metadata if is_ours else {}


def write_npz(arrays: Mapping[str, np.ndarray], path: str, metadata: Mapping[str, str]) -> None:
    """Write the file. Equal arrays give equal bytes: no time of writing is stored. bfloat16 is written as float32.

    Raises:
        ValueError: for more metadata than a zip comment can hold.
    """
    comment = json.dumps(dict(metadata)).encode() if metadata else b""
    if len(comment) > MAX_COMMENT_BYTES:
        raise ValueError(f"the metadata take {len(comment)} bytes, and .npz has room for {MAX_COMMENT_BYTES}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = comment
        for key, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{key}{SUFFIX}"), "w", force_zip64=True) as stream:
                known = array.astype("float32") if array.dtype.name == "bfloat16" else array
                np.lib.format.write_array(stream, known, allow_pickle=False)
