"""Matrix products by cuBLAS, and TensorFloat-32."""

from __future__ import annotations

import sys

import minicnn
from minicnn.backend.base import Window
from tests.library.support.strategies import normal


def test_matrix_products_round_to_tf32_only_where_allowed(cuda, monkeypatch):
    """By default convolutions may and other products may not, as in PyTorch; cuBLAS's own mode comes back after."""
    modes: list[int] = []
    monkeypatch.setattr(sys.modules["cupy.cuda.cublas"], "setMathMode", lambda handle, mode: modes.append(mode))
    x, weight = cuda.to_device(normal((1, 2, 4, 4), 0)), cuda.to_device(normal((3, 2, 3, 3), 1))
    dy = cuda.conv2d(x, weight, Window((3, 3)), 1)
    cuda.conv2d_input_grad(dy, weight, x.shape, Window((3, 3)), 1)
    cuda.conv2d_weight_grad(dy, x, weight.shape, Window((3, 3)), 1)
    cuda.matmul(x, x)
    assert modes == [3, 0, 3, 0, 3, 0, 0, 0]
    modes.clear()
    monkeypatch.setattr(minicnn.backend.cuda, "allow_tf32_convolutions", False)
    monkeypatch.setattr(minicnn.backend.cuda, "allow_tf32_matmuls", True)
    cuda.conv2d(x, weight, Window((3, 3)), 1)
    cuda.matmul(x, x)
    assert modes == [0, 0, 3, 0]
