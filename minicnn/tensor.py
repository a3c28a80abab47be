"""The tensor: an array, the device it lives on, and its place on the tape.

A tensor knows how to hold numbers and how to be differentiated. What can be *computed* with it (``+``, ``exp``,
``conv2d`` ...) lives in ``minicnn.ops``, which attaches its functions here as methods and operators.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backend
from .deferral import Pending, Version
from .device import CPU, device
from .errors import AutogradError

if TYPE_CHECKING:
    from .graph import AccumulateGrad, Function

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
int8, int16, int32, int64 = np.dtype("int8"), np.dtype("int16"), np.dtype("int32"), np.dtype("int64")
uint8, bool_ = np.dtype("uint8"), np.dtype("bool")

_default_dtype = float32


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype that Python floats become: ``float32`` at the start, ``float64`` for exact work.

    Raises:
        TypeError: for a dtype that is not floating point.
    """
    global _default_dtype
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"the default dtype must be floating point, got {dtype}")
    _default_dtype = dtype


def get_default_dtype() -> np.dtype:
    """The dtype that Python floats become."""
    return _default_dtype


def as_dtype(value: Any) -> np.dtype:
    """``value`` as a dtype. Raises TypeError for one that is not of numbers."""
    dtype = np.dtype(value)
    if dtype.kind not in "biuf":
        raise TypeError(f"expected numbers (float, int or bool), got dtype {dtype}")
    return dtype


