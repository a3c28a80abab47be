"""Hypothesis strategies: shapes, arrays away from kinks and ties, and layer configurations that are valid.

Numbers come from a drawn seed and not one by one: Hypothesis then shrinks what matters (shapes, options), and a
failing example prints as a few small integers. Sizes are small because central differences visit every entry.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray
Shape = tuple[int, ...]
SEEDS = st.integers(0, 2**16)


def distinct(shape: Shape, seed: int, low: float = -2.0, high: float = 2.0, kinks: tuple[float, ...] = (0.0,)) -> Array:
    """Numbers in [low, high] in random order, all evenly spaced, none near a kink: no ties, no ReLU at zero.

    The spacing is ``(high - low) / n``; every number keeps a quarter of that from every kink.
    """
    count = int(np.prod(shape))
    step = (high - low) / max(count, 1)
    values = low + step * (np.arange(count) + 0.5)
    for kink in kinks:
        near = np.abs(values - kink) < step / 4
        values[near] = kink + step / 4
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def normal(shape: Shape, seed: int) -> Array:
    """Independent standard normal numbers."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))  # of shape () too


def random_cotangent(shape: Shape, seed: int = 0) -> Array:
    """As ``normal``, but never the same numbers as an input's, to which they would be anything but random."""
    return np.asarray(np.random.default_rng([seed, 1]).standard_normal(shape))


def shapes(
    min_dims: int = 0, max_dims: int = 4, max_side: int = 4, min_side: int = 1, max_size: int = 48
) -> st.SearchStrategy:
    """Shapes with sides of 1 among others, and at most ``max_size`` entries."""
    sides = st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)
    return sides.filter(lambda shape: np.prod(shape) <= max_size)


@st.composite
def arrays(
    draw: Any, shape: Any = None, low: float = -2.0, high: float = 2.0, kinks: tuple[float, ...] = (0.0,)
) -> Array:
    """One array of distinct numbers; ``shape`` is a shape or a strategy for one."""
    shape = draw(shapes()) if shape is None else draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    return distinct(shape, draw(SEEDS), low, high, kinks)


@st.composite
def broadcastable(draw: Any, count: int = 2, max_dims: int = 3) -> tuple[Shape, ...]:
    """Shapes that broadcast together: some axes are 1, some leading axes are missing."""
    full = draw(shapes(max_dims=max_dims, max_side=3, max_size=27))
    found = []
    for _ in range(count):
        kept = [size if draw(st.booleans()) else 1 for size in full]
        missing = draw(st.integers(0, len(full)))
        found.append(tuple(kept[missing:]) if draw(st.booleans()) else full)
    return tuple(found)


@st.composite
def distinct_pair(draw: Any, low: float = -2.0, high: float = 2.0) -> tuple[Array, Array]:
    """Two arrays whose shapes broadcast and in which no number of one equals a number of the other."""
    first, second = draw(broadcastable())
    count = int(np.prod(first))
    both = distinct((count + int(np.prod(second)),), draw(SEEDS), low, high)
    return both[:count].reshape(first), both[count:].reshape(second)


@st.composite
def axes(draw: Any, ndim: int, allow_none: bool = True) -> Any:
    """A ``dim`` argument: None, one axis (also negative), or several."""
    kinds = ["one", "several"] if ndim else []
    kind = draw(st.sampled_from(kinds + ["none"] * (allow_none or not kinds)))
    if kind == "none":
        return None
    if kind == "one":
        return draw(st.integers(-ndim, ndim - 1))
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    return tuple(axis - ndim if draw(st.booleans()) else axis for axis in chosen)


def pairs(low: int, high: int) -> st.SearchStrategy:
    """A per-axis option: one number, or one for the height and another for the width."""
    return st.one_of(st.integers(low, high), st.tuples(st.integers(low, high), st.integers(low, high)))


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _lengths(draw: Any, kernel: Any, padding: Any, dilation: Any, largest: int) -> tuple[int, int]:
    """A height and a width for which a window fits, and none (dilated) skips over the whole input."""
    least = [max(d, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(*map(_both, (kernel, padding, dilation)), strict=True)]
    return tuple(draw(st.integers(low, max(low, largest))) for low in least)  # type: ignore[return-value]


@st.composite
def convolutions(draw: Any, unbatched: bool = False, max_length: int = 6) -> tuple[tuple[Array, ...], dict[str, Any]]:
    """((x, weight) or (x, weight, bias), options) for conv2d: strides, padding, dilation, groups, odd kernels."""
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = draw(pairs(1, 2))
    stride = draw(pairs(1, 3))
    padding = draw(st.one_of(pairs(0, 2), st.sampled_from(["valid", "same"])))
    if padding == "same":
        stride = 1
    groups = draw(st.integers(1, 3))
    group_in, group_out = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    around = {"valid": 0, "same": _same_padding(kernel, dilation)}[padding] if isinstance(padding, str) else padding
    height, width = _lengths(draw, kernel, around, dilation, max_length)
    batch = () if unbatched else (draw(st.integers(1, 2)),)
    seed = draw(SEEDS)
    x = normal((*batch, groups * group_in, height, width), seed)
    weight = normal((groups * group_out, group_in, *kernel), seed + 1)
    bias = (normal((groups * group_out,), seed + 2),) if draw(st.booleans()) else ()
    return (x, weight, *bias), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


def _same_padding(kernel: Any, dilation: Any) -> tuple[int, int]:
    return tuple(d * (k - 1) // 2 for k, d in zip(_both(kernel), _both(dilation), strict=True))  # type: ignore[return-value]


@st.composite
def poolings(draw: Any, dilated: bool = False, max_length: int = 6) -> tuple[tuple[Array], dict[str, Any]]:
    """((x,), options) for a pooling: overlapping and gapped windows, padding up to half a window, ceil_mode."""
    kernel = draw(pairs(1, 3))
    stride = draw(st.one_of(st.none(), pairs(1, 3)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in _both(kernel))
    dilation = draw(pairs(1, 2)) if dilated else 1
    height, width = _lengths(draw, kernel, padding, dilation, max_length)
    x = distinct((draw(st.integers(1, 2)), draw(st.integers(1, 2)), height, width), draw(SEEDS))
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return (x,), options | ({"dilation": dilation} if dilated else {})


@st.composite
def average_poolings(draw: Any) -> tuple[tuple[Array], dict[str, Any]]:
    """((x,), options) for avg_pool2d, with its two ways to count."""
    x, options = draw(poolings())
    options["count_include_pad"] = draw(st.booleans())
    options["divisor_override"] = draw(st.one_of(st.none(), st.integers(1, 5)))
    return x, options


@st.composite
def images(
    draw: Any,
    max_length: int = 5,
    channels: st.SearchStrategy = st.integers(1, 3),  # noqa: B008  (strategies are immutable)
    batch: st.SearchStrategy = st.integers(1, 2),  # noqa: B008
) -> Array:
    """An (N, C, H, W) array, not square in general."""
    lengths = st.integers(1, max_length)
    return distinct((draw(batch), draw(channels), draw(lengths), draw(lengths)), draw(SEEDS))
