"""PyTorch's functional spelling: arguments and defaults."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import minicnn
from minicnn.nn import functional as F
from tests.library.support import peers
from tests.library.support.modules import numbers, shared_arguments

# PyTorch compiles these, and compiled functions show no signature.
COMPILED = ("avg_pool2d", "conv2d", "linear", "max_pool2d", "one_hot")


@pytest.mark.parametrize("name", sorted(set(F.__all__) - {"deform_conv2d", *COMPILED}))
def test_functions_take_pytorchs_arguments_with_its_defaults(name):
    function = getattr(peers.torch().nn.functional, name)
    if inspect.isbuiltin(function):
        pytest.skip("PyTorch compiles this function, which then shows no signature")
    ours, theirs = shared_arguments(getattr(F, name), function)
    assert ours == theirs
    assert len(ours) == len(set(inspect.signature(getattr(F, name)).parameters) - {"generator"})


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax], ids=lambda f: f.__name__)
def test_softmax_in_another_dtype(function):
    x = minicnn.Tensor(numbers((3, 4), "float32"))
    assert str(function(x, 1).dtype) == "float32"
    wide = function(x, 1, dtype=minicnn.float64)
    assert str(wide.dtype) == "float64"
    assert np.array_equal(wide.numpy(), function(x.double(), 1).numpy())
