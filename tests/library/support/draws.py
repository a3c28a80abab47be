"""Moments of random draws, within five standard errors."""

from __future__ import annotations

import math

import numpy as np

import minicnn


def weight(*shape: int, dtype: str = "float32") -> minicnn.Tensor:
    return minicnn.Tensor(np.zeros(shape or (60, 50, 3, 3), dtype))


def check_moments(array: np.ndarray, mean: float, std: float) -> None:
    """Mean and standard deviation within five of their standard errors."""
    values = array.astype(np.float64)
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() - std) < 5 * std / math.sqrt(values.size)


def check_normal(array: np.ndarray, mean: float, std: float) -> None:
    check_moments(array, mean, std)
    within = (np.abs(array - mean) < std).mean()
    assert abs(within - 0.6827) < 5 * math.sqrt(0.6827 * 0.3173 / array.size)
