"""Reading and writing parts of a tensor by index: slices, integers, integer arrays, masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function, is_grad_enabled
from ..autograd.checks import common_device
from ..dtypes import int32, int64, uint8
from ..errors import ShapeError
from ..tensors import Tensor
from .axes import normal_dim
from .broadcast import unbroadcast
from .elementwise import where
from .inplace import rewrite


class Index(Function):
    """y = x[index]: the cotangent goes back to the places read, adding up where one was read twice."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any) -> Any:
        ctx.shape, ctx.index = x.shape, index
        return x[index]

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        dx = ctx.backend.xp.zeros(ctx.shape, dy.dtype)
        if is_basic(ctx.index):
            dx[ctx.index] = dy
        else:
            ctx.backend.scatter_add(dx, ctx.index, dy)
        return dx, None


class IndexWrite(Function):
    """y = x with y[index] = value: the places written take their cotangent to the value, the others to x."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any, index: Any) -> Any:
        y = x.copy()
        y[index] = value
        ctx.index = index
        ctx.value_shape = getattr(value, "shape", ())
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        dx = dy.copy()
        dx[ctx.index] = 0
        taken = dy[ctx.index]
        extra = len(ctx.value_shape) - taken.ndim  # value may have leading axes of length 1
        d_value = unbroadcast(taken, ctx.value_shape[extra:] if extra > 0 else ctx.value_shape)
        return dx, d_value.reshape(ctx.value_shape), None


class IndexOverwrite(Function):
    """x[index] <- value in x's own memory, where no gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, x: Any, value: Any, index: Any) -> Any:
        x[index] = value
        ctx.mark_dirty(x)
        return x


class Gather(Function):
    """y = x read along an axis at given positions, one for each element of the output."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, positions: Any) -> Any:
        ctx.shape, ctx.axis = x.shape, axis
        ctx.save_for_backward(positions)
        return ctx.backend.xp.take_along_axis(x, positions, axis)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (positions,) = ctx.saved_tensors
        xp = ctx.backend.xp
        dx = xp.zeros(ctx.shape, dy.dtype)
        index = list(xp.meshgrid(*map(xp.arange, dy.shape), indexing="ij"))
        index[ctx.axis] = positions
        ctx.backend.scatter_add(dx, tuple(index), dy)
        return dx, None, None


def plain_index(input: Tensor, index: Any) -> Any:
    """``index`` as NumPy wants it, tensors turned into arrays; basic indices give a view even of one element.

    Raises:
        DeviceError: for a tensor on another GPU than ``input``. One in host memory is copied to it.
    """
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(_plain_part(input, part) for part in parts)
    return (*parts, Ellipsis) if is_basic(parts) and not any(part is Ellipsis for part in parts) else parts


def _plain_part(input: Tensor, part: Any) -> Any:
    if isinstance(part, Tensor):
        if part.ndim and part.dtype == uint8:
            raise TypeError("index: a uint8 tensor could mean a mask or positions: convert with .bool() or .long()")
        if part.ndim == 0 and part.dtype.kind in "iu":
            return int(part)
        if not part.is_cuda:
            return part.to(input.device).array
        common_device("index", [input, part])
        return part.array
    return part


def is_basic(index: tuple[Any, ...]) -> bool:
    """Whether ``index`` is made of integers, slices, ``None`` and ``...`` only, so that it reads no place twice."""
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (hasattr(part, "__index__") and not isinstance(part, bool) and not hasattr(part, "shape"))
        for part in index
    )


def getitem(input: Tensor, index: Any) -> Tensor:
    """``input[index]``: a view for integers and slices, a copy for integer arrays and masks."""
    return Index.apply(input, plain_index(input, index))


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``, recorded on the tape where a gradient is wanted.

    Raises:
        AutogradError: for a leaf that requires grad, outside ``no_grad``.
    """
    place = plain_index(input, index)
    if isinstance(value, Tensor):
        value = value.to(input.device, input.dtype)
    elif input.is_cuda and not isinstance(value, (bool, int, float)):
        value = Tensor(value, dtype=input.dtype, device=input.device)
    if is_grad_enabled() and (input.requires_grad or (isinstance(value, Tensor) and value.requires_grad)):
        rewrite(input, lambda old: IndexWrite.apply(old, value, place))
        return
    IndexOverwrite.apply(input, value, place)


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for ``dim`` 0, and so on for the others.

    Raises:
        ShapeError: unless ``index`` has as many dimensions as ``input``, and outside ``dim`` is nowhere longer.
        TypeError: for an ``index`` that is not int32 or int64.
        IndexError: for a ``dim`` or a position that ``input`` does not have.
        DeviceError: for an ``index`` on another device.
    """
    axis = normal_dim(input, dim)
    _check_positions("gather", index)
    common_device("gather", [input, index])
    if input.ndim == 0 or index.ndim != input.ndim:
        raise ShapeError(f"gather: expected an index with {input.ndim} dimensions, got shape {index.shape}")
    if any(a != axis and n > m for a, (n, m) in enumerate(zip(index.shape, input.shape, strict=True))):
        raise ShapeError(f"gather: the index of shape {index.shape} reaches beyond the input of shape {input.shape}")
    cut = tuple(slice(None) if a == axis else slice(n) for a, n in enumerate(index.shape))
    return Gather.apply(getitem(input, cut), axis, index.array)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``input`` along ``dim`` named by ``index``, int32 or int64."""
    _check_positions("index_select", index)
    return getitem(input, (*(slice(None),) * normal_dim(input, dim), index if index.ndim == 1 else index.reshape(-1)))


def _check_positions(name: str, index: Tensor) -> None:
    if index.dtype not in (int32, int64):
        raise TypeError(f"{name}: expected an int32 or int64 index, got {index.dtype}")


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value``, in the dtype of ``input``, where ``mask`` holds, ``input`` elsewhere."""
    if not input.is_floating_point():
        value = np.asarray(value).astype(input.dtype).item()
    return where(mask, value, input)
