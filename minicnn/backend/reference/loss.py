"""Softmax and cross entropy in plain NumPy, safe for logits of any size."""

from __future__ import annotations

import numpy as np


def softmax_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``-sum_c targets[n, c] * log softmax(logits[n])[c]`` for each row.

    The largest logit is subtracted before ``exp``, so that nothing overflows. A class whose target is 0 contributes
    nothing, even if its probability is 0 and its logarithm infinite.

    Args:
        logits: (N, C).
        targets: (N, C), weights of the classes: one-hot, smoothed, or any other.

    Returns:
        the losses (N,), and log softmax (N, C), which the gradient needs.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    terms = np.where(targets != 0, targets * log_probabilities, 0) if targets.size else log_probabilities
    return -terms.sum(axis=1), log_probabilities
