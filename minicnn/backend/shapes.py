"""A backend that computes nothing: it follows the shapes and counts the multiply-adds.

Every array is a single zero with strides of 0, so a pass of EfficientNet-B7 over a 600 x 600 image takes no memory and
a few milliseconds. ``nn/summary.py`` uses it to say what each layer of a network costs.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .base import Pair, Window
from .reference import ReferenceBackend


class ShapeArray(np.ndarray):
    """An array that has a shape and a dtype, and no numbers. NumPy's functions on it return arrays of the same kind."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if out is not None:  # an in-place operation changes no shape
            return out[0]
        if method == "reduce":
            return shape_array(_reduced(inputs[0].shape, options), _result_dtype(ufunc, inputs[:1]))
        if method == "accumulate":
            return shape_array(inputs[0].shape, _result_dtype(ufunc, inputs[:1]))
        if method != "__call__":
            return NotImplemented
        return shape_array(np.broadcast_shapes(*map(np.shape, inputs)), _result_dtype(ufunc, inputs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Replace functions by ones that only compute shapes where NumPy would fill memory; views are left to NumPy."""
        if function in _BY_SHAPE:
            return _BY_SHAPE[function](*args, **kwargs)
        return super().__array_function__(function, types, args, kwargs)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Writing changes no shape."""

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """The same shape in another dtype."""
        return shape_array(self.shape, dtype)

    def copy(self, order: Any = "C") -> Any:
        """Another array: what is written into the one must not be taken for the other."""
        return shape_array(self.shape, self.dtype)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **_: Any) -> Any:  # type: ignore[override]
        """NumPy's own mean divides in place, which this array cannot."""
        return shape_array(_reduced(self.shape, {"axis": axis, "keepdims": keepdims}), self.dtype)


def shape_array(shape: tuple[int, ...], dtype: Any = np.float32) -> ShapeArray:
    """The array of this shape that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape).view(ShapeArray)


def _reduced(shape: tuple[int, ...], options: dict[str, Any]) -> tuple[int, ...]:
    axis, keepdims = options.get("axis", 0), options.get("keepdims", False)
    axes = (
        range(len(shape)) if axis is None else [a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))]
    )
    kept = ((1 if index in axes else length) for index, length in enumerate(shape) if keepdims or index not in axes)
    return tuple(kept)


def _result_dtype(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> np.dtype:
    tiny = (np.ones((), x.dtype) if hasattr(x, "dtype") else x for x in inputs)
    return np.asarray(ufunc(*tiny) if len(inputs) > 1 or ufunc.nin == 1 else next(tiny)).dtype


def _concatenate(arrays: Any, axis: int = 0) -> ShapeArray:
    shape = list(arrays[0].shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    return shape_array(tuple(shape), arrays[0].dtype)


def _pad(array: Any, widths: Any, **_: Any) -> ShapeArray:
    return shape_array(tuple(n + sum(pair) for n, pair in zip(array.shape, widths, strict=True)), array.dtype)


def _where(condition: Any, a: Any, b: Any) -> ShapeArray:
    dtype = np.result_type(*(x.dtype if hasattr(x, "dtype") else x for x in (a, b)))
    return shape_array(np.broadcast_shapes(np.shape(condition), np.shape(a), np.shape(b)), dtype)


_BY_SHAPE: dict[Any, Any] = {np.concatenate: _concatenate, np.pad: _pad, np.where: _where}


class ShapesBackend(ReferenceBackend):
    """The primitives as statements about shapes. ``multiply_adds`` counts what a real backend would have to do.

    One multiply-add for each weight and each output it contributes to, in convolutions (deformable ones included)
    and matrix products; biases, norms, activations and pooling are not counted.
    """

    name = "shapes"

    def __init__(self) -> None:
        self.multiply_adds = 0

    def matmul(self, a: Any, b: Any) -> Any:  # type: ignore[override]
        """(..., n, m) @ (..., m, p): n * m * p multiply-adds for each pair of matrices."""
        rows = a.shape if a.ndim > 1 else (1, *a.shape)
        leading = np.broadcast_shapes(rows[:-2], b.shape[:-2])
        self.multiply_adds += prod(leading) * rows[-2] * rows[-1] * b.shape[-1]
        return shape_array((*leading, *a.shape[-2:-1], b.shape[-1]), a.dtype)

    def conv2d(self, x: Any, weight: Any, window: Window, groups: int = 1) -> Any:
        """Each weight is used once per output position and image."""
        out_size = window.output_size(x.shape[2:])
        self.multiply_adds += x.shape[0] * weight.size * prod(out_size)
        return shape_array((x.shape[0], weight.shape[0], *out_size), x.dtype)

    @staticmethod
    def deform_im2col(x: Any, offset: Any, mask: Any, window: Window, offset_groups: int) -> Any:
        """The shape of the columns; interpolation is not counted, like other elementwise work."""
        taps = window.kernel_size[0] * window.kernel_size[1]
        return shape_array((x.shape[1] * taps, x.shape[0] * offset.shape[2] * offset.shape[3]), x.dtype)

    @staticmethod
    def max_pool2d(x: Any, window: Window, out_size: Pair) -> Any:
        """Maxima and indices."""
        shape = (*x.shape[:2], *out_size)
        return shape_array(shape, x.dtype), shape_array(shape, np.int64)

    @staticmethod
    def avg_pool2d(x: Any, window: Window, divisor: Any) -> Any:
        """Means."""
        return shape_array((*x.shape[:2], *divisor.shape), x.dtype)

    @staticmethod
    def adaptive_avg_pool2d(x: Any, out_size: Pair) -> Any:
        """Means over cells."""
        return shape_array((*x.shape[:2], *out_size), x.dtype)
