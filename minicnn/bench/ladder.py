"""One convolution, computed in several ways: what each rung of the ladder gains, and what memory it takes.

loops -> im2col -> im2col, one image at a time -> direct -> Winograd -> GPU. It is checked that all give the same
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from .. import backend, cuda
from ..backend import cpu
from ..backend.base import Window
from .measuring import extra_bytes, median_time

LOOP_MULTIPLY_ADDS = 500_000  # loops in Python need a fraction of a second for them
TOLERANCE = 1e-4  # of the largest number
TF32_TOLERANCE = 5e-3  # factors of 10 bits


class Problem(NamedTuple):
    """A 3x3 convolution with padding 1: as many filters as channels, on a batch of square images."""

    batch: int = 8
    channels: int = 64
    size: int = 56

    @property
    def multiply_adds(self) -> int:
        """For the whole batch; multiplications by the zeros of the padding are counted too."""
        return self.batch * self.size**2 * self.channels**2 * 9

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Random images (N, C, H, W) and filters (C, C, 3, 3) in float32."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.channels, self.size, self.size), dtype=np.float32)
        return x, rng.standard_normal((self.channels, self.channels, 3, 3), dtype=np.float32)


WINDOW = Window((3, 3), padding=((1, 1), (1, 1)))


class Rung(NamedTuple):
    """One way of computing, as measured. ``seconds`` is None if it cannot run here, and ``why`` says why."""

    name: str
    why: str
    seconds: float | None = None
    extra_bytes: int | None = None


def climb(problem: Problem, threads: int, seconds: float = 0.5) -> list[Rung]:
    """Measure all rungs, from the bottom up.

    Args:
        problem: what to compute.
        threads: for NumPy's matrix product; the compiled kernels use as many as Numba is set to.
        seconds: for each rung, after a run that warms up.

    Raises ArithmeticError if two rungs disagree.
    """
    x, weight = problem.arrays()
    reference, direct = backend.load("reference"), backend.load("cpu")
    expected = reference.conv2d(x, weight, WINDOW, 1)
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    rungs = [_loops(problem, x, weight, expected)]
    with threadpool_limits(threads, user_api="blas"):
        rungs += [
            _rung(
                "im2col",
                "every window copied into a column: one matrix product, nine times the images in memory",
                lambda: reference.conv2d(x, weight, WINDOW, 1),
                expected,
                seconds,
            ),
            _rung(
                "im2col, blocked",
                "the same, one image at a time: the columns are small enough to stay in the cache",
                lambda: _image_by_image(reference, x, weight),
                expected,
                seconds,
            ),
        ]
    with threadpool_limits(1, user_api="blas"):  # its idle threads would keep cores busy
        compute = partial(direct.conv2d, channels_last, weight, WINDOW, 1)
        before, cpu.allow_winograd = cpu.allow_winograd, False
        try:
            why = "no columns: sums stay in registers while the kernel walks over channels-last images"
            rungs.append(_rung("direct", why, compute, expected, seconds))
        finally:
            cpu.allow_winograd = before
        why = "16 multiplications instead of 36, so the speed may seem higher than the peak"
        rungs.append(_rung("Winograd", why, compute, expected, seconds))
    return [*rungs, *_gpu(x, weight, expected, seconds)]


def conv2d_loops(x: list[Any], weight: list[Any], positions: list[tuple[int, int]]) -> list[list[float]]:
    """The definition, in plain Python: y[k, (p, q)] = sum_cij weight[k, c, i, j] * x[c, p + i, q + j].

    Args:
        x: one padded image, (C, H + 2, W + 2).
        weight: (K, C, 3, 3).
        positions: the output pixels (p, q) that are wanted.

    Returns:
        (K, positions).
    """
    y = [[0.0] * len(positions) for _ in weight]
    for k, kernel in enumerate(weight):
        for n, (p, q) in enumerate(positions):
            total = 0.0
            for c, plane in enumerate(x):
                for i in range(3):
                    for j in range(3):
                        total += kernel[c][i][j] * plane[p + i][q + j]
            y[k][n] = total
    return y


def _loops(problem: Problem, x: np.ndarray, weight: np.ndarray, expected: np.ndarray) -> Rung:
    """Time only some pixels of the first image, and scale the time to the whole problem."""
    pixels = problem.size**2
    count = max(1, min(pixels, LOOP_MULTIPLY_ADDS // (9 * problem.channels**2)))
    positions = [divmod(n, problem.size) for n in range(count)]
    padded, filters = np.pad(x[0], ((0, 0), (1, 1), (1, 1))).tolist(), weight.tolist()
    results = []
    elapsed = median_time(lambda: results.append(conv2d_loops(padded, filters, positions)), 0)
    _check("loops", np.array(results[0]), expected[0].reshape(problem.channels, pixels)[:, :count])
    why = f"six nested loops in Python, over {count:,} of {problem.batch * pixels:,} output pixels, scaled up"
    return Rung("loops", why, elapsed * problem.batch * pixels / count)


def _image_by_image(reference: Any, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    y = np.empty((x.shape[0], weight.shape[0], *x.shape[2:]), x.dtype)
    for n in range(len(x)):
        y[n : n + 1] = reference.conv2d(x[n : n + 1], weight, WINDOW, 1)
    return y


def _rung(name: str, why: str, run: Callable[[], np.ndarray], expected: np.ndarray, seconds: float) -> Rung:
    _check(name, run(), expected)  # also warms up
    more = extra_bytes(run)
    extra = None if more is None else max(0, more - expected.nbytes)
    return Rung(name, why, median_time(run, seconds), extra)


def _gpu(x: np.ndarray, weight: np.ndarray, expected: np.ndarray, seconds: float) -> Iterator[Rung]:
    """In float32 as the other rungs, and with factors rounded to TensorFloat-32, which is what training uses."""
    if not cuda.is_available():
        yield Rung("GPU", "no usable GPU here")
        return
    gpu, switches = backend.load("cuda"), backend.cuda
    images, filters = gpu.to_device(x), gpu.to_device(weight)

    def run() -> None:
        gpu.conv2d(images, filters, WINDOW, 1)
        cuda.synchronize()

    before = switches.allow_tf32_convolutions
    try:
        for switches.allow_tf32_convolutions, name, why, tolerance in (
            (False, "GPU", "thousands of threads; images and filters are there already", TOLERANCE),
            (True, "GPU, TF32", "factors rounded to 10 bits, so the numbers differ by some 1e-4", TF32_TOLERANCE),
        ):
            _check(name, gpu.to_host(gpu.conv2d(images, filters, WINDOW, 1)), expected, tolerance)
            yield Rung(name, why, median_time(run, seconds))
    finally:
        switches.allow_tf32_convolutions = before


def _check(name: str, y: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    error = float(np.abs(y - expected).max() / np.abs(expected).max())
    if not error <= tolerance:
        raise ArithmeticError(f"{name} and im2col disagree: the relative difference is {error:.1e}")
