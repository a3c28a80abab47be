"""Depthwise convolution over many blocks."""

from __future__ import annotations

import pytest

from minicnn.backend.base import Window
from minicnn.backend.cpu import conv, depthwise, memory, weight_grad
from minicnn.backend.reference import conv as reference
from tests.library.support import strategies
from tests.library.support.convolutions import agree


def test_depthwise_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise, "SCRATCH_BYTES", 1 << 12)
    window = Window((5, 3), (1, 2), ((2, 2), (1, 1)))
    x, weight = strategies.normal((2, 35, 21, 19), 0), strategies.normal((35, 1, 5, 3), 1)
    expected = reference.conv2d(x, weight, window, 35)
    dy = strategies.random_cotangent(expected.shape)
    with memory.guarded():
        agree(conv.conv2d(x, weight, window, 35), expected)
        agree(
            weight_grad.conv2d_weight_grad(dy, x, weight.shape, window, 35),
            reference.conv2d_weight_grad(dy, x, weight.shape, window, 35),
        )
        agree(
            conv.conv2d_input_grad(dy, weight, x.shape, window, 35),
            reference.conv2d_input_grad(dy, weight, x.shape, window, 35),
        )
