"""What a tensor tells about itself, and what it turns into: Python's numbers and lists, text, copies, pickles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from .. import backend
from ..backend.copies import copied
from ..devices import Place
from ..dtypes import get_default_dtype
from ..errors import AutogradError
from ..notebook import tensor_html
from ..printing import tensor_text
from ..tensors import Tensor


class Conversions:
    """Members of ``Tensor``, attached by ``methods.py``; ``self`` is the tensor."""

    @property
    def is_cuda(self: Any) -> bool:
        """Whether it lives on a GPU."""
        return self._device.type == "cuda"

    def dim(self: Any) -> int:
        """The number of dimensions."""
        return self.array.ndim

    @overload
    def size(self: Any, dim: None = None) -> tuple[int, ...]: ...
    @overload
    def size(self: Any, dim: int) -> int: ...
    def size(self: Any, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return self.array.shape if dim is None else self.array.shape[dim]

    def numel(self: Any) -> int:
        """The number of elements."""
        return int(self.array.size)

    def element_size(self: Any) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def is_contiguous(self: Any) -> bool:
        """Whether the elements lie in memory in row-major order."""
        return bool(self.array.flags.c_contiguous)

    @overload
    def stride(self: Any, dim: None = None) -> tuple[int, ...]: ...
    @overload
    def stride(self: Any, dim: int) -> int: ...
    def stride(self: Any, dim: int | None = None) -> Any:
        """Steps between neighbours along each dimension, in elements."""
        strides = tuple(step // self.element_size() for step in self.array.strides)
        return strides if dim is None else strides[dim]

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return np.array(array, dtype=dtype, copy=copy) if dtype is not None or copy else array

    def __dlpack__(self: Any, **options: Any) -> Any:
        """A capsule on this tensor's memory, for ``torch.from_dlpack(tensor)`` and other libraries' ``from_dlpack``.

        What the other library writes into the memory is seen here, but not counted: see ``minicnn.from_dlpack``.

        Args:
            options: the protocol's ``stream``, ``max_version``, ``dl_device`` and ``copy``, for NumPy or CuPy.

        Raises:
            BufferError: for a tensor that requires grad, memory that must not be written into, negative strides, which
                PyTorch does not take, and a dtype that DLPack does not have.
        """
        if self._requires_grad:
            raise BufferError("a tensor that requires grad cannot be shared by DLPack: use tensor.detach()")
        array = self.exposed_array()
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            raise BufferError("a tensor on read-only memory cannot be shared by DLPack: use tensor.clone()")
        if any(step < 0 for step in array.strides):
            raise BufferError("a tensor with negative strides cannot be shared by DLPack: use tensor.clone()")
        backend.get(self._device)  # CuPy lets the consumer's stream wait for the current one of the current GPU
        return array.__dlpack__(**options)

    def __dlpack_device__(self: Any) -> tuple[int, int]:
        """The kind and number of the device by DLPack: (1, 0) for the CPU, (2, n) for ``cuda:n``."""
        return (2, self._device.index or 0) if self.is_cuda else (1, 0)

    def item(self: Any) -> Any:
        """The one number of a one-element tensor, as a Python number."""
        if self.array.size != 1:
            raise ValueError(f"item() expects a tensor with one element, got shape {self.shape}")
        return self.array.item()

    def tolist(self: Any) -> Any:
        """The values as nested Python lists."""
        return self.array.tolist()

    def __float__(self: Any) -> float:
        return float(self.item())

    def __int__(self: Any) -> int:
        return int(self.item())

    def __index__(self: Any) -> int:
        if self.array.dtype.kind not in "iub" or self.array.size != 1:
            raise TypeError(f"only an integer tensor with one element is an index, got {self.dtype} {self.shape}")
        return int(self.item())

    def __bool__(self: Any) -> bool:
        if self.array.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self.item())

    def __len__(self: Any) -> int:
        if self.ndim == 0:
            raise TypeError("a 0-d tensor has no len()")
        return self.array.shape[0]

    def __iter__(self: Any) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __contains__(self: Any, value: Any) -> bool:
        return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())

    def __repr__(self: Any) -> str:
        taped = f"grad_fn=<{self.grad_fn.name()}>" if self.grad_fn else "requires_grad=True" * self._requires_grad
        host = backend.get(self._device).to_host(self.array)
        return tensor_text(host, get_default_dtype(), taped, str(self._device))

    _repr_html_ = tensor_html

    def __format__(self: Any, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 or spec and self.array.size == 1 else str(self)

    def cpu(self: Any) -> Tensor:
        """This tensor in host memory."""
        return self.to("cpu")

    def cuda(self: Any, device: Place | None = None) -> Tensor:
        """This tensor on a GPU."""
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Tensor:
        if self.grad_fn is not None:
            raise AutogradError("only leaf tensors can be deep-copied: use .detach() first")
        out = self.__class__.__new__(self.__class__)
        memo[id(self)] = out
        out._set(copied(self.array, self._device), self._device)
        out.requires_grad = self._requires_grad
        if self._grad is not None:
            out._grad = self._grad.detach().clone()
        return out

    def __reduce__(self: Any) -> Any:
        if self.grad_fn is not None:
            raise AutogradError("only leaf tensors can be pickled: use .detach() first")
        host = backend.get(self._device).to_host(self.array)
        return _rebuild, (type(self), host, str(self._device), self._requires_grad)


def _rebuild(cls: type[Tensor], array: np.ndarray, place: str, requires_grad: bool) -> Tensor:
    tensor = cls.__new__(cls)
    Tensor.__init__(tensor, array, requires_grad=requires_grad, device=place)
    return tensor
