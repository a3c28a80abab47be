"""Strides, paddings and dilations: what function and layer take, what they refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import nn


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"stride": 0}, ValueError, r"expected stride \(=0\) to be at least 1"),
        ({"dilation": (1, 0)}, ValueError, r"expected dilation \(=0\) to be at least 1"),
        ({"padding": -1}, ValueError, r"expected padding \(=-1\) to be at least 0"),
        ({"padding": (1, 2, 3)}, ValueError, r"a pair \(height, width\) as padding, got \(1, 2, 3\)"),
        ({"stride": ()}, ValueError, r"a pair \(height, width\) as stride, got \(\)"),
        ({"stride": 1.5}, TypeError, "expected an integer as stride, got 1.5"),
        ({"dilation": (1, "2")}, TypeError, "expected an integer as dilation, got '2'"),
        ({"padding": None}, TypeError, "expected an integer as padding, got None"),
        ({"padding": "half"}, ValueError, r"'same', 'valid', .* as padding, got 'half'"),
        ({"padding": "same", "stride": 2}, ValueError, r"padding='same' needs stride 1: with stride=\(2, 2\)"),
    ],
)
def test_function_and_layer_refuse_the_same_arguments_in_the_same_words(options, error, words):
    """TypeError for what is no integer, as in PyTorch; ValueError for other values, as in PyTorch's layer."""
    calls = (
        lambda: F.conv2d(minicnn.zeros(1, 2, 5, 5), minicnn.zeros(4, 2, 3, 3), **options),
        lambda: nn.Conv2d(2, 4, 3, **options),
    )
    for call in calls:
        with pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize("options", [{"stride": (1,)}, {"padding": (1,)}, {"dilation": [2]}, {"stride": np.int64(2)}])
def test_a_list_of_one_stands_for_both_directions(options):
    """As in PyTorch, for the function and for the layer."""
    (name, value), *_ = options.items()
    x, layer = minicnn.ones(1, 2, 5, 5), nn.Conv2d(2, 4, 3, **options)
    both = {name: int(np.ravel(value)[0])}
    expected = F.conv2d(x, layer.weight, layer.bias, **both)
    for result in (layer(x), F.conv2d(x, layer.weight, layer.bias, **options)):
        assert np.array_equal(result.detach().numpy(), expected.detach().numpy())
