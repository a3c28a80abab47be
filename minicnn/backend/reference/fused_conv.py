"""Convolutions and linear layers fused with bias, residual and activation, in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import Window
from .conv import conv2d as convolve
from .conv import conv2d_input_grad as input_grad
from .fused import activate
from .norm import per_channel


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    window: Window,
    groups: int,
    bias: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    *,
    activation: str | None = None,
) -> np.ndarray:
    """``activation(x * weight + bias + residual)``."""
    y = convolve(x, weight, window, groups)
    if bias is not None:
        y = y + per_channel(bias, y)
    return activate(y if residual is None else y + residual, activation)


def conv2d_input_grad(
    dy: np.ndarray,
    weight: np.ndarray,
    x_shape: tuple[int, ...],
    window: Window,
    groups: int,
    *,
    residual: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient of ``conv2d`` at x, plus another gradient."""
    dx = input_grad(dy, weight, x_shape, window, groups)
    return dx if residual is None else dx + residual


def pack(
    weight: np.ndarray,
    window: Window,
    groups: int,
    bias: np.ndarray | None,
    again: Callable[[], np.ndarray] | None = None,
) -> Callable[..., np.ndarray]:
    """``conv2d`` for these filters: a function of x, the residual and the activation.

    Args:
        again: returns ``weight`` again, for a backend that keeps filters in more than one form.
    """

    def packed(x: np.ndarray, residual: np.ndarray | None = None, *, activation: str | None = None) -> np.ndarray:
        return conv2d(x, weight, window, groups, bias, residual, activation=activation)

    return packed


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, activation: str | None = None) -> np.ndarray:
    """``activation(x weight^T + bias)``: x (M, in), weight (out, in), bias (out,)."""
    y = x @ weight.T
    return activate(y if bias is None else y + bias, activation)


def channel_sums(dy: np.ndarray) -> np.ndarray:
    """The sum per channel of images (N, C, H, W): (C,)."""
    sums: np.ndarray = dy.sum(axis=(0, 2, 3))
    return sums


def scale_channels(x: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) times one number per channel (N, C, 1, 1)."""
    return x * gate


def scale_channels_grad(dy: np.ndarray, x: np.ndarray, gate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of ``scale_channels`` at x and at the gate."""
    return dy * gate, (dy * x).sum(axis=(2, 3), keepdims=True)


FUSED: dict[str, Any] = {
    function.__name__: function
    for function in (conv2d, conv2d_input_grad, pack, linear, channel_sums, scale_channels, scale_channels_grad)
}
