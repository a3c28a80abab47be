"""The methods that convert a tensor."""

from __future__ import annotations

import numpy as np

import minicnn


def test_ways_to_convert():
    x = minicnn.tensor([1.6, -1.6])
    assert x.to(minicnn.float32) is x and x.float() is x
    for got, dtype in [
        (x.double(), "float64"), (x.to("float64"), "float64"), (x.to(dtype=minicnn.float64), "float64"),
        (x.to("cpu", minicnn.float64), "float64"), (x.to(x.double()), "float64"), (x.half(), "float16"),
        (x.long(), "int64"), (x.int(), "int32"), (x.bool(), "bool"), (x.type(minicnn.float64), "float64"),
    ]:  # fmt: skip
        assert got.dtype == np.dtype(dtype)
    assert x.long().tolist() == [1, -1]
    assert not x.requires_grad_().long().requires_grad
    assert x.to("cpu", copy=True) is not x
