"""Batch normalisation in the pieces that can be joined with the residual sum and the ReLU behind it, in plain NumPy.

``norm.py`` has it whole. A backend that computes these pieces in single passes over memory saves most of what a block
spends outside its convolutions; here they say what has to come out.
"""

from __future__ import annotations

import numpy as np

from .norm import batch_norm_grad, per_channel


def batch_norm_statistics(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """The statistics of each channel of this batch, and the line that normalises, scales and shifts with them.

    Args:
        x: (N, C, ...); statistics are taken over all axes but 1, m values a channel.
        weight, bias: gamma and beta (C,), or ``None`` for 1 and 0.
        eps: added to the variance, so that a constant channel does not divide by zero.

    Returns:
        (C,) each: the mean, the variance (over m, not m - 1) and 1 / sqrt(variance + eps); and for
        ``batch_norm_apply`` the scale and the shift, which later writes into weight and bias do not change.
    """
    axes = (0, *range(2, x.ndim))
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


def batch_norm_fused_grad(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    inv_std: np.ndarray,
    y: np.ndarray | None = None,
    residual: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """``batch_norm_grad`` behind a ReLU and a residual sum.

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
    return (*batch_norm_grad(dy, x, weight, mean, inv_std), dy if residual else None)
