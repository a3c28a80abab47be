"""The 1x1 convolution as what it is: one linear map over the channels, the same at every pixel (lecture L2.1.3)."""

from __future__ import annotations

from minicnn.errors import ShapeError
from minicnn.ops.matrix import linear
from minicnn.ops.shape import permute, reshape
from minicnn.tensor import Tensor


def pointwise_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv2d`` with a 1x1 kernel, by a single matrix product over all pixels of all images.

    At every pixel the vector of C channels becomes ``weight @ vector + bias``, a vector of K channels.

    Args:
        input: (N, C, H, W).
        weight: (K, C, 1, 1), as ``Conv2d`` keeps it.
        bias: (K,) or None.

    Returns:
        (N, K, H, W).

    Raises:
        ShapeError: if ``weight`` is not (K, C, 1, 1) with the C of ``input``.
    """
    if input.ndim != 4 or weight.ndim != 4 or weight.shape[1:] != (input.shape[1], 1, 1):
        raise ShapeError(f"expected (N, C, H, W) and (K, C, 1, 1), got shapes {input.shape} and {weight.shape}")
    pixels = permute(input, 0, 2, 3, 1)  # (N, H, W, C): the channels of a pixel side by side
    out = linear(pixels, reshape(weight, weight.shape[:2]), bias)  # (N, H, W, K)
    return permute(out, 0, 3, 1, 2)  # (N, K, H, W)
