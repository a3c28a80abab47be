"""NumPy's arrays in a pickle: no strange state, and bytes that fit their shape."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest

import minicnn
from tests.library.support.hostile import FLOAT64, HUGE, NUMPY, refused_body
from tests.library.support.pickle_bytes import (
    call,
    name,
    sequence,
    sides,
    text,
    write_zip,
)


@pytest.mark.parametrize(
    "state",
    [
        sequence(b"K\x01", sides((2,)), FLOAT64, b"\x89", b"C\x08abcdefgh"),
        sequence(b"K\x01", sides((-1,)), FLOAT64, b"\x89", b"C\x08abcdefgh"),
        sequence(b"K\x01", sides((HUGE, 4)), FLOAT64, b"\x89", b"C\x00"),
        sequence(b"K\x01", sides((0, HUGE, HUGE)), FLOAT64, b"\x89", b"C\x00"),
        sequence(b"K\x01", sides((1,)), FLOAT64, b"]", b"C\x08abcdefgh"),
        sequence(b"K\x01", sides((1,)), FLOAT64, b"\x89", b"](" + b"N" + b"e"),
        sequence(b"K\x01", sides((1,)), text("O"), b"\x89", b"C\x08abcdefgh"),
        sequence(sides((1,)), FLOAT64, b"\x89", b"C\x08abcdefgh"),
        b"}",
        b"N",
    ],
)
def test_numpy_arrays_get_no_strange_state(tmp_path: Path, state: bytes) -> None:
    empty = call(name(NUMPY, "_reconstruct"), name("numpy", "ndarray"), sides((0,)), b"C\x01b")
    good = sequence(b"K\x01", sides((1,)), FLOAT64, b"\x89", b"C\x08" + struct.pack("<d", 2.5))
    assert minicnn.load(write_zip(tmp_path / "w.pth", empty + good + b"b")).tolist() == [2.5]
    refused_body(tmp_path, empty + state + b"b")


def test_numpy_bytes_must_fit_their_shape(tmp_path: Path) -> None:
    for data in (b"C\x00", b"C\x04abcd", b"C\x10abcdefghabcdefgh"):
        refused_body(tmp_path, call(name(NUMPY, "scalar"), FLOAT64, data), "bytes, dtype and shape do not agree")


def test_a_strange_escape_is_no_other_error(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python warns about it, and warnings may be errors
        refused_body(tmp_path, b"S'\\o'\n", "truncated or damaged pickle")
