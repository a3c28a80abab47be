"""Write ``cupy_surface.json``: what the installed CuPy has, and how it wants to be called. It needs cuBLAS, and no GPU.

python -m tests.library.support.cuda.record_surface
"""

from __future__ import annotations

import inspect
import json
import re
from contextlib import suppress
from operator import attrgetter
from typing import Any

import cupy
import cupyx
import numpy as np

from tests.library.support.cuda.surface import SURFACE_FILE

# Of the rest of CuPy, what the GPU backend may call.
OTHERS = (
    "RawModule", "RawModule.get_function", "asnumpy", "get_default_memory_pool",
    "cuda.Device", "cuda.Device.synchronize", "cuda.Device.use", "cuda.Event", "cuda.Event.record",
    "cuda.Event.synchronize", "cuda.Graph.launch", "cuda.Graph.upload", "cuda.MemoryHook.free_postprocess",
    "cuda.MemoryHook.malloc_postprocess", "cuda.MemoryPool", "cuda.MemoryPool.free_all_blocks",
    "cuda.MemoryPool.malloc", "cuda.MemoryPool.total_bytes", "cuda.MemoryPool.used_bytes", "cuda.Stream",
    "cuda.Stream.begin_capture", "cuda.Stream.end_capture", "cuda.Stream.is_capturing", "cuda.Stream.record",
    "cuda.Stream.synchronize", "cuda.Stream.wait_event", "cuda.cublas.gemmStridedBatchedEx",
    "cuda.device.get_cublas_handle", "cuda.get_current_stream", "cuda.get_elapsed_time", "cuda.nvrtc.getVersion",
    "cuda.runtime.deviceSynchronize", "cuda.runtime.getDevice", "cuda.runtime.getDeviceCount",
    "cuda.runtime.getDeviceProperties", "cuda.runtime.memGetInfo", "cuda.runtime.setDevice", "cuda.using_allocator",
)  # fmt: skip


def parameters(function: Any, name: str) -> str:
    """How a function is called: its parameters as Python writes them, without ``self``."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return _compiled_parameters(function.__doc__, name)
    plain = [p.replace(annotation=p.empty, default=_literal(p)) for p in signature.parameters.values()]
    plain = [p for p in plain if p.name != "self"]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))[1:-1].replace("Ellipsis", "...")


def _literal(parameter: inspect.Parameter) -> Any:
    """Its default, or ``...`` for an object."""
    default = parameter.default
    plain = default is parameter.empty or isinstance(default, (int, float, str, tuple, type(None)))
    return default if plain else ...


def _compiled_parameters(text: str | None, name: str) -> str:
    """The same from the line that Cython writes into a docstring, without its types: ``sum(self, int axis=None)``."""
    match = re.search(rf"\b{name}\((.*?)\)(?: ->.*)?$", text or "", re.MULTILINE)
    assert match, f"no signature in the docstring of {name}: {text}"
    given = (part.strip() for part in match[1].split(","))
    return ", ".join(re.sub(r"^(?:long )?\w+ (?=\w)", "", part) for part in given if part not in ("", "self"))


def _found(name: str) -> Any:
    """A part of CuPy; ``None`` if it needs a CUDA library that is not here."""
    with suppress(ImportError):
        return attrgetter(name)(cupy)


def recorded() -> dict[str, Any]:
    """All of it."""
    shared = {name: getattr(cupy, name) for name in dir(cupy) if name[0] != "_" and hasattr(np, name)}
    ufuncs = {name: f for name, f in shared.items() if isinstance(f, cupy.ufunc)}
    functions = {name: f for name, f in shared.items() if callable(f) and not isinstance(f, (type, cupy.ufunc))}
    methods = {name: getattr(cupy.ndarray, name) for name in dir(cupy.ndarray) if name[0] != "_"}
    others = {name: f for name in OTHERS if (f := _found(name))} | {"cupyx.empty_pinned": cupyx.empty_pinned}
    return {
        "version": cupy.__version__,
        "functions": {name: parameters(f, name) for name, f in functions.items()},
        "ufuncs": {name: " ".join(f.types) for name, f in ufuncs.items()},
        "methods": {name: parameters(f, name) for name, f in methods.items() if callable(f)},
        "attributes": [name for name, f in methods.items() if not callable(f)],
        "others": {name: parameters(f, name.rpartition(".")[2]) for name, f in others.items()},
    }


if __name__ == "__main__":
    SURFACE_FILE.write_text(json.dumps(recorded(), indent=1) + "\n")
