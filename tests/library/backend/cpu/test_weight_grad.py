"""The gradient at a convolution's weight over many blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu import memory, weight_grad
from minicnn.backend.reference import conv as reference
from tests.library.support import strategies
from tests.library.support.convolutions import LANES, agree


@given(st.integers(1, 3), st.sampled_from((2 * LANES - 1, 2 * LANES + 1)), st.integers(9, 12))
def test_weight_gradient_over_many_blocks(images: int, channels: int, size: int) -> None:
    """Few pixels in a block, so that sums go on from block to block and from image to image."""
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    x = strategies.normal((images, channels, size, size), 0)
    dy = strategies.normal((images, 5, size, size), 1)
    before, weight_grad.PIXELS = weight_grad.PIXELS, (size, 3 * size)
    weight_grad.weight_grad_plan.cache_clear()
    try:
        with memory.guarded():
            result = weight_grad.conv2d_weight_grad(dy, x, (5, channels, 3, 3), window)
    finally:
        weight_grad.PIXELS = before
        weight_grad.weight_grad_plan.cache_clear()
    agree(result, reference.conv2d_weight_grad(dy, x, (5, channels, 3, 3), window))
