"""Convolution without an im2col matrix and without BLAS. ``README.md`` follows one from the tensor to the multiply-add.

    conv2d              y  = x * w            one sweep over x, the filters packed side by side
    conv2d_input_grad   dx = dy * w, turned   a sweep over dy for each phase of the stride, the channels side by side
    conv2d_weight_grad  dw                    in ``weight_grad.py``

``form_of`` chooses how each of them is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ..base import Window
from . import depthwise, winograd
from .compiling import LOCK, threads
from .conv_plan import conv_plan
from .filters import Filters, padded_bias
from .layout import channels_last, empty_images, even_pixels, pixel_bytes
from .records import Located
from .sweep import Sweep, forward_sweep, input_grad_sweeps

ACTIVATIONS = None, "relu", "silu"


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    window: Window,
    groups: int = 1,
    bias: np.ndarray | None = None,
    *,
    activation: str | None = None,
) -> np.ndarray:
    """See ``reference.fused_conv.conv2d``."""
    return Packed(weight, window, groups, bias)(x, activation=activation)


class Packed:
    """The filters of a convolution, packed once for inputs of any size. Later writes into ``weight`` are not seen.

    Args:
        again: gives ``weight`` once more. Then they are kept in one form only, the one that was needed last.
    """

    def __init__(
        self,
        weight: np.ndarray,
        window: Window,
        groups: int = 1,
        bias: np.ndarray | None = None,
        again: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.window, self.out_channels = window, len(weight)
        self.filters = Filters(weight, groups, tap_numbers(window), again=again)
        self.bias = None if bias is None else padded_bias(bias, 1 if self.filters.depthwise else groups)

    def __call__(
        self, x: np.ndarray, residual: np.ndarray | None = None, *, activation: str | None = None
    ) -> np.ndarray:
        """The convolution of images (N, C, H, W).

        Args:
            residual: like the result.
            activation: "relu" or "silu", applied on the way out, to the sum with the residual.

        Raises:
            ValueError: if there is no such activation.
        """
        if activation not in ACTIVATIONS:
            raise ValueError(f"expected one of the activations {ACTIVATIONS}, got {activation!r}")
        sweep = forward_sweep(self.window, x.shape[2:])
        y = empty_images(x.shape[0], self.out_channels, *sweep.count, x.dtype)
        with LOCK:
            other = None if residual is None else channels_last(residual)
            run_sweep(sweep, even_pixels(x), self.filters, channels_last(y), self.bias, other, activation)
        return y


def run_sweep(
    sweep: Sweep,
    x: np.ndarray,
    filters: Filters,
    y: np.ndarray,
    bias: Located | None = None,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> None:
    """Write the results of a sweep into y, in the form that suits it.

    Args:
        x: (N, H, W, C), from ``even_pixels``.
        y: (N, oH, oW, K).
        filters: packed for this sweep.
        bias: from ``padded_bias``.
        residual: (N, oH, oW, K); it is added.
        activation: applied in the end.
    """
    if not y.size:
        return
    form = form_of(sweep, x.shape, y.shape[3], filters.groups, x.dtype)
    if form == "depthwise":
        depthwise.run_sweep(sweep, x, filters.panels, y, bias, residual, activation)
    elif form == "winograd":
        winograd.run_sweep(sweep, x, filters.transformed, y, bias, residual, activation)
    else:
        plan = conv_plan(
            sweep, x.shape, y.shape, filters.groups, x.dtype, activation, bias is not None, threads(), pixel_bytes(x)
        )
        plan(x, filters.panels, y, bias, residual)


def form_of(
    sweep: Sweep,
    x_shape: tuple[int, ...],
    filters: int,
    groups: int,
    dtype: np.dtype,
    worth: winograd.Worth | None = None,
) -> str:
    """How a sweep over x (N, H, W, C) is computed, or with ``winograd_weight.WORTH`` the gradient at its weight:
    "depthwise", "winograd" or "direct".
    """
    if x_shape[3] == filters == groups > 1:
        return "depthwise"
    return "winograd" if winograd.suits(sweep, x_shape, filters, groups, dtype, worth) else "direct"


def conv2d_input_grad(
    dy: np.ndarray,
    weight: np.ndarray,
    x_shape: tuple[int, ...],
    window: Window,
    groups: int = 1,
    *,
    residual: np.ndarray | None = None,
) -> np.ndarray:
    """See ``reference.conv.conv2d_input_grad``.

    Args:
        residual: another gradient at the input, which is added.
    """
    n, channels, height, width = x_shape
    dx = empty_images(n, channels, height, width, dy.dtype)
    sweeps = input_grad_sweeps(window, x_shape[2:])
    source, result = even_pixels(dy), channels_last(dx)
    other = None if residual is None else channels_last(residual)
    if len(sweeps) < window.stride[0] * window.stride[1]:
        result[...] = 0 if other is None else other  # for the pixels that no window saw
    with LOCK:
        for sweep in sweeps:
            run_sweep(sweep, source, Filters(weight, groups, sweep.numbers, turned=True), result, residual=other)
    return dx


@cache
def tap_numbers(window: Window) -> tuple[int, ...]:
    """The order of a window's taps (``Sweep.numbers``), which does not depend on the images' size."""
    height, width = (max(window.extent(axis) - sum(window.padding[axis]), 1) for axis in (0, 1))
    return forward_sweep(window, (height, width)).numbers
