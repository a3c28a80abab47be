"""The receptive field (L1.1): which input pixels a unit can see, and which ones it listens to.

The *theoretical* field is the square of input pixels on which a unit can depend at all; it follows from the kernels
and strides alone. The *effective* field is where the unit's gradient is not negligible: Luo, Li, Urtasun, Zemel,
"Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NIPS 2016, arXiv:1701.04128, found
it bell-shaped and much smaller, growing with the square root of the depth only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minicnn.autograd import grad
from minicnn.tensor import Tensor


def receptive_field(layers: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Receptive field and stride behind each of several layers in a row.

    A layer with kernel k, stride s and dilation d looks at k pixels of its input, d apart: (k - 1) d + 1 from end to
    end. In the image these steps are as long as the product of all strides before it.

    Args:
        layers: (kernel, stride, dilation) of each convolution or pooling, from the input on.

    Returns:
        for each layer the side of its receptive field and the distance of neighbouring outputs, in input pixels.
    """

    def first_pixel(depth, unit):
        """The leftmost pixel that a unit behind so many layers sees."""
        if depth == 0:
            return unit
        return first_pixel(depth - 1, unit * layers[depth - 1][1])

    def last_pixel(depth, unit):
        """The rightmost one."""
        if depth == 0:
            return unit
        kernel, stride, dilation = layers[depth - 1]
        return last_pixel(depth - 1, unit * stride + (kernel - 1) * dilation)

    return [
        (last_pixel(depth, 0) - first_pixel(depth, 0) + 1, first_pixel(depth, 1) - first_pixel(depth, 0))
        for depth in range(1, len(layers) + 1)
    ]


def centre_gradient(network: Callable[[Tensor], Tensor], images: Tensor) -> np.ndarray:
    """How strongly the unit in the middle of the output map depends on each input pixel.

    Args:
        network: (N, C, H, W) -> a map (N, K, H', W').
        images: (N, C, H, W), several to average over.

    Returns:
        (H, W): the absolute gradient of the sum over the K channels at row H' // 2 and column W' // 2, averaged over
        images and input channels, and scaled to a maximum of 1 (all zeros where nothing reaches the input).
    """
    leaf = Tensor(images.detach().cpu().numpy().copy(), requires_grad=True)
    leaf_on_device = leaf.to(images.device)
    output = network(leaf_on_device)
    chosen = np.zeros(output.shape, dtype=output.detach().cpu().numpy().dtype)
    chosen[:, :, chosen.shape[2] // 2, chosen.shape[3] // 2] = 1
    output.backward(Tensor(chosen).to(images.device), inputs=[leaf])
    strength = np.einsum("nchw->hw", np.abs(leaf.grad.numpy()), dtype=np.float64)
    return strength / max(strength.max(), np.finfo(np.float64).tiny)


def effective_size(sensitivity: np.ndarray, threshold: float = 0.0455) -> float:
    """The side of the effective receptive field in pixels.

    Args:
        sensitivity: (H, W) with a maximum of 1, from ``centre_gradient``.
        threshold: the share of the maximum above which a pixel counts; 4.55 % is two standard deviations, as in the
            paper (section 3.2).

    Returns:
        the square root of the number of pixels that count: the side of a square with their area.
    """
    ascending = np.sort(sensitivity, axis=None)
    return math.sqrt(ascending.size - np.searchsorted(ascending, threshold, side="right"))
