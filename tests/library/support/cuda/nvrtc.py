"""NVRTC, the compiler that CuPy uses, called through ctypes: it needs neither CuPy nor a GPU."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path


class Nvrtc:
    """The NVRTC of a wheel (``nvidia-cuda-nvrtc``, ``nvidia-cuda-nvrtc-cu12``) or of the system."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)

    @staticmethod
    @cache
    def installed() -> tuple[Nvrtc, ...]:
        """All that load; CUDA 12's still compiles for sm_70, CUDA 13's does not."""
        wheels = [p for folder in sys.path for p in Path(folder or ".").glob("nvidia/*/lib/libnvrtc.so.*")]
        names = [str(p) for p in wheels if "builtins" not in p.name and "alt" not in p.name]
        found = []
        for name in (*names, "libnvrtc.so.13", "libnvrtc.so.12"):
            with suppress(OSError):
                found.append(Nvrtc(name))
        return tuple(found)

    def architectures(self) -> list[str]:
        """``["sm_75", ...]``."""
        count = ctypes.c_int()
        self.library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self.library.nvrtcGetSupportedArchs(numbers)
        return [f"sm_{number}" for number in numbers]

    def compile(self, source: str, options: tuple[str, ...]) -> bytes:
        """The machine code.

        Raises:
            SyntaxError: with the compiler's messages.
        """
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        nvrtc = self.library
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            if failed:
                raise SyntaxError(log.value.decode())
            nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
            code = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetCUBIN(program, code)
            return code.raw
        finally:
            nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
