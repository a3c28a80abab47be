"""The 1x1 convolution as what it is: one linear map over the channels, the same at every pixel (lecture L2.1.3)."""

from __future__ import annotations

from minicnn.errors import ShapeError
from minicnn.ops import cat
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
    n, channels, height, width = input.shape
    kernels = weight.shape[0]
    if tuple(weight.shape) != (kernels, channels, 1, 1):
        raise ShapeError(f"a 1x1 kernel for {channels} channels, please; got {weight.shape}")
    # One image at a time: (K, C) @ (C, H * W) = (K, H * W).
    matrix = weight.reshape(kernels, channels)
    images = []
    for i in range(n):
        maps = matrix @ input[i].reshape(channels, height * width)
        images.append(maps.reshape(1, kernels, height, width))
    out = images[0] if n == 1 else cat(images, 0)
    return out if bias is None else out + bias.reshape(1, kernels, 1, 1)
