"""A CUDA backend on NumPy memory for every test that asks for ``cuda``."""

from __future__ import annotations

import pytest

from tests.library.support.cuda import fakecupy, fakeraw


@pytest.fixture(scope="module")
def cuda():
    """The CUDA backend on the stand-in for CuPy."""
    if fakeraw.COMPILER is None:
        pytest.skip("g++ compiles the CUDA kernels for the CPU, and there is none")
    with fakecupy.installed() as backend:
        yield backend