def as_array(data: Any, dtype: Any = None) -> Any:
    """``data`` as an array by PyTorch's rules: arrays keep their dtype, Python floats take the default dtype."""
    if isinstance(data, Tensor):
        data = data.array
    elif isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) for item in data):
        data = [item.numpy() if isinstance(item, Tensor) else item for item in data]
    if dtype is not None:
        dtype = as_dtype(dtype)
    is_array = hasattr(data, "dtype") and hasattr(data, "shape")
    array = data if is_array and not isinstance(data, np.generic) else np.asarray(data)
    if dtype is None and not is_array and array.dtype.kind == "f":
        dtype = _default_dtype
    given = as_dtype(array.dtype)
    dtype = given if dtype is None else dtype
    dtype = dtype if dtype.isnative else dtype.newbyteorder("=")  # no kernel computes in another machine's byte order
    return array if array.dtype == dtype else array.astype(dtype)


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    Args:
        data: an array (not copied, but for one in another machine's byte order), a nested sequence of numbers, or a
            tensor.
        dtype: the dtype to convert to; by default arrays keep theirs and sequences get the default dtype, of integers
            too, as with ``torch.Tensor``. (``minicnn.tensor`` keeps integers integers.)
        requires_grad: whether ``backward()`` should leave a gradient in ``.grad`` (floating point only).
        device: where to put it, ``"cpu"`` by default.

    ``.array`` is the raw array, ``.data`` a detached tensor on the same memory, ``.grad`` the gradient or ``None``.

    Raises:
        TypeError: for data that are not numbers.
        AutogradError: if ``requires_grad`` is asked of integers or bools.
    """

    __array_priority__ = 1000  # ndarray + Tensor asks the tensor
    producer: weakref.ref[Any] | None = None  # the nn.Module that returned it, for messages about its shape

    def __init__(
        self, data: Any = (), dtype: Any = None, requires_grad: bool = False, device: str | device | None = None
    ) -> None:
        source = device_of(data)
        place = source if device is None else as_device(device)
        if dtype is None and isinstance(data, (list, tuple)):
            dtype = _default_dtype
        array = as_array(data, dtype)
        if place != source:
            array = backend.get(place).to_device(backend.get(source).to_host(array))
        self._array = array
        self._set_meta(place)
        if requires_grad:
            self.requires_grad = True

    def _set_meta(self, place: device) -> None:
        self._device = place
        self._requires_grad = False
        self._grad: Tensor | None = None
        self.grad_fn: Function | None = None
        self.output_index = 0
        self.version = Version()
        self.recorded_writes = 0  # of self.version, when this tensor was made
        self._retains_grad = False
        self._accumulator: weakref.ref[AccumulateGrad] | None = None

    @classmethod
    def wrap(cls, array: Any, place: device = CPU) -> Tensor:
        """A tensor around ``array``, which must already live on ``place``: no check, no copy."""
        tensor = Tensor.__new__(Tensor)
        tensor._array = array
        tensor._set_meta(place)
        return tensor

    # ---- its array -------------------------------------------------------------------------------------------

    @property
    def array(self) -> Any:
        """The raw array. Whoever has it may write into it, so what waits to read this memory is computed first."""
        version = self.version
        if version.waiting is not None:
            version.settle()
        version.private = False
        version.lent += 1
        return self._seen()

    @array.setter
    def array(self, value: Any) -> None:
        self._array = value

    def read(self) -> Any:
        """The raw array, computed if it is pending, for callers that neither write into it nor keep it."""
        if isinstance(self._array, Pending):
            self._array = self._array.values()
        return self._array

    def _seen(self) -> Any:
        """``read()`` for what leaves the tensors: a forward that is being compiled must not depend on it."""
        return self.read()

    # ---- what it is ------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def device(self) -> device:
        return self._device

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def is_cuda(self) -> bool:
        return self._device.type == "cuda"

    def dim(self) -> int:
        """The number of dimensions."""
        return self._array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return self._array.shape if dim is None else self._array.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return int(self._array.size)

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a float, the only kind that has gradients."""
        return self._array.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in row-major order."""
        return bool(self.read().flags.c_contiguous)

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours along each dimension, in elements."""
        strides = tuple(step // self.element_size() for step in self.read().strides)
        return strides if dim is None else strides[dim]

    # ---- getting the numbers out -----------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array on the same memory.

        Raises:
            AutogradError: if the tensor requires a gradient, which a NumPy array cannot carry.
        """
        if self._requires_grad:
            raise AutogradError(
                "this tensor requires grad, and what NumPy computes has none: compute with tensors and minicnn's "
                "operations; .detach().numpy() gives the bare numbers, to look at"
            )
        if self._device.type != "cpu":
            raise TypeError(f"this tensor lives on {self._device}: use .cpu().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return np.array(array, dtype=dtype, copy=copy) if dtype is not None or copy else array

    def item(self) -> Any:
        """The one number of a one-element tensor, as a Python number."""
        if self._array.size != 1:
            raise ValueError(f"item() expects a tensor with one element, got shape {self.shape}")
        return self._seen().item()

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self._seen().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._array.dtype.kind not in "iub" or self._array.size != 1:
            raise TypeError(f"only an integer tensor with one element is an index, got {self.dtype} {self.shape}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor has no len()")
        return self._array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())

    __hash__ = object.__hash__  # == compares elements, so identity is the only hash

    def __repr__(self) -> str:
        body = np.array2string(backend.get(self._device).to_host(self._seen()), separator=", ", prefix="tensor(")
        extras = [body]
        if self._device.type != "cpu":
            extras.append(f"device='{self._device}'")
        if self.dtype not in (_default_dtype, int64, bool_):
            extras.append(f"dtype={self.dtype}")
        if self.grad_fn is not None:
            extras.append(f"grad_fn=<{self.grad_fn.name()}>")
        elif self._requires_grad:
            extras.append("requires_grad=True")
        return f"tensor({', '.join(extras)})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self._array.size == 1 else str(self)

    # ---- its place on the tape -------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not self.is_floating_point():
            raise AutogradError(f"only floating point tensors can require gradients, got {self.dtype}")
        if not value and self.grad_fn is not None:
            raise AutogradError("requires_grad can only be switched off on a leaf: use .detach()")
        self._requires_grad = bool(value)
        self.version.of_leaf = self._requires_grad and self.grad_fn is None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` in place and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor; only leaves keep their ``.grad``."""
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and self.grad_fn is not None and not self._retains_grad:
            warnings.warn(
                f"reading .grad of a non-leaf tensor (made by {self.grad_fn.name()}): backward() does not keep it. "
                "Call .retain_grad() before backward() if you want it.",
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f".grad must be a Tensor or None, got {type(value).__name__}")
            if value.shape != self.shape:
                raise ValueError(f".grad must have the tensor's shape {self.shape}, got {value.shape}")
        self._grad = value

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad()`` was called on this non-leaf tensor."""
        return self._retains_grad

    def retain_grad(self) -> None:
        """Keep ``.grad`` of this non-leaf tensor after ``backward()``; nothing to do for a leaf."""
        if not self._requires_grad:
            raise AutogradError("retain_grad() needs a tensor that requires grad")
        if self.grad_fn is not None and not self._retains_grad:
            self._retains_grad = True
            self.grad_fn.retain[self.output_index] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` whenever this tensor's gradient has been computed; a returned tensor replaces it."""
        if not self._requires_grad:
            raise AutogradError("register_hook() needs a tensor that requires grad")
        from .graph import gradient_edge

        node, index = gradient_edge(self)
        if self.grad_fn is None:
            self._hooked_accumulator = node  # a leaf has to keep alive what carries its hooks
        return RemovableHandle(node.hooks.setdefault(index, {}), hook)

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add d(self)/d(leaf), weighted by ``gradient``, to ``.grad`` of every leaf that self depends on.

        Args:
            gradient: the cotangent, of self's shape; may be left out for a one-element tensor (then 1).
            retain_graph: keep what the operations saved, so that backward can run once more.
            inputs: accumulate only into these tensors.

        Raises:
            AutogradError: no graph, a freed graph, a saved tensor overwritten since, a missing cotangent.
        """
        from .autograd import backward

        backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph, inputs=inputs)

    def detach(self) -> Tensor:
        """The same memory, cut off from the tape."""
        out = Tensor.wrap(self.read(), self._device)
        out.version, out.recorded_writes = self.version, self.recorded_writes
        self.version.shared = True
        return out

    def detach_(self) -> Tensor:
        """Cut this tensor itself off from the tape."""
        self.grad_fn, self._requires_grad, self._retains_grad = None, False, False
        return self

    @property
    def data(self) -> Tensor:
        """A detached tensor on the same memory whose writes backward does not notice."""
        return Tensor.wrap(self.array, self._device)

    @data.setter
    def data(self, value: Any) -> None:
        value = value if isinstance(value, Tensor) else Tensor(value)
        self._array, self._device = value.array, value._device
        self.version = Version()
        self.version.of_leaf = self._requires_grad and self.grad_fn is None
        self.recorded_writes = 0

    def mark_written(self, recorded: bool = False) -> None:
        """Tell the tape that this tensor's memory was written into (after touching ``.array`` directly)."""
        self.version.writes += 1
        if recorded:
            self.version.recorded += 1
            self.recorded_writes = self.version.recorded

    # ---- moving and converting -------------------------------------------------------------------------------

    def cpu(self) -> Tensor:
        """This tensor in host memory."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Tensor:
        """This tensor on a GPU."""
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.grad_fn is not None:
            raise AutogradError("only leaf tensors can be deep-copied: use .detach() first")
        out = type(self).__new__(type(self))
        memo[id(self)] = out
        out._array = self._seen().copy()
        out._set_meta(self._device)
        out.requires_grad = self._requires_grad
        if self._grad is not None:
            out._grad = self._grad.detach().clone()
        return out

    def __reduce__(self) -> Any:
        if self.grad_fn is not None:
            raise AutogradError("only leaf tensors can be pickled: use .detach() first")
        host = backend.get(self._device).to_host(self.array)
        return _rebuild, (type(self), host, str(self._device), self._requires_grad)

    if TYPE_CHECKING:  # attached by minicnn.ops

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...


class RemovableHandle:
    """What a ``register_..._hook`` returns: ``remove()`` takes the hook away, also as a context manager."""

    _next_key = 0

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.key = RemovableHandle._next_key
        RemovableHandle._next_key += 1
        hooks[self.key] = hook
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; doing it twice is harmless."""
        self._hooks.pop(self.key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


def _rebuild(cls: type[Tensor], array: np.ndarray, place: str, requires_grad: bool) -> Tensor:
    tensor = cls.__new__(cls)
    Tensor.__init__(tensor, array, requires_grad=requires_grad, device=place)
    return tensor


def as_device(value: Any) -> device:
    """``value`` as a ``device``; the CPU is always the same object, and a GPU always has its number."""
    place = value if isinstance(value, device) else device(value)
    if place.type == "cpu":
        return CPU
    return device(place.type, 0) if place.index is None else place


def device_of(data: Any) -> device:
    """The device ``data`` lives on: a tensor's own, a GPU for an array in its memory, the CPU for everything else."""
    if isinstance(data, Tensor):
        return data._device
    return device("cuda", 0) if hasattr(data, "__cuda_array_interface__") else CPU
