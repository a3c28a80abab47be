"""The primitives that every backend provides, on raw arrays of its own kind.

All images are (N, C, H, W). Everything that is not listed here is written once, in ``minicnn.ops``, with the
functions of ``backend.xp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

Array = Any  # numpy.ndarray, or the device's own
Pair = tuple[int, int]  # along height, along width


class Window(NamedTuple):
    """How a kernel slides over an image: the geometry that convolution and pooling share."""

    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))  # (above, below), (left, right)
    dilation: Pair = (1, 1)

    def extent(self, axis: int) -> int:
        """Pixels from the first to the last sample of one window: ``dilation * (kernel - 1) + 1``."""
        return self.dilation[axis] * (self.kernel_size[axis] - 1) + 1

    def output_size(self, size: tuple[int, ...]) -> Pair:
        """Positions of the window on an image of ``size``: ``floor((size + padding - extent) / stride) + 1``."""
        height, width = (
            (size[axis] + sum(self.padding[axis]) - self.extent(axis)) // self.stride[axis] + 1 for axis in (0, 1)
        )
        return height, width


class Backend(Protocol):
    """One way of computing. ``xp`` is the array module (NumPy or a drop-in), ``device_type`` what it serves."""

    name: str
    device_type: str

    @property
    def xp(self) -> Any:
        """The array module."""

    @property
    def fused(self) -> Mapping[str, Any]:
        """Fused kernels, each for several operations, by name: ``compiler/rules.py`` says which are known, and
        ``reference/fused.py`` what they compute. A backend may have all, some or none of them.
        """

    @property
    def least_work(self) -> int:
        """A kernel for a single operation pays from this many numbers, or eight times as many multiply-adds."""

    @property
    def statistics_in_kernels(self) -> bool:
        """Whether the kernels of batch norm work on the statistics as a layer keeps them: ``batch_norm`` and
        ``fused["norm"]`` then take ``running`` (``ops.normalization.Running``) and move it, and ``fused["fixed_norm"]``
        takes a ``Given``.
        """

    def release_memory(self) -> None:
        """Return memory to the system that is free now but kept for later arrays."""

    def to_device(self, array: Any) -> Array:
        """A host array as an array of this backend."""

    def to_host(self, array: Array) -> Any:
        """An array of this backend as a NumPy array."""

    def matmul(self, a: Array, b: Array) -> Array:
        """The product of the matrices in the last two axes; leading axes broadcast."""

    # convolution: x (N, C, H, W), weight (K, C/groups, kH, kW), y (N, K, oH, oW)

    def conv2d(self, x: Array, weight: Array, window: Window, groups: int) -> Array:
        """Cross-correlation of ``x`` with ``weight``."""

    def conv2d_input_grad(
        self, dy: Array, weight: Array, x_shape: tuple[int, ...], window: Window, groups: int
    ) -> Array:
        """The adjoint of ``conv2d`` in ``x``: the gradient at the input."""

    def conv2d_weight_grad(
        self, dy: Array, x: Array, weight_shape: tuple[int, ...], window: Window, groups: int
    ) -> Array:
        """The adjoint of ``conv2d`` in ``weight``: the gradient at the weight."""

    # deformable convolution: offset (N, 2 G kH kW, oH, oW), mask (N, G kH kW, oH, oW) or None

    def deform_im2col(self, x: Array, offset: Array, mask: Array | None, window: Window, offset_groups: int) -> Array:
        """Samples of ``x`` on the irregular grid, as columns (C * kH * kW, N * oH * oW)."""

    def deform_im2col_grad(
        self, d_columns: Array, x: Array, offset: Array, mask: Array | None, window: Window, offset_groups: int
    ) -> tuple[Array, Array, Array | None]:
        """Gradients at the image, the offsets and the mask."""

    # pooling: ``out_size`` is given, because ``ceil_mode`` allows windows that reach over the edge

    def max_pool2d(self, x: Array, window: Window, out_size: Pair) -> tuple[Array, Array]:
        """Window maxima, and the place of each: row * W + column in its input plane."""

    def max_pool2d_grad(self, dy: Array, indices: Array, x_shape: tuple[int, ...], window: Window) -> Array:
        """Each cotangent goes to the pixel that was the maximum. ``window`` says which windows a pixel is in."""

    def avg_pool2d(self, x: Array, window: Window, divisor: Array) -> Array:
        """Window sums over ``divisor`` (oH, oW)."""

    def avg_pool2d_grad(self, dy: Array, x_shape: tuple[int, ...], window: Window, divisor: Array) -> Array:
        """Each cotangent, over its divisor, goes to every pixel of its window."""

    def adaptive_avg_pool2d(self, x: Array, out_size: Pair) -> Array:
        """Means over the cells of a grid of ``out_size`` cells on the image."""

    def adaptive_avg_pool2d_grad(self, dy: Array, x_shape: tuple[int, ...]) -> Array:
        """Each cotangent, over the area of its cell, goes to every pixel of the cell."""

    # normalisation: channels on axis 1, statistics over all other axes

    def batch_norm(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array, Array]:
        """Normalise with the batch's own statistics: y, mean, biased variance, 1 / sqrt(variance + eps)."""

    def batch_norm_grad(
        self, dy: Array, x: Array, weight: Array | None, mean: Array, inv_std: Array
    ) -> tuple[Array, Array, Array]:
        """Gradients at the input, the weight and the bias, through the statistics."""

    def scale_and_shift(self, x: Array, scale: Array, shift: Array) -> Array:
        """``scale * x + shift``, (C,) each: normalisation with given statistics."""

    # losses, indices, random numbers

    def softmax_cross_entropy(self, logits: Array, targets: Array) -> tuple[Array, Array]:
        """-sum_c targets * log softmax(logits) for each row of (N, C), and log softmax."""

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        """``target[index] += values`` in place, adding up where an index repeats."""

    def dropout_mask(self, shape: tuple[int, ...], p: float, dtype: Any, generator: Any) -> Array:
        """0 with probability ``p``, else 1 / (1 - p)."""

    # one update of a list of parameters of one dtype, in place: see ``reference/optimizer.py`` for the equations

    sgd_step: Any
    adam_step: Any
