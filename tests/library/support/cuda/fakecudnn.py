"""A stand-in for the module ``cudnn`` (nvidia-cudnn-frontend) that convolves on the stand-in's memory.

It knows the part of the graph API that ``minicnn/backend/cuda/cudnn.py`` uses, and refuses what the library refuses, or
what it would crash on: calls in the wrong order, shapes that do not fit, notes asked for before there are plans,
addresses that are not aligned or not of this GPU, too small a workspace, another thread's handle, another stream.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from math import prod
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minicnn.backend.base import Window
from minicnn.backend.reference import conv
from tests.library.support.cuda.fakearray import FakeArray
from tests.library.support.cuda.fakegraph import on_device
from tests.library.support.cuda.memory import WRONG, current, holding
from tests.library.support.cuda.streams import clock, current_stream

data_type = Enum("data_type", ["NOT_SET", "UINT8", "HALF", "BFLOAT16", "FLOAT", "DOUBLE"])
heur_mode = Enum("heur_mode", ["A", "B", "FALLBACK"])
numerical_note = Enum("numerical_note", ["TENSOR_CORE", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION"])
NUMPY = {"UINT8": "uint8", "HALF": "float16", "BFLOAT16": "bfloat16", "FLOAT": "float32", "DOUBLE": "float64"}


class cudnnGraphNotSupportedError(Exception):
    """No kernel for a graph, or a plan that cannot be had. As the real one, no RuntimeError."""


@dataclass(frozen=True)
class Kernel:
    """What the stand-in says of a kernel. Those on tensor cores round float32 factors to 10 bits."""

    name: str
    milliseconds: float
    workspace: int = 0
    notes: tuple[str, ...] = ()
    builds: bool = True
    fails: type[Exception] | None = None  # when it runs


class Handle:
    """Of one thread and one GPU."""

    def __init__(self) -> None:
        self.thread, self.device, self.stream = threading.get_ident(), current.device, 0


class Tensor:
    """An array in a graph."""

    def __init__(self, dim: Any = None, stride: Any = None, data_type: Any = None, uid: int = -1) -> None:
        self.dim, self.stride, self.data_type, self.uid, self.output = dim, stride, data_type, uid, False

    def set_output(self, value: bool) -> Tensor:
        self.output = value
        return self

    def set_dim(self, dim: list[int]) -> Tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> Tensor:
        self.stride = stride
        return self

    def set_data_type(self, dtype: Any) -> Tensor:
        self.data_type = dtype
        return self

    def set_uid(self, uid: int) -> Tensor:
        self.uid = uid
        return self

    def at(self, address: int) -> FakeArray:
        """The numbers at ``address``, which has to be aligned and in use on the current device."""
        assert isinstance(address, int) and address % 16 == 0, f"tensor {self.uid}: a misaligned address"
        block, dtype = holding(address), np.dtype(NUMPY[self.data_type.name])
        assert block is not None, f"tensor {self.uid}: nothing in use on this GPU"
        assert address + prod(self.dim) * dtype.itemsize <= block.address + block.size, f"tensor {self.uid}: too large"
        strides = [step * dtype.itemsize for step in self.stride]
        return FakeArray(
            np.ndarray(self.dim, dtype, block.bytes, address - block.address, strides), SimpleNamespace(block=block)
        )


class Graph:
    """``cudnn.pygraph``: one operation, its plans, and the plan that is selected."""

    def __init__(
        self, cudnn: FakeCudnn, name: str = "", io_data_type: Any = None, intermediate_data_type: Any = None,
        compute_data_type: Any = None, handle: Handle | None = None,
    ) -> None:  # fmt: skip
        assert isinstance(handle, Handle)
        self.cudnn, self.adds_up_in = cudnn, compute_data_type
        self.tensors: dict[str, Tensor] = {}
        self.done: list[str] = []
        self.kernels: list[Kernel] = []
        self.unwanted: set[str] = set()
        self.workspace_limit: float = np.inf
        self.selected: Kernel | None = None

    def tensor(self, dim: list[int], stride: list[int], data_type: Any, name: str = "", uid: int = -1) -> Tensor:
        return Tensor(dim, stride, data_type, uid)

    def conv_fprop(
        self, image: Tensor, weight: Tensor, pre_padding: list[int], post_padding: list[int], stride: list[int],
        dilation: list[int], compute_data_type: Any, name: str = "",
    ) -> Tensor:  # fmt: skip
        window = (pre_padding, post_padding, stride, dilation, compute_data_type)
        return self._operation("conv2d", {"x": image, "weight": weight, "y": Tensor()}, "y", *window)

    def conv_dgrad(
        self, loss: Tensor, filter: Tensor, pre_padding: list[int], post_padding: list[int], stride: list[int],
        dilation: list[int], compute_data_type: Any, name: str = "",
    ) -> Tensor:  # fmt: skip
        window = (pre_padding, post_padding, stride, dilation, compute_data_type)
        return self._operation("conv2d_input_grad", {"y": loss, "weight": filter, "x": Tensor()}, "x", *window)

    def conv_wgrad(
        self, image: Tensor, loss: Tensor, pre_padding: list[int], post_padding: list[int], stride: list[int],
        dilation: list[int], compute_data_type: Any, name: str = "",
    ) -> Tensor:  # fmt: skip
        window = (pre_padding, post_padding, stride, dilation, compute_data_type)
        return self._operation("conv2d_weight_grad", {"y": loss, "x": image, "weight": Tensor()}, "weight", *window)

    def _operation(
        self, name: str, tensors: dict[str, Tensor], result: str, before: Any, after: Any, stride: Any, dilation: Any,
        compute: Any,
    ) -> Tensor:  # fmt: skip
        assert compute is self.adds_up_in and all(isinstance(pair, list) for pair in (before, after, stride, dilation))
        self.name, self.tensors, self.result = name, tensors, result
        self.padding = tuple(zip(before, after, strict=True))
        self.stride, self.dilation = tuple(stride), tuple(dilation)
        return tensors[result]

    def _next(self, *calls: str) -> None:
        assert self.done == list(calls[:-1]), f"{calls[-1]} after {self.done}"
        self.done.append(calls[-1])

    def validate(self) -> None:
        self._next("validate")
        uids = {tensor.uid for tensor in self.tensors.values()}
        assert len(uids) == 3 and -1 not in uids and self.tensors[self.result].output

    def build_operation_graph(self) -> None:
        self._next("validate", "build_operation_graph")
        (n, c, h, w), (k, per_group, *kernel), y = (self.tensors[name].dim for name in ("x", "weight", "y"))
        self.window = Window(tuple(kernel), self.stride, self.padding, self.dilation)
        if per_group == 0 or c % per_group or k % (c // per_group):
            raise RuntimeError("(0 == wDimA[1]) || (0 != xDimA[1] % wDimA[1]), and code: CUDNN_STATUS_BAD_PARAM")
        if y != [n, k, *self.window.output_size((h, w))]:
            raise RuntimeError("is_valid_spatial_dim(...), and code: CUDNN_STATUS_BAD_PARAM")
        self.groups = c // per_group

    def create_execution_plans(self, heuristics: list[Any]) -> None:
        self._next("validate", "build_operation_graph", "create_execution_plans")
        self.kernels = [kernel for mode in heuristics for kernel in self.cudnn.kernels[mode.name]]
        if not self.kernels:
            raise cudnnGraphNotSupportedError("no engine proposed a plan for this graph")

    def deselect_numeric_notes(self, notes: list[Any]) -> Graph:
        assert self.kernels, "the real one forgets notes that are given before there are plans"
        self.unwanted |= {note.name for note in notes}
        return self

    def deselect_workspace_greater_than(self, workspace_limit: int) -> Graph:
        self.workspace_limit = workspace_limit
        return self

    def get_execution_plan_count(self) -> int:
        return len(self.kernels)

    def build_plan_at_index(self, index: int) -> None:
        """And select it."""
        kernel = self.kernels[index]
        if self.unwanted & set(kernel.notes) or kernel.workspace > self.workspace_limit:
            raise cudnnGraphNotSupportedError("Deselecting execution plan")
        if not kernel.builds:
            raise cudnnGraphNotSupportedError("CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: cudnnFinalize failed")
        self.selected = kernel

    def get_workspace_size(self) -> int:
        assert self.selected is not None
        return self.selected.workspace

    def execute(self, tensor_dict: dict[int, int], workspace: int, handle: Handle) -> None:
        """On the handle's stream."""
        kernel = self.selected
        assert kernel is not None
        assert handle.thread == threading.get_ident() and handle.device == current.device, "a handle of another thread"
        assert handle.stream == current_stream().ptr, "the handle is on another stream"
        assert set(tensor_dict) == {tensor.uid for tensor in self.tensors.values()}
        arrays = {name: tensor.at(tensor_dict[tensor.uid]) for name, tensor in self.tensors.items()}
        if kernel.fails:
            raise kernel.fails("CUDNN_STATUS_EXECUTION_FAILED")
        scratch = [Tensor([kernel.workspace], [1], data_type.UINT8).at(workspace)] if kernel.workspace else []
        self._compute(kernel, arrays, scratch)
        self.cudnn.executed.append(kernel.name)

    @on_device
    def _compute(self, kernel: Kernel, arrays: dict[str, FakeArray], scratch: list[FakeArray]) -> None:
        for array in scratch:
            array.host.fill(WRONG)
        factors = [array.host for name, array in arrays.items() if name != self.result]
        if "TENSOR_CORE" in kernel.notes:
            factors = [to_tf32(array) if array.dtype == np.float32 else array for array in factors]
        factors = [np.ascontiguousarray(array, NUMPY[self.adds_up_in.name]) for array in factors]
        if self.result != "y":
            factors.append(tuple(self.tensors[self.result].dim))
        arrays[self.result].host[...] = getattr(conv, self.name)(*factors, self.window, self.groups)
        clock.milliseconds += kernel.milliseconds


