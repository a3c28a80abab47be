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
    if weight.ndim != 4 or input.ndim != 4 or weight.shape[2:] != (1, 1) or weight.shape[1] != input.shape[1]:
        raise ShapeError(f"weight {weight.shape} is no 1x1 kernel for {input.shape}")
    # Channel k of the output is a weighted sum of the input's maps: (N, C, H, W) * (C, 1, 1), summed over C.
    maps = []
    for k in range(weight.shape[0]):
        one = (input * weight[k]).sum(1, keepdim=True)
        maps.append(one if bias is None else one + bias[k])
    return cat(maps, 1)
