"""The CUDA C, compiled by g++ and run on the CPU, beside the reference backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.reference import ReferenceBackend
from minicnn.backend.reference.fused import Line

REFERENCE = ReferenceBackend()

TOLERANCE = {"float32": (2e-5, 2e-5), "float64": (1e-12, 1e-12)}


def compare(cuda: Any, primitive: str, *args: Any) -> None:
    """A primitive gives the same on the stand-in as in the reference backend."""
    agree(cuda, getattr(cuda, primitive), getattr(REFERENCE, primitive), *args)


def compare_fused(cuda: Any, kernel: str, *args: Any) -> None:
    """And so does a fused kernel."""
    agree(cuda, cuda.fused[kernel], REFERENCE.fused[kernel], *args)


def agree(cuda: Any, compute: Callable[..., Any], reference: Callable[..., Any], *args: Any) -> None:
    with np.errstate(all="ignore"):
        expected = reference(*args)

    def put(x: Any) -> Any:
        if isinstance(x, Line):
            return Line(*map(put, x))
        return cuda.to_device(x) if isinstance(x, np.ndarray) else x

    found = compute(*map(put, args))
    pairs = [(found, expected)] if not isinstance(expected, tuple) else zip(found, expected, strict=True)
    for got, want in pairs:
        if want is None:
            assert got is None
            continue
        got = cuda.to_host(got)
        assert got.shape == want.shape and got.dtype == want.dtype
        rtol, atol = TOLERANCE.get(str(want.dtype), (0, 0))
        np.testing.assert_allclose(got, want, rtol, atol * np.abs(want).max(initial=1, where=np.isfinite(want)))


def compare_sixteen_bits(cuda: Any, dtype: Any, primitive: str, *args: Any, roundings: int = 1) -> None:
    """Images of 16 bits: as in float64 and then rounded, or rounded several times. What there is per channel stays
    float32.
    """

    def changed(change: Callable[[Any], Any], args: Any) -> list[Any]:
        return [
            Line(*changed(change, a)) if isinstance(a, Line) else change(a) if isinstance(a, np.ndarray) else a
            for a in args
        ]

    def narrow(a: Any) -> Any:
        return a if a.dtype.kind == "i" else a.astype(dtype if a.ndim > 1 else np.float32)

    def compute(backend: Any, args: Any) -> tuple[Any, ...]:
        found = (backend.fused.get(primitive) or getattr(backend, primitive))(*args)
        return found if isinstance(found, tuple) else (found,)

    given = changed(narrow, args)
    expected = compute(REFERENCE, changed(lambda a: a if a.dtype.kind == "i" else a.astype("float64"), given))
    for got, want in zip(compute(cuda, changed(cuda.to_device, given)), expected, strict=True):
        if want is None:
            assert got is None
            continue
        got = cuda.to_host(got)
        assert got.dtype == narrow(want).dtype
        once = roundings * (2.0 ** -(11 if dtype == np.float16 else 8) if got.dtype == dtype else 1e-5)
        np.testing.assert_allclose(got.astype(want.dtype), want, once, once * abs(want).max())


def compare_batch_norm(cuda: Any, x: Any, dy: Any, weight: Any = None, bias: Any = None) -> None:
    """All of batch norm: by itself, and with and without a residual and an activation, there and back."""
    compare(cuda, "batch_norm", x, weight, bias, 1e-5)
    _, mean, _, inv_std = REFERENCE.batch_norm(x, weight, bias, 1e-5)
    compare(cuda, "batch_norm_grad", dy, x, weight, mean, inv_std)
    compare(cuda, "scale_and_shift", x, inv_std, mean)
    line = Line(mean, inv_std, weight, bias)
    for residual in (None, dy[::-1].copy()):
        before = REFERENCE.fused["fixed_norm"](x, line, residual)
        away = np.where(np.abs(before) < 1e-3, 0, dy).astype(dy.dtype)  # from the ReLU's kink
        for activation in (None, "relu", "silu"):
            compare_fused(cuda, "norm", x, weight, bias, 1e-5, residual, activation)
            compare_fused(cuda, "norm_grad", away, x, line, residual, activation)
            compare_fused(cuda, "fixed_norm", x, line, residual, activation)
            compare_fused(cuda, "fixed_norm_grad", away, x, line, residual, activation)


DTYPES = st.sampled_from(["float32", "float64"])

SIXTEEN_BITS = ["float16", "bfloat16"]


def sixteen_bits(name: str) -> Any:
    """The dtype of that name."""
    return np.dtype(name if name == "float16" else pytest.importorskip("ml_dtypes").bfloat16)


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def windows(draw: Any, padding: int = 3) -> tuple[Window, tuple[int, int]]:
    """A window, with another padding on every side, and an image it fits into."""
    sides = st.tuples(st.integers(0, padding), st.integers(0, padding))
    window = Window(draw(PAIRS), draw(PAIRS), (draw(sides), draw(sides)), draw(PAIRS))
    size = tuple(
        draw(st.integers(max(1, window.extent(axis) - sum(window.padding[axis])), 7 + window.extent(axis)))
        for axis in (0, 1)
    )
    return window, size  # type: ignore[return-value]
