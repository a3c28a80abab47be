"""The ``.safetensors`` format: eight bytes of length, a JSON header, then the tensors' bytes without gaps.

The safetensors library validates and writes; the bytes are mapped here, because the library knows no bfloat16
in NumPy and copies every tensor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicnn.errors import FileFormatError

from .decoding import decode, reshaped
from .source import Source, shown

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 1 << 32  # to tell the format from others; the library's own limit is lower
METADATA = "__metadata__"
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def is_safetensors(source: Source) -> bool:
    """Whether the file begins like this format: a plausible length and an opening brace."""
    head = source.head(LENGTH_BYTES + 1)
    return head[LENGTH_BYTES:] == b"{" and int.from_bytes(head[:LENGTH_BYTES], "little") < MAX_HEADER_BYTES


def read_safetensors(source: Source, wrap: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """All tensors by key, mapped.

    Raises:
        FileFormatError: if the library refuses the header, and for dtypes that NumPy cannot hold.
    """
    header, start = _read_header(source)
    tensors = {}
    for key, entry in header.items():
        if entry["dtype"] not in DTYPES:
            supported = ", ".join(DTYPES)
            raise FileFormatError(f"the tensor {shown(key)} is {shown(entry['dtype'])}, supported are {supported}")
        begin, end = entry["data_offsets"]
        elements = decode(source.data[start + begin : start + end], DTYPES[entry["dtype"]])
        tensors[key] = wrap(reshaped(elements, entry["shape"]))
    return tensors


def read_safetensors_metadata(source: Source) -> dict[str, str]:
    """The metadata of the header; empty if there are none."""
    import safetensors

    _read_header(source)
    with safetensors.safe_open(source.path, framework="np") as file:
        return dict(file.metadata() or {})


def _read_header(source: Source) -> tuple[dict[str, Any], int]:
    """Each tensor's dtype, shape and place, validated by the library; and where the bytes begin."""
    import safetensors

    try:
        with safetensors.safe_open(source.path, framework="np") as file:
            keys = set(file.keys())
    except safetensors.SafetensorError as error:
        raise FileFormatError(f"truncated or damaged safetensors file ({shown(error, 200)})") from error
    start = LENGTH_BYTES + int.from_bytes(source.head(LENGTH_BYTES), "little")
    header = json.loads(source.data[LENGTH_BYTES:start].tobytes())
    header.pop(METADATA, None)
    if set(header) != keys:
        raise FileFormatError("damaged safetensors file: its header is ambiguous")
    return header, start


def write_safetensors(arrays: Mapping[str, np.ndarray], path: str, metadata: Mapping[str, str]) -> None:
    """Write the file.

    Raises:
        ValueError: for the one key that the format reserves.
    """
    import safetensors.numpy

    if METADATA in arrays:
        raise ValueError(f"the key {METADATA!r} is reserved in .safetensors files")
    safetensors.numpy.save_file(dict(arrays), path, dict(metadata) or None)
