"""Batch normalisation in plain NumPy [Ioffe and Szegedy, 2015, Algorithm 1], and its gradient."""

from __future__ import annotations

import numpy as np


def batch_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each channel with the statistics of this batch, then scale and shift.

    Accurate also where a channel's mean is a hundred thousand times its deviation.

    Args:
        x: (N, C, ...); statistics are taken over all axes but 1, m values a channel.
        weight, bias: gamma and beta (C,), or ``None`` for 1 and 0.
        eps: added to the variance, so that a constant channel does not divide by zero.

    Returns:
        y like x, and (C,) each: the mean, the variance (over m, not m - 1) and 1 / sqrt(variance + eps). All have the
        dtype of x.
    """
    y = np.empty_like(x)
    mean, variance, inv_std = (np.empty(x.shape[1], x.dtype) for _ in range(3))
    for channel in range(x.shape[1]):
        values = x[:, channel]
        mean[channel] = np.mean(values)
        variance[channel] = np.mean((values - mean[channel]) ** 2)
        inv_std[channel] = (variance[channel] + eps) ** -0.5
        gamma = 1 if weight is None else weight[channel]
        beta = 0 if bias is None else bias[channel]
        y[:, channel] = gamma * (values - mean[channel]) * inv_std[channel] + beta
    return y, mean, variance, inv_std


def batch_norm_grad(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, inv_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradient through the normalisation *and* through the statistics, which move with x too.

    Args:
        dy: cotangent of y, like x.
        x, weight: the input of ``batch_norm``, and its gamma or ``None``.
        mean, inv_std: what ``batch_norm`` returned (C,).

    Returns:
        the gradients at x (like x), weight (C,) and bias (C,), all in the dtype of x.
    """
    # The three roads of Ioffe and Szegedy, section 3: through x_hat, the variance and the mean.
    d_x = np.empty_like(x)
    d_weight, d_bias = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    for channel in range(x.shape[1]):
        cotangent, centred = dy[:, channel], x[:, channel] - mean[channel]
        d_bias[channel] = cotangent.sum()
        d_weight[channel] = np.sum(cotangent * centred) * inv_std[channel]
        d_hat = cotangent if weight is None else cotangent * weight[channel]
        d_variance = -0.5 * inv_std[channel] ** 3 * np.sum(d_hat * centred)
        d_mean = -inv_std[channel] * np.sum(d_hat) - 2 * d_variance * centred.mean()
        d_x[:, channel] = d_hat * inv_std[channel] + (2 * d_variance * centred + d_mean) / centred.size
    return d_x, d_weight, d_bias


def per_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) -> (1, C, 1, ...): lined up with axis 1 of ``like``."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))
