"""Batch normalisation in plain NumPy [Ioffe and Szegedy, 2015, Algorithm 1], and its gradient."""

from __future__ import annotations

import numpy as np


def batch_norm_statistics(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The statistics of each channel of this batch, and the line that normalises, scales and shifts with them.

    Args:
        x: (N, C, ...); statistics are taken over all axes but 1, m values a channel.
        weight, bias: gamma and beta (C,), or ``None`` for 1 and 0.

    Returns:
        (C,) each: the mean, the variance (over m, not m - 1) and 1 / sqrt(variance + eps); and for
        ``batch_norm_apply`` the scale and the shift, which later writes into weight and bias do not change.
    """
    axes = _all_but_channels(x)
    mean = x.mean(axis=axes)
    centred = x - per_channel(mean, x)
    variance = np.square(centred, out=centred).mean(axis=axes)
    inv_std = 1 / np.sqrt(variance + eps)
    scale = inv_std if weight is None else weight * inv_std
    return mean, variance, inv_std, scale, None if bias is None else bias.copy()


def batch_norm_apply(
    x: np.ndarray,
    mean: np.ndarray | None,
    scale: np.ndarray,
    shift: np.ndarray | None,
    residual: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """y = (x - mean) * scale + shift, then + residual and max(y, 0) where they are wanted.

    Args:
        x: (N, C, ...).
        mean, scale, shift: (C,); ``None`` for a mean or a shift of 0.
        residual: like x.
    """
    y = x * per_channel(scale, x) if mean is None else (x - per_channel(mean, x)) * per_channel(scale, x)
    if shift is not None:
        y += per_channel(shift, x)
    if residual is not None:
        y += residual
    return np.maximum(y, 0, out=y) if relu else y


def batch_norm_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    y: np.ndarray | None = None,
    residual: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The gradient through the normalisation *and* through the statistics.

    With x_hat = (x - mean) * inv_std and the batch average written as E over a channel's m values::

        d_bias   = sum dy
        d_weight = sum dy * x_hat
        d_x      = weight * inv_std * (dy - E[dy] - x_hat * E[dy * x_hat])

    The last two terms are what a batch takes back because its own mean and variance move with x.

    Args:
        dy: cotangent of the output, like x.
        x: the input of ``batch_norm_statistics``; mean and inv_std are what it returned.
        y: the output of ``batch_norm_apply`` if that ended with the ReLU: dy is then 0 where y is not positive.
        residual: whether the gradient at the residual is wanted, which is dy (after the ReLU).

    Returns:
        the gradients at x (like x), weight (C,), bias (C,) and, if wanted, at the residual (like x).
    """
    if y is not None:
        dy = np.where(y <= 0, 0, dy)
    axes = _all_but_channels(x)
    count = x.size // x.shape[1]
    x_hat = (x - per_channel(mean, x)) * per_channel(inv_std, x)
    d_bias = dy.sum(axis=axes)
    d_weight = (dy * x_hat).sum(axis=axes)
    scale = inv_std if weight is None else weight * inv_std
    d_x = dy - per_channel(d_bias / count, x)
    x_hat *= per_channel(d_weight / count, x)
    d_x -= x_hat
    d_x *= per_channel(scale, x)
    return d_x, d_weight, d_bias, dy if residual else None


def per_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) -> (1, C, 1, ...): lined up with axis 1 of ``like``."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def _all_but_channels(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))
