"""Numbers of 16 bits in the kernels: converted as CUDA converts them, and compiled for real GPUs as CuPy compiles."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cuda import compiler
from tests.library.support.cuda import fakeraw
from tests.library.support.cuda.fakecupy import FakeArray
from tests.library.support.cuda.nvrtc import Nvrtc

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = ["float16", "bfloat16"]
needs_compiler = pytest.mark.skipif(fakeraw.COMPILER is None, reason="g++ compiles the CUDA kernels for the CPU")
CONVERT = """
extern "C" __global__ void widen(INDEX count, const STORE* x, REAL* y) { FOR_EACH(i, count) y[i] = x[i]; }
extern "C" __global__ void narrow(INDEX count, const REAL* x, STORE* y) { FOR_EACH(i, count) y[i] = x[i]; }
"""


def converted(name: str, dtype: str, x: np.ndarray, to: str) -> np.ndarray:
    code = (compiler.KERNELS / "common.cuh").read_text() + CONVERT
    module = fakeraw.RawModule(code=code, options=compiler.VARIANTS[dtype][0])
    y = FakeArray(np.empty(x.shape, to))
    module.get_function(name)((1,), (256,), (np.int32(x.size), FakeArray(x), y))
    return y.get()


def assert_equal_with_signs(got: np.ndarray, want: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        got, want = got.astype(np.float32), want.astype(np.float32)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(want)[number])


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_is_widened_exactly(dtype):
    x = np.arange(2**16, dtype=np.uint16).view(dtype)
    assert_equal_with_signs(converted("widen", dtype, x, "float32"), x.astype(np.float32))


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@given(words=st.lists(st.integers(0, 2**32 - 1), max_size=64))
def test_numbers_are_rounded_to_the_nearest(dtype, words):
    """Also next to every number of 16 bits and to the middle between it and the next."""
    with np.errstate(all="ignore"):
        few = np.arange(2**16, dtype=np.uint16).view(dtype).astype(np.float32)
        middles = few[:-1] / 2 + few[1:] / 2
        around = [few, middles, *(np.nextafter(middles, np.float32(end)) for end in (np.inf, -np.inf))]
        x = np.concatenate([*around, np.array(words, np.uint32).view(np.float32)])
        assert_equal_with_signs(converted("narrow", dtype, x, dtype), x.astype(dtype))


@needs_compiler
@pytest.mark.parametrize("line", ["y[i] = x[i] + 1.0f", "y[i] = x[i] * x[i]", "y[i] += 1.0f", "y[i] = x[i] > x[0]"])
def test_arithmetic_in_16_bits_is_refused(line, capfd):
    code = f'extern "C" __global__ void f(INDEX count, const STORE* x, STORE* y) {{ FOR_EACH(i, count) {line}; }}\n'
    code = (compiler.KERNELS / "common.cuh").read_text() + code
    with pytest.raises(subprocess.CalledProcessError):
        fakeraw.RawModule(code=code, options=("-DHALF",)).get_function("f")
    assert "error" in capfd.readouterr().err


@pytest.mark.parametrize("architecture", ["sm_80", pytest.param("sm_90", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nvrtc_finds_the_headers_as_cupy_calls_it(dtype, architecture):
    core = pytest.importorskip("cupy._core.core")
    options = core.assemble_cupy_compiler_options(compiler.VARIANTS[dtype][0])
    library = next((one for one in Nvrtc.installed() if architecture in one.architectures()), None)
    if library is None:
        pytest.skip(f"no NVRTC that compiles for {architecture}")
    for path in compiler.KERNELS.glob("*.cu"):
        assert library.compile(compiler.source(path.stem), (*options, "-ftz=true", f"-arch={architecture}"))
