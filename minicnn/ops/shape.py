"""Moving numbers about without changing them: reshape, permute, pad, convert. Joining is in ``joining.py``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Function
from ..autograd.memory import memory_of, share_memory
from ..backend.copies import moved
from ..devices import Place, as_device, device
from ..dtypes import DType, as_dtype, bfloat16
from ..errors import ShapeError
from ..tensors import Tensor, device_of
from .axes import normal_dim
from .broadcast import unbroadcast
from .sizes import Size, integers


class Reshape(Function):
    """The same numbers in reading order under another shape, and back."""

    @staticmethod
    def forward(ctx: Any, x: Any, shape: tuple[int, ...]) -> Any:
        ctx.shape = x.shape
        return x.reshape(shape)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy.reshape(ctx.shape), None


class Permute(Function):
    """Axes in another order; the inverse order takes the cotangent back."""

    @staticmethod
    def forward(ctx: Any, x: Any, order: tuple[int, ...]) -> Any:
        ctx.order = order
        return x.transpose(order)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        inverse = sorted(range(len(ctx.order)), key=ctx.order.__getitem__)
        return dy.transpose(inverse), None


class Expand(Function):
    """Axes of length 1 repeated without copying; the cotangents of the repeats add up."""

    @staticmethod
    def forward(ctx: Any, x: Any, shape: tuple[int, ...]) -> Any:
        ctx.shape = x.shape
        return ctx.backend.xp.broadcast_to(x, shape)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return unbroadcast(dy, ctx.shape), None


class Pad(Function):
    """A border of one value; the border's cotangent is dropped."""

    @staticmethod
    def forward(ctx: Any, x: Any, widths: tuple[tuple[int, int], ...], value: float) -> Any:
        ctx.inner = tuple(slice(before, before + size) for (before, _), size in zip(widths, x.shape, strict=True))
        return ctx.backend.xp.pad(x, widths, constant_values=value)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy[ctx.inner], None, None


class Flip(Function):
    """Axes read backwards; flipping the cotangent undoes it."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...]) -> Any:
        ctx.axes = axes
        return ctx.backend.xp.flip(x, axes).copy()

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return ctx.backend.xp.flip(dy, ctx.axes), None


class Clone(Function):
    """The same numbers in new memory."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.copy()

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy


class Cast(Function):
    """The same numbers in another dtype; the cotangent is cast back."""

    converts = True

    @staticmethod
    def forward(ctx: Any, x: Any, dtype: Any) -> Any:
        return x.astype(dtype)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy, None  # the engine casts to the input's dtype


class Move(Function):
    """The same numbers on another device; the cotangent travels back."""

    @staticmethod
    def forward(ctx: Any, x: Any, target: device) -> Any:
        ctx.source, ctx.device, ctx.backend = ctx.device, target, backend.get(target)
        return moved(x, ctx.source, target)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return moved(dy, ctx.device, ctx.source), None


