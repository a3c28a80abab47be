"""``cupy.cuda``: the devices of a machine, the current one, streams, and what there is to ask."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.library.support.cuda.fakecublas import gemm_strided_batched_ex
from tests.library.support.cuda.fakegraph import CUDARuntimeError, Graph, using_allocator
from tests.library.support.cuda.memory import POOL, MemoryHook, MemoryPool, current
from tests.library.support.cuda.streams import Event, Stream, current_stream, finish_all, get_elapsed_time


class CompileException(Exception):
    """As cupy.cuda.compiler's."""


class Device:
    """One GPU of the machine, or the current one. As a context, and after ``use()``, it is the current one."""

    compute_capability = "90"

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = current.device if device is None else int(getattr(device, "id", device))
        self.before: list[int] = []

    def use(self) -> None:
        """From here on, in this thread."""
        sys.modules["cupy"].cuda.runtime.setDevice(self.id)

    def __enter__(self) -> Device:
        self.before.append(current.device)
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        current.device = self.before.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def synchronize(self) -> None:
        """The host waits for all streams."""
        finish_all("Device.synchronize()")


def runtime(devices: int) -> SimpleNamespace:
    """``cupy.cuda.runtime`` of a machine with that many GPUs."""

    def set_device(device: int) -> None:
        if not 0 <= device < devices:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        current.device = device

    return SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: devices,
        getDevice=lambda: current.device,
        setDevice=set_device,
        deviceSynchronize=lambda: finish_all("deviceSynchronize()"),
        getDeviceProperties=lambda device: {"name": b"the stand-in", "multiProcessorCount": 2, "major": 9, "minor": 0},
        memGetInfo=lambda: (2**33 - POOL.total_bytes(), 2**33),
        runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: 13000,
    )


def cuda_namespace(devices: int) -> ModuleType:
    """``cupy.cuda`` of a machine with that many GPUs; its cuBLAS remembers its math mode, and no more."""
    cuda, cublas = ModuleType("cupy.cuda"), ModuleType("cupy.cuda.cublas")
    modes = {0: 0}
    found: dict[str, Any] = {
        "getMathMode": modes.__getitem__,
        "setMathMode": modes.__setitem__,
        "gemmStridedBatchedEx": gemm_strided_batched_ex,
    }
    cublas.__dict__.update(found)
    cuda.__dict__.update(
        __path__=[],
        cublas=cublas,
        device=SimpleNamespace(get_cublas_handle=lambda: 0, get_device_id=lambda: current.device, Device=Device),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        compiler=SimpleNamespace(CompileException=CompileException),
        runtime=runtime(devices),
        Device=Device,
        Stream=Stream,
        Event=Event,
        MemoryHook=MemoryHook,
        MemoryPool=MemoryPool,
        Graph=Graph,
        using_allocator=using_allocator,
        get_current_stream=current_stream,
        get_elapsed_time=get_elapsed_time,
    )
    return cuda
