"""Is a network right as often as it says? The reliability diagram as numbers [Guo et al., ICML 2017].

Of the images at which a well calibrated network is 80 % sure, it is right at 80 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15  # as in Guo et al. 2017, table 1


@dataclass(frozen=True)
class Calibration:
    """The answers in bins of equal width of their confidence; bin m of M holds those in ((m - 1) / M, m / M].

    Attributes:
        counts: (M,) answers in each bin.
        confidence: (M,) their mean confidence; NaN in an empty bin.
        accuracy: (M,) the share of them that is right; NaN in an empty bin.
        error: the expected calibration error: the mean over all answers of the difference between the two in their bin.
        mean_confidence: of all answers; above ``mean_accuracy`` the network is too sure, below it not sure enough.
        mean_accuracy: the share of all answers that is right.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float
    mean_confidence: float
    mean_accuracy: float

    @property
    def edges(self) -> np.ndarray:
        """(M + 1,) where the bins begin and end."""
        return bin_edges(len(self.counts))


def bin_edges(bins: int) -> np.ndarray:
    """(bins + 1,) from 0 to 1 in equal steps."""
    return np.arange(bins + 1) / bins


def calibration(confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Compare how sure a network is with how often it is right.

    Args:
        confidences: (N,) the probability of each answer, in [0, 1].
        right: (N,) whether it is the right one.
        bins: M.

    Raises:
        ValueError: without answers, for different shapes, confidences outside [0, 1], or less than one bin.
    """
    confidences, right = np.asarray(confidences, np.float64), np.asarray(right, bool)
    if confidences.ndim != 1 or confidences.shape != right.shape or not confidences.size:
        raise ValueError(f"expected two arrays of shape (N,), N > 0, got {confidences.shape} and {right.shape}")
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError("expected confidences from 0 to 1")
    if bins < 1:
        raise ValueError(f"`bins` (={bins}) must be at least 1")
    places = np.maximum(np.searchsorted(bin_edges(bins), confidences, side="left") - 1, 0)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(places, confidences, minlength=bins) / counts
        accuracy = np.bincount(places, right, minlength=bins) / counts
    error = float(np.nansum(counts * abs(accuracy - confidence)) / counts.sum())
    return Calibration(counts, confidence, accuracy, error, float(confidences.mean()), float(right.mean()))