def shape_of(args: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` are the same call. Raises TypeError for anything but integers."""
    return integers("shape", args[0] if len(args) == 1 else args)


def reshape(input: Tensor, *shape: Size) -> Tensor:
    """The same elements in reading order under a new shape, in which one length may be -1; a view where it can be.

    Raises:
        ShapeError: if the numbers of elements differ.
    """
    wanted = shape_of(shape)
    known = reduce(lambda a, b: a * b, (length for length in wanted if length != -1), 1)
    guesses = wanted.count(-1)
    fits = known == input.numel() if not guesses else known and input.numel() % known == 0
    if guesses > 1 or not fits or any(length < -1 for length in wanted):
        raise ShapeError(f"reshape: cannot give {input.numel()} elements of shape {input.shape} the shape {wanted}")
    return Reshape.apply(input, wanted)


def view(input: Tensor, *shape: Size) -> Tensor:
    """As ``reshape``, but always on the memory of ``input``: what is written into one is seen in the other.

    A result that lies in memory in another order, as those of the CPU's kernels may, is first put into reading order.

    Raises:
        ShapeError: also where that cannot be, because others look at the memory as it is: of a permuted tensor, say.
    """
    out = reshape(input, *shape)
    if out.memory is not input.memory and out.numel():  # it has been copied
        memory = memory_of(input)
        if not memory.fresh or memory.exposed:
            raise ShapeError(
                f"view: {input.shape} with the strides {input.stride()} cannot be seen as {out.shape}, and others "
                "share its memory: use .reshape(), which copies"
            )
        input.array = out.array.reshape(input.shape)
        share_memory(out, input)
    return out


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` viewed under the shape of ``other``."""
    return view(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` (included) joined into one."""
    if input.ndim == 0:
        return reshape(input, 1)
    start, end = normal_dim(input, start_dim), normal_dim(input, end_dim)
    if start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {input.shape}")
    joined = reduce(lambda a, b: a * b, input.shape[start : end + 1], 1)
    return reshape(input, (*input.shape[:start], joined, *input.shape[end + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Dimension ``dim`` split into ``sizes``; the inverse of ``flatten``."""
    axis, sizes = normal_dim(input, dim), integers("sizes", sizes)
    return reshape(input, (*input.shape[:axis], *sizes, *input.shape[axis + 1 :]))


def permute(input: Tensor, *dims: Size) -> Tensor:
    """The dimensions in the order ``dims``; a view.

    Raises:
        ShapeError: if ``dims`` does not name each dimension once.
    """
    order = tuple(normal_dim(input, d) for d in shape_of(dims))
    if sorted(order) != list(range(input.ndim)):
        raise ShapeError(f"permute: expected each of the {input.ndim} dimensions once, got {shape_of(dims)}")
    return Permute.apply(input, order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions swapped; a view."""
    order = list(range(input.ndim))
    a, b = normal_dim(input, dim0), normal_dim(input, dim1)
    order[a], order[b] = order[b], order[a]
    return Permute.apply(input, tuple(order))


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix."""
    return transpose(input, 0, 1) if input.ndim == 2 else input


def movedim(input: Tensor, source: int, destination: int) -> Tensor:
    """One dimension moved to another place, the others in order."""
    order = [axis for axis in range(input.ndim) if axis != normal_dim(input, source)]
    order.insert(normal_dim(input, destination), normal_dim(input, source))
    return Permute.apply(input, tuple(order))


def squeeze(input: Tensor, dim: Size | None = None) -> Tensor:
    """Without its dimensions of length 1, or without those of ``dim`` that have length 1."""
    dims = range(input.ndim) if dim is None else integers("dim", dim)
    gone = {normal_dim(input, d) for d in dims} if input.ndim else set()
    return reshape(input, tuple(n for axis, n in enumerate(input.shape) if not (axis in gone and n == 1)))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of length 1 at ``dim``."""
    place = normal_dim(input, dim, new=1)
    return reshape(input, (*input.shape[:place], 1, *input.shape[place:]))


def expand(input: Tensor, *sizes: Size) -> Tensor:
    """Dimensions of length 1 repeated to ``sizes`` (-1 keeps a length) without copying."""
    wanted = list(shape_of(sizes))
    new = len(wanted) - input.ndim
    for axis, length in enumerate(wanted):
        old = input.shape[axis - new] if axis >= new else None
        if length == -1 and old is not None:
            wanted[axis] = old
        elif length < 0 or old not in (None, 1, length):
            raise ShapeError(f"expand: shape {input.shape} cannot be expanded to {shape_of(sizes)}")
    if new < 0:
        raise ShapeError(f"expand: shape {input.shape} cannot be expanded to {shape_of(sizes)}")
    return Expand.apply(input, tuple(wanted))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, other.shape)


def repeat(input: Tensor, *repeats: Size) -> Tensor:
    """Copies laid side by side, ``repeats`` times along each dimension."""
    counts = shape_of(repeats)
    padded = reshape(input, (*[1] * (len(counts) - input.ndim), *input.shape))
    interleaved = [n for pair in zip([1] * len(counts), padded.shape, strict=True) for n in pair]
    stretched = [n for pair in zip(counts, padded.shape, strict=True) for n in pair]
    final = tuple(count * n for count, n in zip(counts, padded.shape, strict=True))
    return reshape(clone(expand(reshape(padded, interleaved), stretched)), final)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """A border around the last dimensions, last one first: ``(left, right, above, below)`` for images.

    Args:
        pad: widths, two a dimension; negative ones crop.
        mode: ``"constant"`` (``value``, 0 by default), ``"reflect"``, ``"replicate"`` or ``"circular"``.
    """
    widths, pad = [(0, 0)] * input.ndim, integers("pad", pad)
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(f"pad: expected two widths for each padded dimension of {input.shape}, got {tuple(pad)}")
    for i in range(len(pad) // 2):
        widths[input.ndim - 1 - i] = pad[2 * i], pad[2 * i + 1]
    if mode != "constant":
        return _pad_by_index(input, widths, mode)
    cropped = input
    if any(width < 0 for pair in widths for width in pair):
        inner = (slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(widths, input.shape, strict=True))
        cropped = input[tuple(inner)]
        widths = [(max(0, a), max(0, b)) for a, b in widths]
    return Pad.apply(cropped, tuple(widths), 0 if value is None else value)


_NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad_by_index(input: Tensor, widths: list[tuple[int, int]], mode: str) -> Tensor:
    if mode not in _NUMPY_MODES:
        raise ValueError(f"pad: expected mode among {['constant', *_NUMPY_MODES]}, got {mode!r}")
    for axis, (before, after) in enumerate(widths):
        if before or after:
            limit = input.shape[axis] - (mode == "reflect")
            if mode != "replicate" and max(before, after) > limit:
                raise ShapeError(f"pad: {mode} padding ({before}, {after}) is larger than {limit} in {input.shape}")
            source = np.pad(np.arange(input.shape[axis]), (before, after), mode=_NUMPY_MODES[mode])  # type: ignore[call-overload]
            input = input[(*(slice(None),) * axis, Tensor(source, device=input.device))]
    return input


def flip(input: Tensor, *dims: Size) -> Tensor:
    """The dimensions ``dims`` read backwards."""
    axes = tuple(normal_dim(input, d) for d in shape_of(dims))
    return Flip.apply(input, axes) if input.ndim else input.clone()


def clone(input: Tensor) -> Tensor:
    """The same values in new memory, on the tape."""
    return Clone.apply(input)


def contiguous(input: Tensor) -> Tensor:
    """The tensor itself if it lies in memory in reading order, else a copy that does."""
    return input if input.is_contiguous() else clone(input)


def to(
    input: Tensor,
    *args: Tensor | DType | Place | None,
    dtype: DType | None = None,
    device: Place | None = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Another dtype, another device, or both: ``to(float64)``, ``to("cuda")``, ``to(device, dtype)``, ``to(other)``.

    ``non_blocking`` and ``memory_format`` are PyTorch's, and change nothing here.
    """
    new_dtype, new_device = destination(args, dtype, device)
    out = input
    if new_dtype is not None and new_dtype != input.dtype:
        out = Cast.apply(out, new_dtype)
    if new_device is not None and new_device != device_of(input):
        out = Move.apply(out, new_device)
    return clone(out) if copy and out is input else out


def destination(args: tuple[Any, ...], dtype: Any = None, device: Any = None) -> tuple[np.dtype | None, device | None]:
    """The dtype and the device that the arguments of a ``to()`` ask for, ``None`` where they ask for none.

    Raises:
        ValueError: for a device that there is not; a word that is no dtype is taken for one.
        TypeError: for a dtype that is not of numbers.
    """
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, (np.dtype, type)) or (isinstance(arg, str) and (arg == bfloat16 or arg in np.sctypeDict)):
            dtype = arg
        elif arg is not None and not isinstance(arg, bool):  # PyTorch's non_blocking and copy
            device = arg
    return None if dtype is None else as_dtype(dtype), None if device is None else as_device(device)
