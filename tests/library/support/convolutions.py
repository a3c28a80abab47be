"""Random convolutions, and every way in which the CPU backend cuts their work."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu.target import target
from tests.library.support import strategies

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}

LANES = target().lanes(4)

# Numbers of channels around the edges of vectors, panels and tiles.
COUNTS = (1, 2, 3, 7, 8, LANES - 1, LANES, LANES + 1, 2 * LANES, 2 * LANES + 1, target().tile_rows + 1)


@st.composite
def problems(draw: Any, largest: int = 20) -> tuple[np.ndarray, np.ndarray, Window, int]:
    """x, weight, window and groups."""
    groups = draw(st.sampled_from((1, 1, 1, 2, 3)))
    channels, filters = draw(st.sampled_from(COUNTS)), draw(st.sampled_from(COUNTS))
    if draw(st.integers(0, 4)) == 0:  # depthwise
        groups, channels, filters = draw(st.sampled_from((2, LANES, 2 * LANES + 3))), 1, 1
    axis = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 2))
    rows, columns = draw(axis), draw(axis)
    kernel, stride, before, after, dilation = zip(rows, columns, strict=True)
    window = Window(kernel, stride, tuple(zip(before, after, strict=True)), dilation)
    size = tuple(
        draw(st.integers(max(1, window.extent(a) - sum(window.padding[a])), window.extent(a) + largest)) for a in (0, 1)
    )
    dtype = draw(st.sampled_from(tuple(TOLERANCE)))
    seed = draw(strategies.SEEDS)
    x = strategies.normal((draw(st.integers(1, 3)), groups * channels, *size), seed).astype(dtype)
    weight = strategies.normal((groups * filters, channels, *kernel), seed + 1).astype(dtype)
    return x, weight, window, groups


def agree(result: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to rounding, relative to the largest number."""
    assert result.shape == expected.shape and result.dtype == expected.dtype
    scale = max(1.0, float(abs(expected).max(initial=0)))
    np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE[expected.dtype.name] * scale)


ACTIVATIONS = {None: lambda x: x, "relu": lambda x: np.maximum(x, 0), "silu": lambda x: x / (1 + np.exp(-x))}

# One problem for each way in which a sweep is cut into work.
WAYS = {
    "direct, one row": ((2, 33, 9, 8), (5, 33, 1, 1), Window((1, 1))),
    "direct": ((2, 3, 9, 31), (5, 3, 3, 3), Window((3, 3), (2, 2))),
    "padded": ((2, 40, 7, 7), (40, 40, 3, 3), Window((3, 3), (1, 1), ((1, 1), (1, 1)))),
    "blocks": ((2, 16, 90, 70), (6, 16, 3, 3), Window((3, 3), (1, 1), ((1, 1), (1, 1)))),
}
