"""The tensor that a module learns."""

from __future__ import annotations

import numpy as np

import minicnn
from minicnn import nn


def test_parameter_wraps_without_copying():
    array = np.ones(3, np.float32)
    parameter = nn.Parameter(array)
    array[0] = 5
    assert parameter.requires_grad and parameter.is_leaf
    assert parameter.detach().numpy()[0] == 5
    assert isinstance(parameter, minicnn.Tensor)
    assert repr(parameter).startswith("Parameter containing:\ntensor(")
    assert not nn.Parameter(minicnn.Tensor(array), requires_grad=False).requires_grad
