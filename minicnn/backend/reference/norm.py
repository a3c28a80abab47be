"""Batch normalisation in plain NumPy [Ioffe and Szegedy, 2015, Algorithm 1], and its gradient."""

from __future__ import annotations

import numpy as np


def batch_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each channel with the statistics of this batch, then scale and shift.

    Accurate even if a channel's mean is a hundred thousand times its deviation.

    Args:
        x: (N, C, ...); statistics are computed over all axes except 1, m values per channel.
        weight, bias: gamma and beta (C,), or ``None`` for 1 and 0.
        eps: added to the variance, so that a constant channel causes no division by zero.

    Returns:
        y like x, and (C,) each: the mean, the variance (over m, not m - 1) and 1 / sqrt(variance + eps). All have the
        dtype of x.
    """
    axes = _all_but_channels(x)
    mean = x.mean(axis=axes)
    centred = x - per_channel(mean, x)
    variance = (centred * centred).mean(axis=axes)
    inv_std = 1 / np.sqrt(variance + eps)
    scale = inv_std if weight is None else weight * inv_std
    y = centred * per_channel(scale, x)
    if bias is not None:
        y += per_channel(bias, x)
    return y, mean, variance, inv_std


def batch_norm_grad(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, inv_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradient through the normalisation *and* through the statistics, which also depend on x.

    Args:
        dy: cotangent of y, like x.
        x, weight: the input of ``batch_norm``, and its gamma or ``None``.
        mean, inv_std: from the result of ``batch_norm`` (C,).

    Returns:
        the gradients at x (like x), weight (C,) and bias (C,), all in the dtype of x.
    """
    # With x_hat = (x - mean) * inv_std and E for the average over a channel's m values:
    #     d_bias   = sum dy
    #     d_weight = sum dy * x_hat
    #     d_x      = weight * inv_std * (dy - E[dy] - x_hat * E[dy * x_hat])
    # The last two terms arise because the batch's mean and variance also depend on x.
    axes = _all_but_channels(x)
    count = x.size // x.shape[1]
    x_hat = (x - per_channel(mean, x)) * per_channel(inv_std, x)
    d_bias = dy.sum(axis=axes)
    d_weight = (dy * x_hat).sum(axis=axes)
    scale = inv_std if weight is None else weight * inv_std
    d_x = dy - per_channel(d_bias / count, x) - x_hat * per_channel(d_weight / count, x)
    d_x *= per_channel(scale, x)
    return d_x, d_weight, d_bias


def per_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) -> (1, C, 1, ...): lined up with axis 1 of ``like``."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def _all_but_channels(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))
