"""Batch normalisation in plain NumPy [Ioffe and Szegedy, 2015, Algorithm 1], and its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.backend.reference.norm import per_channel


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
    # The statistics are taken over all axes but 1; per_channel lines a (C,) array up with x.
    raise NotImplementedError("hw2.9 batch_norm: not written yet, see assignments/hw2_convolution/README.md")


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
    # x reaches y by three roads: directly, through the mean, through the variance. Derive on paper first, and simplify.
    raise NotImplementedError("hw2.10 batch_norm_grad: not written yet, see assignments/hw2_convolution/README.md")
