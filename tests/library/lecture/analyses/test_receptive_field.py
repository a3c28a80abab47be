"""The receptive field is where the gradient is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.lecture.analyses import receptive_field
from tests.library.support.residual_networks import few

layer = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2))


@few
@given(st.lists(layer, min_size=1, max_size=4))
def test_the_receptive_field_is_where_the_gradient_is(layers: list[tuple[int, int, int]]) -> None:
    size, stride = receptive_field.receptive_field(layers)[-1]
    net = nn.Sequential(*(nn.Conv2d(1, 1, k, s, dilation=d, bias=False) for k, s, d in layers)).double()
    for conv in net:
        nn.init.ones_(conv.weight)
    image = minicnn.zeros(1, 1, size + stride, size + stride).double().requires_grad_()
    output = net(image)
    output[0, 0, 0, 0].backward()
    seen = np.argwhere(image.grad.numpy()[0, 0])
    assert output.shape[2] == 2  # one step of the stride further begins the next output
    assert seen.min() == 0 and seen.max() == size - 1


def test_the_receptive_field_grows_layer_by_layer() -> None:
    # VGG's first stages: two 3x3 convolutions see 5x5 pixels, a pooling doubles the step.
    assert receptive_field.receptive_field([(3, 1, 1), (3, 1, 1), (2, 2, 1), (3, 1, 1)]) == [
        (3, 1),
        (5, 1),
        (6, 2),
        (10, 2),
    ]
    assert receptive_field.receptive_field([]) == []


def test_the_centre_of_one_convolution_sees_its_kernel() -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1, bias=False).double()
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((4, 2, 7, 5)))
    seen = receptive_field.centre_gradient(conv, x)
    kernel = np.abs(conv.weight.detach().numpy().sum(axis=0)).mean(axis=0)
    wanted = np.zeros((7, 5))
    wanted[2:5, 1:4] = kernel / kernel.max()
    np.testing.assert_allclose(seen, wanted)


def test_a_dead_unit_sees_nothing() -> None:
    seen = receptive_field.centre_gradient(lambda x: nn.functional.relu(x * 0 - 1), minicnn.randn(1, 1, 3, 3))
    assert seen.shape == (3, 3) and not seen.any()


def test_the_effective_size_is_the_side_of_the_area() -> None:
    seen = np.zeros((9, 9))
    seen[2:6, 3:7] = 1
    seen[0, 0] = 0.04
    assert receptive_field.effective_size(seen) == 4
    assert receptive_field.effective_size(seen, 0.01) == pytest.approx(math.sqrt(17))
