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
    rows = x.astype(np.float64).swapaxes(0, 1).reshape(x.shape[1], -1)  # C x m
    mean, variance = rows.mean(axis=1), rows.var(axis=1)
    inv_std = np.reciprocal(np.sqrt(variance + eps))
    y = np.einsum("cm,c->cm", rows - mean[:, None], inv_std)
    if weight is not None:
        y *= weight[:, None]
    if bias is not None:
        y += bias[:, None]
    y = y.reshape(x.shape[1], x.shape[0], *x.shape[2:]).swapaxes(0, 1)
    return tuple(part.astype(x.dtype) for part in (y, mean, variance, inv_std))


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
    # x_hat lies on a sphere around 0, orthogonal to (1, ..., 1): the Jacobian is a projection, scaled.
    channels = x.shape[1]
    rows, cotangents = (a.swapaxes(0, 1).reshape(channels, -1) for a in (x, dy))
    x_hat = (rows - mean[:, None]) * inv_std[:, None]
    m = rows.shape[1]
    d_rows = np.empty_like(rows)
    for c in range(channels):
        projection = np.eye(m) - np.full((m, m), 1 / m) - np.outer(x_hat[c], x_hat[c]) / m
        d_rows[c] = projection @ cotangents[c] * inv_std[c]
    if weight is not None:
        d_rows *= weight[:, None]
    d_x = d_rows.reshape(channels, x.shape[0], *x.shape[2:]).swapaxes(0, 1)
    return d_x, np.einsum("cm,cm->c", cotangents, x_hat), cotangents @ np.ones(m, x.dtype)


def per_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(C,) -> (1, C, 1, ...): lined up with axis 1 of ``like``."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))
