"""What an inception module costs, counted by hand from its sizes: where GoogLeNet's savings come from.

Paper    Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842, section 4 and Table 1.
Lecture  L2.1.2: the dimension-reduced module against the naive one.

A *multiply-add* is one weight times one input value, added to a sum. A convolution takes one for each weight and each
output pixel that the weight contributes to, for one image. Biases, ReLU and pooling are not counted.
``minicnn.nn.summary`` has the same convention and finds the same numbers by running a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.models.inception_cost import Shape


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
    raise NotImplementedError("hw3.5 conv_multiply_adds: not written yet, see assignments/hw3_googlenet/README.md")


def naive_multiply_adds(input_shape: Shape, ch1x1: int, ch3x3: int, ch5x5: int) -> int:
    """The multiply-adds of ``NaiveInception(C, ch1x1, ch3x3, ch5x5)`` on one image.

    Args:
        input_shape: (C, H, W). Every branch keeps H and W.
    """
    raise NotImplementedError("hw3.5 naive_multiply_adds: not written yet, see assignments/hw3_googlenet/README.md")


def inception_multiply_adds(
    input_shape: Shape, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
) -> int:
    """The multiply-adds of the paper's ``Inception(C, ch1x1, ch3x3red, ...)`` on one image.

    Args:
        input_shape: (C, H, W). Every branch keeps H and W.
    """
    raise NotImplementedError("hw3.5 inception_multiply_adds: not written yet, see assignments/hw3_googlenet/README.md")
