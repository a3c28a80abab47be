"""Memory shared with other libraries' arrays by DLPack, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from .devices import Place, as_device
from .foreign import Capsule, shared
from .tensors import Tensor, device_of


def from_dlpack(ext_tensor: Any, *, device: Place | None = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's array, as ``torch.from_dlpack``.

    What is written into one is seen in the other. But a write from outside is not counted: the tape cannot notice that
    it has overwritten numbers that a later backward needs, and a compiled model may go on with packed copies of the
    old weights. After such a write call ``mark_written()``. Before NumPy 2.3 the tensor is for reading only.

    Args:
        ext_tensor: an array with ``__dlpack__`` (of PyTorch, NumPy, CuPy, JAX ...), in host memory or on an NVIDIA GPU;
            or a capsule of an array in host memory, as ``utils.dlpack.to_dlpack`` makes it.
        device: where the tensor is to be; on another device than the array's it is a copy.
        copy: ``True`` copies always, ``False`` refuses to.

    Raises:
        TypeError: for another object, and a dtype or a device that minicnn does not have.
        BufferError: if the other library refuses, for a tensor that requires grad for example.
        DeviceError: for an array on a GPU that cannot be used here.
        ValueError: if a copy is needed and refused.
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = Capsule(ext_tensor)
    if not hasattr(ext_tensor, "__dlpack__"):
        name = type(ext_tensor).__name__
        raise TypeError(f"from_dlpack: expected an array that has __dlpack__, or a capsule, got {name}")
    array = shared(ext_tensor)
    place = device_of(array)
    found = Tensor.wrap(array, place)
    if device is not None and as_device(device) != place:
        if copy is False:
            raise ValueError(f"from_dlpack: copy=False, but an array on {place} must be copied to {as_device(device)}")
        return found.to(device)
    return found.clone() if copy else found


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule on the memory of ``tensor``, which one call of a ``from_dlpack`` uses up.

    New code passes the tensor itself: ``torch.from_dlpack(tensor)``. Raises as ``Tensor.__dlpack__``.
    """
    return tensor.__dlpack__()
