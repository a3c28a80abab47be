"""The tensor: an array of numbers, the device it lives on, and its place on the tape.

This file says what a tensor *is*. Its methods for gradients (``backward``, ``requires_grad``, ``detach`` ...) are
attached by ``minicnn.autograd``, and its operations (``+``, ``exp``, ``conv2d`` ...) by ``minicnn.ops``.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backend
from .backend.copies import moved
from .devices import CPU, Place, as_device
from .devices import device as Device  # noqa: N812  (the tensor has a property of that name)
from .dtypes import DType, as_dtype, get_default_dtype
from .errors import AutogradError
from .foreign import is_foreign, shared
from .short_floats import FLOATS

if TYPE_CHECKING:
    from .ops.methods import Methods
else:
    Methods = object  # at run time the members are attached to ``Tensor`` itself


def as_array(data: Any, dtype: DType | None = None) -> Any:
    """``data`` as an array, by PyTorch's rules: arrays keep their dtype, Python floats take the default dtype.

    Arrays of other libraries are taken in by DLPack, on their own memory if the dtype stays.
    """
    if isinstance(data, Tensor):
        data = data.exposed_array()
    elif is_foreign(data):
        data = shared(data)
    elif isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) for item in data):
        data = [item.numpy() if isinstance(item, Tensor) else item for item in data]
    if (place := device_of(data)) is not CPU:
        backend.get(place)  # the current GPU from here on
    wanted = None if dtype is None else as_dtype(dtype)
    is_array = hasattr(data, "dtype") and hasattr(data, "shape")
    array = data if is_array and not isinstance(data, np.generic) else np.asarray(data)
    if wanted is None and not is_array and array.dtype.kind == "f":
        wanted = get_default_dtype()
    given = as_dtype(array.dtype)
    wanted = given if wanted is None else wanted
    wanted = wanted if wanted.isnative else wanted.newbyteorder("=")  # no kernel computes in another byte order
    return array if array.dtype == wanted else array.astype(wanted)


class Tensor(Methods):
    """An n-dimensional array that remembers how it was computed.

    Args:
        data: an array (copied only if its byte order is another machine's), of NumPy, CuPy, or another library that
            has DLPack, as PyTorch has; a nested sequence of numbers; or a tensor.
        dtype: the dtype to convert to; by default arrays keep theirs and sequences get the default dtype, of integers
            too, as with ``torch.Tensor``. (``minicnn.tensor`` keeps integers integers.)
        requires_grad: whether ``backward()`` should leave a gradient in ``.grad`` (floating point only).
        device: where to put it, ``"cpu"`` by default.

    ``.array`` is the raw array, for reading: after writing into it call ``mark_written()``. ``.data`` is a
    detached tensor on the same memory, ``.grad`` the gradient or ``None``.

    Raises:
        TypeError: for data that are not numbers.
        AutogradError: if ``requires_grad`` is asked of integers or bools.
    """

    __array_priority__ = 1000  # ndarray + Tensor asks the tensor
    producer: weakref.ref[Any] | None = None  # the nn.Module that returned it, for messages about its shape
    post_accumulate_hooks: dict[int, Any] | None = None  # of a leaf: what is called after ``.grad`` has changed
    _announce: Any = None  # of a parameter: called with a compiled model's gradient, before backward is over

    def __init__(
        self, data: Any = (), dtype: DType | None = None, requires_grad: bool = False, device: Place | None = None
    ) -> None:
        if dtype is None and isinstance(data, (list, tuple)):
            dtype = get_default_dtype()
        array = as_array(data, dtype)
        source = device_of(data if isinstance(data, Tensor) else array)
        place = source if device is None else as_device(device)
        if place != source:
            array = moved(array, source, place)
        self._set(array, place)
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def wrap(cls, array: Any, place: Device = CPU) -> Tensor:
        """A tensor around ``array``, which must already live on ``place``: no check, no copy."""
        tensor = Tensor.__new__(Tensor)
        tensor._set(array, place)
        return tensor

    def _set(self, array: Any, place: Device) -> None:
        self.array = array
        self._device = place
        # Its place on the tape: see ``minicnn.autograd``.
        self.grad_fn: Any = None  # the node that made it
        self.output_index = 0  # which output of that node it is
        self._requires_grad = False
        self._grad: Tensor | None = None
        self._retains_grad = False
        self._accumulator: Any = None  # of a leaf: a weak reference to the node that adds to its gradient
        self.memory: Any = None  # the write counters that it shares with its views
        self.recorded_writes = 0  # of its memory, when this tensor was made

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def device(self) -> Device:
        return self._device

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float, the only kind that has gradients."""
        return self.array.dtype.kind in FLOATS

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array on the same memory.

        Raises:
            AutogradError: if the tensor requires a gradient, which a NumPy array cannot carry.
        """
        if self._requires_grad:
            raise AutogradError(
                "this tensor requires grad, and what NumPy computes has none: compute with tensors and minicnn's "
                "operations; .detach().numpy() gives the numbers alone, for reading"
            )
        if self._device.type != "cpu":
            raise TypeError(f"this tensor lives on {self._device}: use .cpu().numpy()")
        return self.exposed_array()

    def exposed_array(self) -> Any:
        """The raw array, for code that may keep it and write into it without calling ``mark_written()``."""
        if self.memory is not None:
            self.memory.exposed += 1
        return self.array

    __hash__ = object.__hash__  # == compares elements, so identity is the only hash


def device_of(data: Any) -> Device:
    """The device ``data`` lives on: a tensor's own, the GPU in whose memory CuPy's array is, the CPU for all else."""
    if isinstance(data, Tensor):
        return data._device
    return Device("cuda", data.device.id) if hasattr(data, "__cuda_array_interface__") else CPU
