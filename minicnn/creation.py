"""Making tensors: from data, filled, counted, or drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from . import backend, random
from .autograd.checks import common_device
from .devices import Place, as_device
from .dtypes import DType, as_dtype, get_default_dtype, int64
from .foreign import is_foreign, shared
from .ops.arithmetic import eq
from .ops.broadcast import Operand
from .ops.guards import guard
from .ops.shape import shape_of
from .ops.sizes import Size
from .tensors import Tensor, as_array


def tensor(data: Any, dtype: DType | None = None, device: Place | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of ``data``; Python floats become the default dtype, arrays keep theirs.

    Arrays may be NumPy's, CuPy's, or of another library that has DLPack, PyTorch's for example; on the device that they
    live on, unless another is given.
    """
    if is_foreign(data) and not isinstance(data, Tensor):
        data = shared(data)
    array = as_array(data, dtype)
    source = data.array if isinstance(data, Tensor) else data
    if array is source or (isinstance(array, np.ndarray) and np.may_share_memory(array, source)):
        array = array.copy()
    return Tensor(array, None, requires_grad, device)


def as_tensor(data: Any, dtype: DType | None = None, device: Place | None = None) -> Tensor:
    """``data`` as a tensor; not copied if it already has the dtype and device that are asked for.

    So it is on the memory of an array, also of PyTorch's and CuPy's: see ``from_dlpack``.
    """
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    return Tensor(as_array(data, dtype), device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on the memory of ``array``."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    return Tensor(array)


def _wanted(dtype: DType | None) -> np.dtype[Any]:
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def _place(array: Any, dtype: DType | None, device: Place | None, requires_grad: bool) -> Tensor:
    return Tensor(array, dtype=dtype, requires_grad=requires_grad, device=device)


def full(
    size: Size,
    fill_value: Operand,
    *,
    dtype: DType | None = None,
    device: Place | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of shape ``size`` filled with one value."""
    dtype = as_array(fill_value).dtype if dtype is None else as_dtype(dtype)
    return _place(np.full(shape_of((size,)), fill_value, dtype), None, device, requires_grad)


def zeros(*size: Size, dtype: DType | None = None, device: Place | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of shape ``size``."""
    return _place(np.zeros(shape_of(size), _wanted(dtype)), None, device, requires_grad)


def ones(*size: Size, dtype: DType | None = None, device: Place | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of shape ``size``."""
    return _place(np.ones(shape_of(size), _wanted(dtype)), None, device, requires_grad)


def empty(*size: Size, dtype: DType | None = None, device: Place | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of shape ``size`` whose values are not set: whatever is in memory."""
    return _place(np.empty(shape_of(size), _wanted(dtype)), None, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    device: Place | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix."""
    return _place(np.eye(n, m, dtype=_wanted(dtype)), None, device, requires_grad)


def arange(
    *args: float, dtype: DType | None = None, device: Place | None = None, requires_grad: bool = False
) -> Tensor:
    """``arange(end)``, ``arange(start, end)``, ``arange(start, end, step)``: evenly spaced, the end left out."""
    if dtype is None and not any(isinstance(a, float) for a in args):
        dtype = int64
    return _place(np.arange(*args, dtype=_wanted(dtype)), None, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    device: Place | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both included."""
    values = np.linspace(start, end, steps, dtype=_wanted(dtype))
    return _place(values, None, device, requires_grad)


class Sampler(Protocol):
    """Draws a tensor of shape ``size``."""

    def __call__(
        self,
        *size: Size,
        generator: random.Generator | None = None,
        dtype: DType | None = None,
        device: Place | None = None,
        requires_grad: bool = False,
    ) -> Tensor: ...


def _sampler(draw: Callable[..., Any], doc: str) -> Sampler:
    def sample(
        *size: Size,
        generator: random.Generator | None = None,
        dtype: DType | None = None,
        device: Place | None = None,
        requires_grad: bool = False,
    ) -> Tensor:
        dtype = _wanted(dtype)
        values = draw(random.resolve(generator), shape_of(size), np.float32 if dtype.itemsize < 4 else dtype)
        return _place(np.asarray(values), dtype, device, requires_grad)

    sample.__doc__ = doc
    return sample


randn = _sampler(lambda rng, size, dtype: rng.standard_normal(size, dtype=dtype), "Draws from the standard normal.")
rand = _sampler(lambda rng, size, dtype: rng.random(size, dtype=dtype), "Draws uniformly from [0, 1).")


def randint(
    low: int,
    high: int | Sequence[int] | None = None,
    size: Size = (),
    *,
    generator: random.Generator | None = None,
    dtype: DType | None = None,
    device: Place | None = None,
) -> Tensor:
    """Integers drawn uniformly from ``low`` (0 if only one bound is given) to ``high``, the upper bound left out."""
    if isinstance(high, Sequence):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    drawn = random.resolve(generator).integers(low, high, shape_of((size,)))
    return _place(drawn, dtype or int64, device, False)


def randperm(n: int, *, generator: random.Generator | None = None, device: Place | None = None) -> Tensor:
    """0 .. n - 1 in random order."""
    return _place(random.resolve(generator).permutation(n), int64, device, False)


@guard
def bernoulli(input: Tensor, *, generator: random.Generator | None = None) -> Tensor:
    """1 with the probability that each element of ``input`` gives, else 0."""
    drawn = random.resolve(generator).random(input.shape) < backend.get(input.device).to_host(input.array)
    return _place(drawn, input.dtype, input.device, False)


class Like(Protocol):
    """Makes a tensor with the shape, dtype and device of ``input``, unless others are given."""

    def __call__(
        self,
        input: Tensor,
        *,
        dtype: DType | None = None,
        device: Place | None = None,
        requires_grad: bool = False,
    ) -> Tensor: ...


class LikeFilled(Protocol):
    """As ``Like``, filled with one value."""

    def __call__(
        self,
        input: Tensor,
        fill_value: Operand,
        *,
        dtype: DType | None = None,
        device: Place | None = None,
        requires_grad: bool = False,
    ) -> Tensor: ...


def _like(make: Callable[..., Tensor]) -> Any:
    @guard
    def like(
        input: Tensor,
        *args: Any,
        dtype: DType | None = None,
        device: Place | None = None,
        requires_grad: bool = False,
    ) -> Tensor:
        place = input.device if device is None else as_device(device)
        return make(input.shape, *args, dtype=dtype or input.dtype, device=place, requires_grad=requires_grad)

    like.__doc__ = f"``{getattr(make, '__name__', 'sample')}`` with the shape, dtype and device of ``input``."
    return like


zeros_like: Like = _like(zeros)
ones_like: Like = _like(ones)
empty_like: Like = _like(empty)
full_like: LikeFilled = _like(full)
randn_like: Like = _like(randn)
rand_like: Like = _like(rand)


@guard
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


@guard
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``."""
    xp = backend.get(common_device("isclose", [input, other])).xp
    return Tensor.wrap(xp.asarray(xp.isclose(input.array, other.array, rtol, atol, equal_nan)), input.device)


@guard
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and the same elements."""
    return input.shape == other.shape and bool(eq(input, other).all())


@guard
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(...) class indices -> (..., num_classes): 1 at the class and 0 elsewhere, as ``torch.nn.functional.one_hot``.

    Raises:
        TypeError: for another dtype than int64.
        ValueError: for an index below 0, or not below ``num_classes`` (-1: one more than the largest index).
    """
    if tensor.dtype != int64:
        raise TypeError(f"one_hot: expected int64 class indices, got {tensor.dtype}: convert with .long()")
    labels = backend.get(tensor.device).to_host(tensor.array)
    classes = int(labels.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"one_hot: expected classes 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return Tensor(np.eye(classes, dtype=np.int64)[labels], device=tensor.device)


def is_tensor(obj: object) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)
