"""Is there a usable GPU? If not, one clear error says why, and which command helps."""

from __future__ import annotations

from typing import Any

from ...errors import DeviceError

# Right with a checkout of minicnn, and with an installed one.
INSTALL = 'pip install "cupy-cuda13x[ctk]" (or "cupy-cuda12x[ctk]" where nvidia-smi says CUDA 12)'


def open_cupy() -> Any:
    """The module ``cupy``, if it can compute on this machine.

    Raises:
        DeviceError: without CuPy; without a GPU or driver; without one of the CUDA libraries that CuPy loads.
    """
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"device 'cuda' needs CuPy, which does not load ({error}): {INSTALL}") from error
    _check_device(cupy)
    _check_libraries(cupy)
    return cupy


def _check_device(cupy: Any) -> None:
    """Raise DeviceError without a GPU. (``is_available()`` would hide the reason, which ``getDeviceCount()`` gives.)"""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise _no_gpu(str(error)) from error
    if count < 1:
        raise _no_gpu("the driver sees no device")


def _no_gpu(reason: str) -> DeviceError:
    return DeviceError(
        f"device 'cuda' needs an NVIDIA GPU with its driver, but there is none ({reason}): check it with nvidia-smi, "
        "update the driver if it is older than CuPy's CUDA, or use device 'cpu'"
    )


def _check_libraries(cupy: Any) -> None:
    """Use once what CuPy's wheels load at their first use but do not contain.

    That is NVRTC (to compile), cuBLAS (to multiply), and CUDA's headers, which every kernel of CuPy's own includes.
    """
    try:
        cupy.cuda.nvrtc.getVersion()
        from cupy.cuda import cublas  # noqa: F401

        cupy.exp(cupy.zeros(1))
    except (ImportError, OSError, RuntimeError, cupy.cuda.compiler.CompileException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DeviceError(f"device 'cuda' found CuPy and a GPU but not a CUDA library ({reason}): {INSTALL}") from error
