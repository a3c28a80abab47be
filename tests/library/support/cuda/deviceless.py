"""cuDNN's plans for a GPU that is not there: ``python -m tests.library.support.cuda.deviceless``.

cuDNN (from 9.8 on) plans for a device that it is told the properties of; ``h200.json`` has an H200's, from public
figures. It loads NVIDIA's driver and cuBLAS all the same, and where they are not, empty libraries stand in for them:
hence a process of its own, which prints what it found as JSON.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import minicnn
from minicnn import backend
from minicnn.backend.base import Window
from minicnn.backend.cuda.cudnn import DTYPES, OPERATIONS, Geometry, operation_graph, plans
from minicnn.models import create_model

LOADED = ("libcuda.so.1", "libcublasLt.so.12", "libcublasLt.so.13")  # by cuDNN, one or the other cuBLAS
PROPERTIES = Path(__file__).parent / "h200.json"
PRECISIONS = {"float32": ("float32", False), "TF32": ("float32", True), "bfloat16": ("bfloat16", False)}


def load_stand_ins() -> None:
    """For each library that is not here load one of its name, with all the functions that cuDNN asks for: all fail."""
    missing = [name for name in LOADED if not _loads(name)]
    if not missing:
        return
    libraries = [path for folder in sys.path for path in Path(folder).glob("nvidia/cudnn/lib/libcudnn_engines_*.so.9")]
    names = {name for path in libraries for name in re.findall(rb"\0(cu(?:[A-Z]|blasLt)\w+)(?=\0)", path.read_bytes())}
    code = "".join(f'extern "C" int {name.decode()}() {{ return 100; }}\n' for name in names)
    with tempfile.TemporaryDirectory() as folder:
        for name in missing:
            command = ["g++", "-x", "c++", "-", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", f"{folder}/{name}"]
            subprocess.run(command, input=code, text=True, check=True)
            ctypes.CDLL(f"{folder}/{name}", ctypes.RTLD_GLOBAL)


def _loads(name: str) -> bool:
    wheels = [str(path) for folder in sys.path for path in Path(folder).glob(f"nvidia/*/lib/{name}")]
    for path in (name, *wheels):
        with suppress(OSError):
            ctypes.CDLL(path)
            return True
    return False


@cache
def resnet50(images: int = 128) -> dict[tuple[Any, ...], None]:
    """The distinct convolutions of ResNet-50: shapes of image and filters, and the window."""
    found: dict[tuple[Any, ...], None] = {}

    def conv2d(x: Any, weight: Any, window: Window, groups: int = 1) -> Any:
        found[x.shape, weight.shape, window] = None
        return plain(x, weight, window, groups)

    with backend.use("shapes") as shapes, minicnn.no_grad():
        plain, shapes.conv2d = shapes.conv2d, conv2d  # type: ignore[method-assign]
        try:
            create_model("resnet50", variant="torchvision")(minicnn.zeros(images, 3, 224, 224))
        finally:
            del shapes.conv2d
    return found


# What may go wrong: (x, weight, window).
UNUSUAL = {
    "a linear layer": ((128, 2048, 1, 1), (1000, 2048, 1, 1), Window((1, 1))),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), Window((1, 1))),
    "groups": ((4, 6, 5, 5), (6, 2, 3, 3), Window((3, 3), (2, 2), ((1, 1), (1, 1)))),
    "depthwise": ((4, 6, 5, 7), (6, 1, 3, 3), Window((3, 3), padding=((1, 1), (1, 1)))),
    "two filters a channel": ((4, 3, 5, 5), (6, 1, 3, 3), Window((3, 3), (2, 2))),
    "dilated, uneven": ((1, 3, 9, 8), (6, 3, 3, 2), Window((3, 2), (3, 1), ((0, 2), (3, 1)), (2, 3))),
    "more padding than pixels": ((2, 5, 2, 1), (3, 5, 2, 2), Window((2, 2), padding=((3, 3), (3, 3)))),
}
FITTING = ((2, 3, 9, 9), (4, 3, 3, 3), Window((3, 3)))  # gives (2, 4, 7, 7)
NOT_FITTING = {"weight": [(4, 2, 3, 3), (5, 3, 3, 3)], "y": [(2, 4, 7, 8), (2, 5, 7, 7)], "x": [(2, 4, 9, 9)]}


def geometries(dtype: str, tf32: bool, cases: Iterable[tuple[Any, ...]]) -> list[Geometry]:
    """The three operations of each."""
    return [
        Geometry(operation, x, weight, (x[0], weight[0], *window.output_size(x[2:])), window, dtype, tf32)
        for x, weight, window in cases
        for operation in OPERATIONS
    ]


def main() -> dict[str, Any]:
    """The first plan that can be built for each operation, by precision: its name, its workspace in bytes, and how many
    plans there are. (With the argument ``sm_count`` cuDNN keeps most of them to itself.)
    """
    load_stand_ins()
    import cudnn

    properties = cudnn.create_device_properties(PROPERTIES.read_text())

    def first_plan(geometry: Geometry) -> tuple[str, int, int] | None:
        graph = operation_graph(cudnn, geometry, device_property=properties)
        for index in plans(cudnn, graph):
            return graph.get_plan_name_at_index(index), graph.get_workspace_size(), graph.get_execution_plan_count()
        return None

    def is_refused(geometry: Geometry) -> bool:
        try:
            return first_plan(geometry) is None
        except RuntimeError:
            return True

    found: dict[str, Any] = {"version": cudnn.backend_version(), "resnet50": {}, "seconds": {}}
    for precision, (dtype, tf32) in PRECISIONS.items():
        start = time.perf_counter()
        found["resnet50"][precision] = [first_plan(geometry) for geometry in geometries(dtype, tf32, resnet50())]
        found["seconds"][precision] = round(time.perf_counter() - start, 2)
    found["unusual"] = {
        dtype: [first_plan(geometry) for geometry in geometries(dtype, False, UNUSUAL.values())] for dtype in DTYPES
    }
    found["refused"] = [
        is_refused(geometry._replace(**{name: shape}))
        for geometry in geometries("float32", True, [FITTING])
        for name, shapes in NOT_FITTING.items()
        for shape in shapes
    ]
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
