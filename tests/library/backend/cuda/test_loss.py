"""Softmax and cross entropy on the GPU, compiled for the CPU, against the reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.library.support.cuda.agreement import DTYPES, compare
from tests.library.support.strategies import SEEDS, normal


@given(st.integers(0, 4), st.integers(1, 9), st.sampled_from([1.0, 1e4]), st.booleans(), DTYPES, SEEDS)
def test_softmax_cross_entropy(cuda, rows, classes, scale, soft, dtype, seed):
    logits = (scale * normal((rows, classes), seed)).astype(dtype)
    labels = np.random.default_rng(seed).integers(0, classes, rows)
    targets = np.abs(normal((rows, classes), seed + 1)) if soft else np.eye(classes)[labels]
    if not soft:
        logits[targets == 0] = np.where(np.arange((targets == 0).sum()) % 3 == 0, -np.inf, logits[targets == 0])
    compare(cuda, "softmax_cross_entropy", logits, targets.astype(dtype))
