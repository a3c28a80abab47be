"""The receptive field (L1.1): which input pixels a unit can see, and which ones it listens to.

The *theoretical* field is the square of input pixels on which a unit can depend at all; it follows from the kernels
and strides alone. The *effective* field is where the unit's gradient is not negligible: Luo, Li, Urtasun, Zemel,
"Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NIPS 2016, arXiv:1701.04128, found
it bell-shaped and much smaller, growing with the square root of the depth only.
"""

from __future__ import annotations

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
    size, jump, seen = 1, 1, []
    for kernel, stride, dilation in layers:
        size += (kernel - 1) * dilation * jump
        jump *= stride
        seen.append((size, jump))
    return seen


def centre_gradient(network: Callable[[Tensor], Tensor], images: Tensor) -> np.ndarray:
    """How strongly the unit in the middle of the output map depends on each input pixel.

    Args:
        network: (N, C, H, W) -> a map (N, K, H', W'). It runs as it is; if it has parameters, their ``grad`` is not
            touched.
        images: (N, C, H, W), several to average over; they are not changed, nor asked to require a gradient.

    Returns:
        (H, W): the absolute gradient of the sum over the K channels at row H' // 2 and column W' // 2, averaged over
        images and input channels, and scaled to a maximum of 1, however small it was (all zeros where nothing reaches
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
