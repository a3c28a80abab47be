"""Files made by an attacker, and how they are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.errors import FileFormatError
from tests.library.support.pickle_bytes import (
    call,
    name,
    text,
    write_zip,
)

RAW = np.arange(6, dtype="<f4").tobytes()

RECORDS = {"data/0": RAW}

NUMPY = "numpy._core.multiarray"

FLOAT64 = call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88")


def refused(path: Path, message: str | None = None) -> None:
    """``load`` raises one line that begins with the file's name and matches ``message``."""
    with pytest.raises(FileFormatError, match=message) as caught:
        minicnn.load(path)
    shown = str(caught.value)
    assert shown.startswith(f"{path}: ") and shown.isprintable() and len(shown) < 1000


def refused_body(tmp_path: Path, body: bytes, message: str | None = None) -> None:
    """The same for a pickle in a zip archive beside one storage of six float32."""
    refused(write_zip(tmp_path / "hostile.pth", body, RECORDS), message)


HUGE = 1 << 62
