"""How windows lie on an image: argument checks and output sizes shared by convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.base import Pair, Window
from ..errors import ShapeError
from ..tensors import Tensor
from .sizes import integer, integers


def pair(name: str, value: Any, minimum: int) -> Pair:
    """``value`` as (along height, along width): one integer stands for both.

    Raises:
        TypeError: for anything but integers.
        ValueError: if a number is below ``minimum``, or there are neither one nor two.
    """
    numbers = integers(name, value)
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2:
        raise ValueError(f"expected an integer or a pair (height, width) as {name}, got {value!r}")
    height, width = (integer(name, number, minimum) for number in numbers)
    return height, width


def convolution_padding(padding: Any, stride: Pair) -> str | Pair:
    """The padding of a convolution: a word, ``"valid"`` (none) or ``"same"`` (output as large as input), or a ``pair``.

    Raises:
        ValueError: for another word, and for ``"same"`` with a stride, which has no answer; and as ``pair``.
    """
    if not isinstance(padding, str):
        return pair("padding", padding, 0)
    if padding not in ("same", "valid"):
        raise ValueError(f"expected 'same', 'valid', an integer or a pair (height, width) as padding, got {padding!r}")
    if padding == "same" and stride != (1, 1):
        raise ValueError(f"padding='same' needs stride 1: with stride={stride} the output shrinks")
    return padding


def convolution_window(kernel_size: Pair, stride: Any, padding: Any, dilation: Any) -> Window:
    """The window of a convolution. Raises as ``pair`` and ``convolution_padding``."""
    stride, dilation = pair("stride", stride, 1), pair("dilation", dilation, 1)
    window = Window(kernel_size, stride, dilation=dilation)
    padding = convolution_padding(padding, stride)
    if padding == "valid":
        return window
    if padding != "same":
        height, width = padding
        return window._replace(padding=((height, height), (width, width)))
    totals = (window.extent(axis) - 1 for axis in (0, 1))
    above, left = ((total // 2, total - total // 2) for total in totals)  # an odd one goes below and right
    return window._replace(padding=(above, left))


def pooling_window(kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1) -> Window:
    """The window of a pooling; ``stride`` is the kernel size unless given.

    Raises:
        ValueError: if the padding is more than half of the kernel, so that a window could see nothing but padding.
    """
    kernel = pair("kernel_size", kernel_size, 1)
    unset = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    step = kernel if unset else pair("stride", stride, 1)
    height, width = pair("padding", padding, 0)
    window = Window(kernel, step, ((height, height), (width, width)), pair("dilation", dilation, 1))
    for axis, padded in enumerate((height, width)):
        if 2 * padded > window.extent(axis):
            raise ValueError(f"expected padding (={(height, width)}) to be at most half of kernel_size (={kernel})")
    return window


def pooling_output_size(window: Window, size: tuple[int, ...], ceil_mode: bool) -> Pair:
    """Windows along height and width; with ``ceil_mode`` a last one may hang over if it starts within the image.

    Raises:
        ShapeError: if not even one window fits.
    """

    def along(axis: int) -> int:
        before, after = window.padding[axis]
        room = size[axis] + before + after - window.extent(axis)
        stride = window.stride[axis]
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride >= size[axis] + before:
            count -= 1  # it would start in the padding
        return count

    out_size = along(0), along(1)
    if min(out_size) < 1:
        raise ShapeError(
            f"expected an input of at least the kernel's extent {(window.extent(0), window.extent(1))} "
            f"with padding {(window.padding[0][0], window.padding[1][0])}, got {size[0]}x{size[1]} pixels"
        )
    return out_size


def on_batch(input: Tensor, compute: Callable[[Tensor], Any]) -> Any:
    """Run ``compute`` on a batch (N, C, H, W); a single image (C, H, W) goes in and comes out without N.

    Raises:
        ShapeError: for another number of dimensions.
    """
    if input.ndim == 4:
        return compute(input)
    if input.ndim != 3:
        raise ShapeError(f"expected a batch (N, C, H, W) or one image (C, H, W), got shape {input.shape}")
    result = compute(input.unsqueeze(0))
    return tuple(r.squeeze(0) for r in result) if isinstance(result, tuple) else result.squeeze(0)
