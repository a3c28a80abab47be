"""Arrays of every kind to save, and files of them written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minicnn

SUFFIXES = (".npz", ".safetensors")

DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")


@st.composite
def arrays(draw: Any) -> np.ndarray:
    """Any bits of any supported dtype, in any order of axes and bytes; also empty, zero-dimensional,
    strided."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bits = rng.integers(0, 256, int(np.prod(shape)) * dtype.itemsize, np.uint8)
    array = (bits % 2 if dtype.kind == "b" else bits).view(dtype).reshape(shape)
    array = array.astype(array.dtype.newbyteorder(draw(st.sampled_from("<>"))))
    array = np.transpose(array, draw(st.permutations(range(array.ndim))))
    return array[..., ::2] if array.ndim and draw(st.booleans()) else array


def assert_same_bits(got: minicnn.Tensor, expected: np.ndarray) -> None:
    """Equal shape, dtype and bits, also of NaN; float16 has become float32."""
    if expected.dtype.kind == "f" and expected.dtype.itemsize == 2:
        expected = expected.astype("f4")
    assert isinstance(got, minicnn.Tensor)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype.newbyteorder("=")
    assert got.dtype.isnative
    assert got.numpy().tobytes() == expected.astype(got.dtype).tobytes()


def write_safetensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]], header: Any = None) -> Path:
    """A ``.safetensors`` file by hand: key -> dtype, shape, bytes (none: the file is to be extended)."""
    begin, entries = 0, {}
    for key, (dtype, shape, data) in tensors.items():
        end = begin + (len(data) or 4 * int(np.prod(shape)))
        entries[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    encoded = header if header is not None else json.dumps(entries).encode()
    encoded += b" " * (-len(encoded) % 8)  # aligned, as the library writes them
    raw = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + raw)
    return path
