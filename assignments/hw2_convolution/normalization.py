"""Normalisation: batch norm, group norm, and AlexNet's local response normalisation.

A batch is normalised by its own mean and variance. An image that is to be classified later has no batch around it, so
Algorithm 2 of Ioffe and Szegedy (2015) takes averages over training, the running statistics. They are exponential
averages, as PyTorch's: after each batch the old value counts ``1 - momentum``, the new one ``momentum``.
"""

from __future__ import annotations

from typing import Any


def updated_mean(running: Any, batch: Any, momentum: float) -> Any:
    """A running statistic after one more batch; for the mean that is all.

    Args:
        running: the statistic until now (C,). It is not written into.
        batch: that of the batch (C,).
        momentum: the weight of the batch, from 0 to 1.

    Returns:
        (C,), dtype of running.
    """
    raise NotImplementedError("hw2.9 updated_mean: not written yet, see assignments/hw2_convolution/README.md")


def updated_variance(running: Any, variance: Any, count: int, momentum: float) -> Any:
    """The running variance after one more batch.

    A batch is normalised by its biased variance, an average over its ``count`` values. What is remembered is to hold
    for all images, and is the unbiased estimate, over ``count - 1``.

    Args:
        running: the running variance until now (C,). It is not written into.
        variance: the batch's biased variance (C,).
        count: the number of values in each channel of the batch, at least 2.
        momentum: the weight of the batch, from 0 to 1.

    Returns:
        (C,), dtype of running.
    """
    raise NotImplementedError("hw2.9 updated_variance: not written yet, see assignments/hw2_convolution/README.md")
