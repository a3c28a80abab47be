"""Softmax and cross entropy on the GPU: one block per row."""

from __future__ import annotations

from typing import Any


def softmax_cross_entropy(cuda: Any, logits: Any, targets: Any) -> tuple[Any, Any]:
    """See ``reference.loss.softmax_cross_entropy``."""
    xp, dtype = cuda.xp, logits.dtype
    logits, targets = xp.ascontiguousarray(logits), xp.ascontiguousarray(targets, dtype)
    rows, classes = logits.shape
    losses, log_probabilities = xp.zeros(rows, dtype), xp.empty(logits.shape, dtype)
    if classes:
        cuda.launch(
            "loss", "softmax_cross_entropy", dtype, rows, logits, targets, losses, log_probabilities, classes,
            block_each=True,
        )  # fmt: skip
    return losses, log_probabilities
