"""Arrays of other libraries, taken in without a copy by the protocol that all of them speak, DLPack."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import backend
from .devices import CPU, device
from .dtypes import as_dtype

# Kinds of devices, by their numbers in dlpack.h: of host memory, and of an NVIDIA GPU.
HOST = (1, 3, 11)  # kDLCPU, kDLCUDAHost, kDLROCMHost
CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


def is_foreign(data: Any) -> bool:
    """Whether ``data`` is another library's array, a PyTorch tensor say: not NumPy's, and not CuPy's."""
    if not hasattr(data, "__dlpack__") or isinstance(data, (np.ndarray, np.generic)):
        return False
    cupy = sys.modules.get("cupy")  # without it there are no arrays of it
    return cupy is None or not isinstance(data, cupy.ndarray)


def device_of_foreign(data: Any) -> device:
    """Where a foreign array lives.

    Raises:
        TypeError: for a device that minicnn does not have.
    """
    kind, index = data.__dlpack_device__()
    if int(kind) in HOST:
        return CPU
    if int(kind) in CUDA:
        return device("cuda", int(index))
    raise TypeError(
        f"from_dlpack: expected an array in host memory or on an NVIDIA GPU, got a {_name(data)} on a device of "
        f"DLPack's kind {int(kind)}"
    )


def shared(data: Any) -> Any:
    """An array of NumPy, or of CuPy for one on a GPU, on the memory of a foreign array.

    Raises:
        BufferError: as the other library raises it, for a tensor that requires grad for example.
        DeviceError: for one on a GPU that cannot be used here; the message says what is missing.
        TypeError: for a dtype that minicnn does not have, such as bfloat16, and another kind of device.
    """
    xp = backend.get(device_of_foreign(data)).xp
    try:
        array = xp.from_dlpack(data)
    except (RuntimeError, ValueError) as error:  # NumPy's, for a dtype that it does not have
        raise TypeError(
            f"from_dlpack: cannot share a {_name(data)} of {getattr(data, 'dtype', 'its dtype')}: {error}"
        ) from error
    as_dtype(array.dtype)
    return array


class Capsule:
    """A capsule, in which DLPack's first version passed arrays on, as an array that can be taken in, once."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        """A capsule does not say where its array lives, so only host memory can be taken in."""
        return 1, 0


def _name(data: Any) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}"
