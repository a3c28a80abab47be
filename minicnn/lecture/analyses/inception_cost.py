"""What an inception module costs, counted by hand from its sizes: where GoogLeNet's savings come from.

Paper    Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842, section 4 and Table 1.
Lecture  L2.1.2: the dimension-reduced module against the naive one.

A *multiply-add* is one weight times one input value, added to a sum. A convolution takes one for each weight and each
output pixel that the weight contributes to, for one image. Biases, ReLU and pooling are not counted.
``minicnn.nn.summary`` has the same convention and finds the same numbers by running a network.
"""

from __future__ import annotations

Shape = tuple[int, int, int]


def conv_multiply_adds(
    input_shape: Shape,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> int:
    """The multiply-adds of a convolution with square kernels on one image.

    Args:
        input_shape: (C, H, W).
        out_channels: K, the number of kernels; each spans C / ``groups`` channels.
        kernel_size: k; spread by ``dilation``, a kernel covers dilation * (k - 1) + 1 pixels each way.
        padding: pixels added on each of the four sides.

    Returns:
        An integer, exact however large it is.
    """
    channels, *image = input_shape
    extent = dilation * (kernel_size - 1) + 1
    height, width = ((side + 2 * padding - extent) // stride + 1 for side in image)
    return out_channels * height * width * (channels // groups) * kernel_size**2


def naive_multiply_adds(input_shape: Shape, ch1x1: int, ch3x3: int, ch5x5: int) -> int:
    """The multiply-adds of ``NaiveInception(C, ch1x1, ch3x3, ch5x5)`` on one image.

    Args:
        input_shape: (C, H, W). Every branch keeps H and W.
    """
    return (
        conv_multiply_adds(input_shape, ch1x1, 1)
        + conv_multiply_adds(input_shape, ch3x3, 3, padding=1)
        + conv_multiply_adds(input_shape, ch5x5, 5, padding=2)
    )


def inception_multiply_adds(
    input_shape: Shape, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
) -> int:
    """The multiply-adds of the paper's ``Inception(C, ch1x1, ch3x3red, ...)`` on one image.

    Args:
        input_shape: (C, H, W). Every branch keeps H and W.
    """
    image = input_shape[1:]
    return (
        conv_multiply_adds(input_shape, ch1x1, 1)
        + conv_multiply_adds(input_shape, ch3x3red, 1)
        + conv_multiply_adds((ch3x3red, *image), ch3x3, 3, padding=1)
        + conv_multiply_adds(input_shape, ch5x5red, 1)
        + conv_multiply_adds((ch5x5red, *image), ch5x5, 5, padding=2)
        + conv_multiply_adds(input_shape, pool_proj, 1)
    )
