"""Whole numbers of every origin are sizes and dimensions, and fractions are none."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.nn import functional as F

WHOLE = [np.int64, np.uint8, np.array, minicnn.tensor]


@pytest.mark.parametrize("whole", WHOLE, ids=lambda kind: kind.__name__)
def test_numpys_integers_are_sizes_and_dimensions(whole):
    one, two, three = whole(1), whole(2), whole(3)
    x = minicnn.rand(2, 3, 6, 6)
    assert nn.MaxPool2d(two)(x).shape == nn.AvgPool2d(three, stride=two, padding=one)(x).shape[:2] + (3, 3)
    assert repr(nn.MaxPool2d(two)) == repr(nn.MaxPool2d(2))
    assert nn.Conv2d(three, two, three, (two, one), padding=one, dilation=one, groups=one)(x).shape == (2, 2, 3, 6)
    assert F.max_pool2d(x, two, stride=one, padding=one, dilation=one).shape == (2, 3, 7, 7)
    assert nn.AdaptiveAvgPool2d((two, None))(x).shape == (2, 3, 2, 6)
    assert nn.Linear(three, two)(minicnn.ones(3)).shape == (2,)
    assert x.reshape(two, three, whole(36)).sum(one).mean(dim=two - one).shape == (2,)
    assert x.permute(one, three, two, whole(0)).transpose(one, two).squeeze(one).unsqueeze(one).ndim == 5
    assert x.split(two, one)[1].shape == (2, 1, 6, 6)
    assert x.narrow(two, one, three).chunk(three, two)[0].shape == (2, 3, 1, 6)
    assert x.softmax(one).cumsum(one).flip(one).argmax(one).shape == (2, 6, 6)
    assert x.amax(one).topk(two, one).indices.shape == (2, 2, 6)
    assert x.flatten(one, two).unflatten(one, (three, whole(6))).shape == x.shape
    assert minicnn.zeros(two, three).expand(two, three).repeat(one, two).shape == (2, 6)
    assert F.pad(x, (one, two)).shape == (2, 3, 6, 9)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.reshape(2.0, 3),
        lambda x: x.sum("0"),
        lambda x: x.transpose(0.0, 1),
        lambda x: x.split(1.5),
        lambda x: minicnn.zeros(2.5),
        lambda x: x.narrow(0, 0.0, 1),
        lambda x: F.pad(x, (1.5, 1)),
        lambda x: x.topk(1.0),
    ],
)
def test_fractions_are_no_sizes(call):
    with pytest.raises(TypeError, match="expected an integer as"):
        call(minicnn.ones(2, 3))
