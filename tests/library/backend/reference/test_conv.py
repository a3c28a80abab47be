"""im2col and its adjoint, col2im, from their definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from minicnn.backend import reference
from minicnn.backend.base import Window
from tests.library.support import oracles
from tests.library.support.strategies import SEEDS, convolutions, normal


@given(drawn=convolutions(), seed=SEEDS)
def test_im2col_copies_and_col2im_is_its_adjoint(drawn, seed):
    """Row (c, p, q) and column (n, i, j) hold tap (p, q) of channel c under window (i, j) of image n."""
    (x, weight, *_), options = drawn
    stride, dilation = oracles.pair(options["stride"]), oracles.pair(options["dilation"])
    window = Window(weight.shape[2:], stride, ((3, 2), (2, 4)), dilation)
    height, width = window.output_size(x.shape[2:])
    columns = reference.conv.im2col(x, window)
    padded = np.pad(x, ((0, 0), (0, 0), (3, 2), (2, 4)))
    expected = [
        [padded[n, c, i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]] for n, i, j in windows]
        for windows in [list(np.ndindex(x.shape[0], height, width))]
        for c, p, q in np.ndindex(x.shape[1], *weight.shape[2:])
    ]
    np.testing.assert_array_equal(columns, expected)
    other = normal(columns.shape, seed + 1)
    back = reference.conv.col2im(other, x.shape, window)
    np.testing.assert_allclose((columns * other).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)
