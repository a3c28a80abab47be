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
    """
    channels, height, width = input_shape

    def places(side: int) -> int:
        """How often the kernel fits: its first pixel moves from -padding on, its last one stays in the padded image."""
        last = side + padding - 1
        reach = dilation * (kernel_size - 1)
        return sum(1 for start in range(-padding, last + 1, stride) if start + reach <= last)

    weights = (out_channels // groups) * (channels // groups) * kernel_size * kernel_size * groups
    return weights * places(height) * places(width)


def naive_multiply_adds(input_shape: Shape, ch1x1: int, ch3x3: int, ch5x5: int) -> int:
    """The multiply-adds of ``NaiveInception(C, ch1x1, ch3x3, ch5x5)`` on one image.

    Args:
        input_shape: (C, H, W). Every branch keeps H and W.
    """
    channels, height, width = input_shape
    return height * width * channels * (ch1x1 + 9 * ch3x3 + 25 * ch5x5)


def inception_multiply_adds(
    input_shape: Shape, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
) -> int:
    """The multiply-adds of the paper's ``Inception(C, ch1x1, ch3x3red, ...)`` on one image.

    Args:
        input_shape: (C, H, W). Every branch keeps H and W.
    """
    channels, height, width = input_shape
    pointwise = channels * (ch1x1 + ch3x3red + ch5x5red + pool_proj)
    return height * width * (pointwise + 9 * ch3x3red * ch3x3 + 25 * ch5x5red * ch5x5)
