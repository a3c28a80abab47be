"""Batch norm joined with its neighbours, against plain NumPy in float64 and against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import fused, memory
from minicnn.backend.reference import fused as reference
from minicnn.backend.reference.fused import Line
from tests.library.support.layouts import CHANNELS, DTYPES, EPS, LAYOUTS, SIDES, close, laid_out, placed
from tests.library.support.slices import Part
from tests.library.support.strategies import SEEDS, normal

ACTIVATIONS = st.sampled_from([None, "relu", "silu"])


def wide(*arrays: Any) -> list[Any]:
    return [None if array is None else array.astype(np.float64) for array in arrays]


class Problem:
    """x, residual and dy of one shape, weight and bias; dy is 0 where a ReLU is too near to its kink for rounding."""

    def __init__(self, draw: Any) -> None:
        channels, sides, self.dtype, seed = draw(CHANNELS), draw(SIDES), draw(DTYPES), draw(SEEDS)
        shape = self.shape = (draw(st.integers(1, 3)), channels, *sides)
        self.weight, self.bias = (
            normal((channels,), seed + k).astype(self.dtype) if draw(st.booleans()) else None for k in (1, 2)
        )
        x, residual, dy = (normal(shape, seed + k).astype(self.dtype) for k in (3, 4, 5))
        layouts = [draw(st.sampled_from(("part", "part", *LAYOUTS[:-1]))) for _ in range(3)]
        self.activation = draw(ACTIVATIONS)
        self.residual = placed(residual, layouts[1]) if draw(st.booleans()) else None
        self.x = placed(x, layouts[0])
        _, self.mean, _, self.inv_std = reference.norm(x, self.weight, self.bias, EPS)
        self.mean, self.inv_std = self.mean.astype(self.dtype), self.inv_std.astype(self.dtype)
        before = reference.fixed_norm(*wide(x), self.wide_line, *wide(self.residual))
        dy[np.abs(before) < 1e-3] = 0
        self.dy = placed(dy, layouts[2])
        self.size = (
            np.abs(dy).max() * np.abs(self.inv_std).max() * (1 if self.weight is None else np.abs(self.weight).max())
        )

    @property
    def line(self) -> Line:
        return Line(self.mean, self.inv_std, self.weight, self.bias)

    @property
    def wide_line(self) -> Line:
        return Line(*wide(*self.line))

    def copies(self) -> list[np.ndarray]:
        return [array.copy() for array in (self.x, self.dy, self.residual) if array is not None]


@st.composite
def problems(draw: Any) -> Problem:
    return Problem(draw)


@given(problems())
def test_forward(problem: Problem) -> None:
    p, before = problem, problem.copies()
    with memory.guarded():
        got = fused.norm(p.x, p.weight, p.bias, EPS, p.residual, p.activation)
        fixed = fused.fixed_norm(p.x, p.line, p.residual, p.activation)
    expected = reference.norm(*wide(p.x, p.weight, p.bias), EPS, *wide(p.residual), p.activation)
    for one, want in zip(got, expected, strict=True):
        close(one, want, p.dtype, 10, 1)
    close(fixed, reference.fixed_norm(*wide(p.x), p.wide_line, *wide(p.residual), p.activation), p.dtype)
    for array, copy in zip(problem.copies(), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(problems(), st.sampled_from(["new", "added", "fixed"]), st.sampled_from(("part", *LAYOUTS)))
def test_backward(problem: Problem, how: str, layout: str) -> None:
    p = problem
    got_of, want_of = (
        getattr(module, "fixed_norm_grad" if how == "fixed" else "norm_grad") for module in (fused, reference)
    )
    want = want_of(*wide(p.dy, p.x), p.wide_line, *wide(p.residual), p.activation)
    given_before = p.copies()
    numbers = normal(p.shape, 9).astype(p.dtype)
    before = Part(numbers, (2, 7)) if layout == "part" else None
    earlier = laid_out(numbers, layout) if before is None else before.images
    sum_before = earlier.copy()
    with memory.guarded():
        into = {"before": earlier} if how == "added" else {}
        got = got_of(p.dy, p.x, p.line, p.residual, p.activation, **into)
    close(got.x, want.x + (sum_before if how == "added" else 0), p.dtype, 10, p.size)
    for one, expected in zip(got[1:3], want[1:3], strict=True):
        close(one, expected, p.dtype, 10, p.size * p.x.size / p.shape[1] / max(1e-3, np.abs(p.inv_std).max()))
    if p.residual is None:
        assert got.residual is None
    else:
        close(got.residual, want.residual, p.dtype, 10)
    if before is not None:
        assert got.x is earlier or how != "added"
        before.check()
    for array, copy in zip(p.copies(), given_before, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(problems())
def test_relu_and_bias(problem: Problem) -> None:
    y, dy = problem.x, problem.dy
    before = y.copy(), dy.copy()
    dx, sums = reference.relu_bias_grad(dy, y)
    with memory.guarded():
        got, got_sums = fused.relu_bias_grad(dy, y)
    np.testing.assert_array_equal(got, dx)
    close(got_sums, sums, problem.dtype, 10, np.abs(dy).max() * y.size / y.shape[1])
    np.testing.assert_array_equal(y, before[0])
    assert got is not dy
    np.testing.assert_array_equal(dy, before[1])


@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_gradient_is_that_of_the_function(activation: str | None, fixed: bool) -> None:
    """Central differences of the forward pass, in float64."""
    x, residual, dy = (laid_out(normal((2, 5, 3, 4), k), "channels last") for k in range(3))
    weight, bias = normal((5,), 3), normal((5,), 4)
    _, mean, _, inv_std = fused.norm(x, weight, bias, EPS)
    line = Line(mean, inv_std, weight, bias)

    def loss() -> float:
        if fixed:
            return float((fused.fixed_norm(x, line, residual, activation) * dy).sum())
        return float((fused.norm(x, weight, bias, EPS, residual, activation).y * dy).sum())

    grads = (fused.fixed_norm_grad if fixed else fused.norm_grad)(dy, x, line, residual, activation)
    for array, grad in zip((x, weight, bias, residual), grads, strict=True):
        for index in list(np.ndindex(array.shape))[::7]:
            before, step = array[index], 1e-6
            array[index] = before + step
            above = loss()
            array[index] = before - step
            slope = (above - loss()) / (2 * step)
            array[index] = before
            assert abs(slope - grad[index]) < 1e-6 * max(1, abs(slope))


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e3), (np.float32, 1e6), (np.float64, 1e8)])
def test_a_mean_far_from_zero_costs_no_digits_of_the_variance(dtype: Any, far: float) -> None:
    x = laid_out((normal((4, 5, 16, 16), 1) + far).astype(dtype), "channels last")
    mean, variance, _ = fused.statistics(x, 0.0)
    close(mean, x.mean(axis=(0, 2, 3), dtype=np.longdouble).astype(np.float64), dtype)
    centred = x - x.mean(axis=(0, 2, 3), keepdims=True, dtype=np.longdouble)
    close(variance, (centred**2).mean(axis=(0, 2, 3)).astype(np.float64), dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_what_is_not_finite_stays_in_its_channel(bad: float, activation: str | None) -> None:
    x, dy = (normal((2, 3, 4, 5), k).astype(np.float32) for k in range(2))
    x[1, 1, 2, 3] = bad
    with np.errstate(invalid="ignore"):
        got, want = (module.norm(x, None, None, EPS, None, activation) for module in (fused, reference))
        line = Line(np.zeros(3, np.float32), np.ones(3, np.float32))
        grads, wanted = (module.norm_grad(dy, x, line, None, activation) for module in (fused, reference))
    for one, other in zip((*got, *grads[:3]), (*want, *wanted[:3]), strict=True):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
        np.testing.assert_allclose(one[np.isfinite(other)], other[np.isfinite(other)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 5)])
def test_what_the_kernels_do_not_take_goes_to_numpy(shape: tuple[int, ...], dtype: Any) -> None:
    x, residual = normal(shape, 0).astype(np.float32), normal(shape, 1).astype(dtype)
    line = Line(np.zeros(3, np.float32), np.ones(3, np.float32))
    got, want = (module.fixed_norm(x, line, residual, "silu") for module in (fused, reference))
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    got, want = (module.fixed_norm_grad(x, x, line, residual, "relu") for module in (fused, reference))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)
