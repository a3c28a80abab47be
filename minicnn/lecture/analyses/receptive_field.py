"""The receptive field (L1.1): on which input pixels a unit can depend, and on which it depends noticeably.

The *theoretical* field is the square of input pixels on which a unit can depend at all; it follows from the kernels
and strides alone. The *effective* field is where the unit's gradient is not negligible: Luo, Li, Urtasun, Zemel,
"Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NIPS 2016, arXiv:1701.04128, found
it bell-shaped and much smaller: it grows only with the square root of the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...autograd import grad
from ...tensors import Tensor


def receptive_field(layers: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Receptive field and stride after each of several successive layers.

    A layer with kernel k, stride s and dilation d reads k pixels of its input, d apart: (k - 1) d + 1 from end to
    end. One such pixel is as many pixels of the image as the product of all strides before the layer.

    Args:
        layers: (kernel, stride, dilation) of each convolution or pooling, from the input on.

    Returns:
        for each layer the side of its receptive field and the distance between neighbouring outputs, in input pixels.
    """
    size, jump, seen = 1, 1, []
    for kernel, stride, dilation in layers:
        size += (kernel - 1) * dilation * jump
        jump *= stride
        seen.append((size, jump))
    return seen


def centre_gradient(network: Callable[[Tensor], Tensor], images: Tensor) -> np.ndarray:
    """How strongly the unit in the middle of the output map depends on each input pixel.

    Args:
        network: (N, C, H, W) -> a map (N, K, H', W'). It runs in its present mode; if it has parameters, their ``grad``
            is not changed.
        images: (N, C, H, W), several to average over; they are not changed, and need not require a gradient.

    Returns:
        (H, W): the absolute gradient of the sum over the K channels at row H' // 2 and column W' // 2, averaged over
        images and input channels, and scaled to a maximum of 1, however small it was (all zeros if no gradient reaches
        the input).
    """
    x = images.detach().requires_grad_()
    output = network(x)
    unit = output[:, :, output.shape[2] // 2, output.shape[3] // 2].sum()
    (reached,) = grad(unit, [x])
    assert reached is not None
    gradient = np.abs(reached.cpu().numpy().astype(np.float64)).mean(axis=(0, 1))
    peak = gradient.max()
    return gradient / peak if peak > 0 else gradient


def effective_size(sensitivity: np.ndarray, threshold: float = 0.0455) -> float:
    """The side of the effective receptive field in pixels.

    Args:
        sensitivity: (H, W) with a maximum of 1, or all zeros, from ``centre_gradient``.
        threshold: the share of the maximum above which a pixel counts; 4.55 % is two standard deviations, as in the
            paper (section 3.2).

    Returns:
        the square root of the number of pixels that count: the side of a square with their area.
    """
    return float(np.sqrt((sensitivity > threshold).sum()))