def to_tf32(array: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits behind the point."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


class FakeCudnn(ModuleType):
    """The module ``cudnn``. ``kernels`` is what it recommends, ``executed`` the names of those that ran."""

    data_type, heur_mode, numerical_note = data_type, heur_mode, numerical_note
    cudnnGraphNotSupportedError = cudnnGraphNotSupportedError

    def __init__(self) -> None:
        super().__init__("cudnn")
        self.kernels = {
            "A": [
                Kernel("on tensor cores", 0.5, 4096, ("TENSOR_CORE",)),
                Kernel("of 16 bits", 0.1, notes=("DOWN_CONVERT_INPUTS",)),
                Kernel("not for this GPU", 0.2, builds=False),
                Kernel("too greedy", 0.3, 2**40),
                Kernel("with workspace", 0.8, 1000),
            ],
            "FALLBACK": [Kernel("for everything", 2.0)],
        }
        self.executed: list[str] = []
        self.graphs: list[Graph] = []
        self.handles: list[Handle] = []

    def backend_version(self) -> int:
        return 92801

    def create_handle(self) -> Handle:
        self.handles.append(Handle())
        return self.handles[-1]

    def set_stream(self, handle: Handle, stream: int) -> None:
        handle.stream = stream

    def pygraph(self, **options: Any) -> Graph:
        self.graphs.append(Graph(self, **options))
        return self.graphs[-1]


@contextmanager
def installed() -> Iterator[FakeCudnn]:
    """``import cudnn`` gives the stand-in inside the block."""
    before = sys.modules.get("cudnn")
    sys.modules["cudnn"] = found = FakeCudnn()
    try:
        yield found
    finally:
        del sys.modules["cudnn"]
        if before is not None:
            sys.modules["cudnn"] = before
