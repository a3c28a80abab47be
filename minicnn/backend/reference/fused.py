"""Fused operations in plain NumPy: what the fused kernels of a backend have to compute."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .norm import batch_norm, batch_norm_grad, per_channel


class Line(NamedTuple):
    """What a batch norm makes of each channel: ``(x - mean) * inv_std * weight + bias``, all (C,)."""

    mean: np.ndarray
    inv_std: np.ndarray
    weight: np.ndarray | None = None  # for 1
    bias: np.ndarray | None = None  # for 0


class Given(NamedTuple):
    """The same from given statistics, as they are kept."""

    mean: np.ndarray
    variance: np.ndarray
    weight: np.ndarray | None
    bias: np.ndarray | None
    eps: float

    def as_line(self, xp: Any = np) -> Line:
        """``xp`` is the arrays' module."""
        return Line(self.mean, 1 / xp.sqrt(self.variance + self.eps), self.weight, self.bias)


class Normed(NamedTuple):
    """The result of ``norm``."""

    y: np.ndarray
    mean: np.ndarray  # (C,)
    variance: np.ndarray  # (C,), over all m values of a channel, not m - 1
    inv_std: np.ndarray  # (C,)


class NormGrads(NamedTuple):
    """The result of ``norm_grad``."""

    x: np.ndarray
    weight: np.ndarray  # (C,)
    bias: np.ndarray  # (C,)
    residual: np.ndarray | None


def activate(x: np.ndarray, activation: str | None) -> np.ndarray:
    """x, max(x, 0) or x * sigmoid(x), for ``None``, "relu" and "silu"."""
    if activation == "silu":
        return x * _sigmoid(x)
    return np.maximum(x, 0) if activation == "relu" else x


def activation_grad(dy: np.ndarray, x: np.ndarray, activation: str | None) -> np.ndarray:
    """The cotangent of the activation's input x, from that of its output."""
    if activation == "silu":
        s = _sigmoid(x)
        return dy * s * (1 + x * (1 - s))
    return np.where(x <= 0, 0, dy) if activation == "relu" else dy


def norm(
    x: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    eps: float,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> Normed:
    """``activation(batch_norm(x) + residual)``.

    Args:
        x: (N, C, ...); see ``norm.batch_norm``.
        residual: like x.
    """
    _, mean, variance, inv_std = batch_norm(x, weight, bias, eps)
    y = fixed_norm(x, Line(mean, inv_std, weight, bias), residual, activation)
    return Normed(y, mean, variance, inv_std)


def norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> NormGrads:
    """The gradients of ``norm``, through the statistics too.

    Args:
        dy: cotangent of y, like x.
        x, residual, activation: as for ``norm``.
        line: its weight and bias, and the statistics from its result.
    """
    g = _before_activation(dy, x, line, residual, activation)
    return NormGrads(*batch_norm_grad(g, x, line.weight, line.mean, line.inv_std), None if residual is None else g)


def fixed_norm(
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> np.ndarray:
    """As ``norm``, with given statistics (C,)."""
    y = (x - per_channel(line.mean, x)) * per_channel(_scale(line), x)
    if line.bias is not None:
        y += per_channel(line.bias, x)
    if residual is not None:
        y += residual
    return activate(y, activation)


def fixed_norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None = None,
    activation: str | None = None,
) -> NormGrads:
    """The gradients of ``fixed_norm``: the statistics are constants."""
    g = _before_activation(dy, x, line, residual, activation)
    axes = (0, *range(2, x.ndim))
    d_weight = (g * (x - per_channel(line.mean, x))).sum(axis=axes) * line.inv_std
    return NormGrads(g * per_channel(_scale(line), x), d_weight, g.sum(axis=axes), None if residual is None else g)


def _scale(line: Line) -> np.ndarray:
    return line.inv_std if line.weight is None else line.weight * line.inv_std


def _before_activation(
    dy: np.ndarray,
    x: np.ndarray,
    line: Line,
    residual: np.ndarray | None,
    activation: str | None,
) -> np.ndarray:
    """The cotangent of the activation's input, which is the normalised x plus the residual."""
    return activation_grad(dy, fixed_norm(x, line, residual), activation)


def relu_bias_grad(dy: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ``y = max(x + bias, 0)``: the gradient at x, which is dy where y is positive, else 0; and at bias (C,)."""
    dx = np.where(y <= 0, 0, dy)
    return dx, dx.sum(axis=(0, *range(2, dx.ndim)))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-abs(x))
    sigmoid: np.ndarray = np.where(x >= 0, 1, small) / (1 + small)
    return sigmoid
