"""What the joined operations work out beforehand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.compiler.fused import line_of
from minicnn.nn import functional as F
from tests.library.support.strategies import SEEDS, normal


@given(channels=st.integers(1, 4), weighted=st.booleans(), biased=st.booleans(), seed=SEEDS)
def test_a_norm_with_given_statistics_is_a_line_for_each_channel(channels, weighted, biased, seed):
    x, mean = normal((2, channels, 3, 2), seed), normal((channels,), seed + 1)
    variance = normal((channels,), seed + 2) ** 2
    weight = normal((channels,), seed + 3) if weighted else None
    bias = normal((channels,), seed + 4) if biased else None
    scale, shift = line_of(np, weight, bias, mean, variance, 1e-3)
    given_tensors = [None if a is None else minicnn.tensor(a) for a in (mean, variance, weight, bias)]
    expected = F.batch_norm(minicnn.tensor(x), *given_tensors, training=False, eps=1e-3).numpy()
    np.testing.assert_allclose(x * scale[:, None, None] + shift[:, None, None], expected, rtol=1e-9, atol=1e-9)
