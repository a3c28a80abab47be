"""Dropout layers: a share is zeroed, the rest scaled, by seed."""

from __future__ import annotations

import numpy as np

import minicnn
from minicnn import nn


def test_dropout_zeroes_a_share_and_scales_the_rest():
    minicnn.manual_seed(0)
    x = minicnn.Tensor(np.ones((100, 100), np.float32))
    y = nn.Dropout(0.3)(x).numpy()
    assert np.allclose(np.unique(y), [0, 1 / 0.7])
    assert abs((y == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / y.size)
    assert nn.Dropout(0.3).eval()(x) is x or np.array_equal(nn.Dropout(0.3).eval()(x).numpy(), x.numpy())


def test_dropout2d_drops_whole_channels():
    minicnn.manual_seed(0)
    y = nn.Dropout2d(0.4)(minicnn.Tensor(np.ones((50, 20, 3, 3), np.float32))).numpy()
    maps = y.reshape(1000, 9)
    assert np.all(maps == maps[:, :1])
    assert abs((maps[:, 0] == 0).mean() - 0.4) < 5 * np.sqrt(0.4 * 0.6 / 1000)


def test_dropout_follows_the_seed():
    x = minicnn.Tensor(np.ones(50, np.float32))
    layer = nn.Dropout()
    minicnn.manual_seed(1)
    first = layer(x).numpy()
    minicnn.manual_seed(1)
    assert np.array_equal(layer(x).numpy(), first)
    assert not np.array_equal(layer(x).numpy(), first)
