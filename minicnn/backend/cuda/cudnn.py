"""Convolution by cuDNN, NVIDIA's library: ``minicnn.backend.cuda.convolution = "cudnn"`` chooses it.

cuDNN has many kernels for a convolution, and which of them is the fastest depends on every size in it. The first
convolution of a geometry times the first few that cuDNN recommends, on the GPU, and keeps the fastest as its plan
(PyTorch's ``cudnn.benchmark``). A geometry that cuDNN has no kernel for is left to im2col (and a product to cuBLAS).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...errors import DeviceError
from .. import cuda as switches
from ..base import Window
from . import conv, matrix

INSTALL = 'pip install "nvidia-cudnn-frontend<1.29" nvidia-cudnn-cu13 (or nvidia-cudnn-cu12 with CuPy for CUDA 12)'
TIMED_PLANS = 8  # of those that cuDNN recommends, best first
TIMED_RUNS = 3
WORKSPACE_BYTES = 2**30  # the most scratch memory a plan may need
INDEXABLE = 2**31  # cuDNN counts elements with 32 bits
ALIGNMENT = 16  # bytes, which plans take for granted
RESULT = 3  # in a graph; the two arrays that the operation takes are 1 and 2

# What cuDNN says of its kernels: that they round the factors, or sums on their way; and, in float32, that they use
# tensor cores, which round factors to TensorFloat-32.
ROUNDING = ("DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION")
TF32 = ("TENSOR_CORE",)

Shape = tuple[int, ...]

# Each operation is a method of cuDNN's graphs: the arrays of the convolution that it takes, and the one it computes.
OPERATIONS = {
    "conv_fprop": ({"image": "x", "weight": "weight"}, "y"),
    "conv_dgrad": ({"loss": "y", "filter": "weight"}, "x"),
    "conv_wgrad": ({"image": "x", "loss": "y"}, "weight"),
}
# NumPy's name: cuDNN's, and in which it adds up.
DTYPES = {
    "float16": ("HALF", "FLOAT"),
    "bfloat16": ("BFLOAT16", "FLOAT"),
    "float32": ("FLOAT", "FLOAT"),
    "float64": ("DOUBLE", "DOUBLE"),
}


class Geometry(NamedTuple):
    """All that the choice of a kernel depends on. The number of groups is ``x[1] / weight[1]``."""

    operation: str  # a key of OPERATIONS
    x: Shape  # (N, C, H, W)
    weight: Shape  # (K, C / groups, kH, kW)
    y: Shape  # (N, K, oH, oW)
    window: Window
    dtype: str  # of all three
    tf32: bool = False  # whether float32 factors may be rounded to 10 bits


class Plan(NamedTuple):
    """A graph of one operation with the kernel to use selected."""

    graph: Any
    workspace: int  # bytes


def conv2d(cuda: Any, x: Any, weight: Any, window: Window, groups: int = 1) -> Any:
    """See ``reference.conv.conv2d``."""
    y_shape = (x.shape[0], weight.shape[0], *window.output_size(x.shape[2:]))
    geometry = Geometry("conv_fprop", x.shape, weight.shape, y_shape, window, x.dtype.name, _tf32(x))
    y = cuda.cudnn.compute(geometry, x, weight)
    return conv.conv2d(cuda, x, weight, window, groups) if y is None else y


def conv2d_input_grad(
    cuda: Any, dy: Any, weight: Any, x_shape: tuple[int, ...], window: Window, groups: int = 1
) -> Any:
    """See ``reference.conv.conv2d_input_grad``."""
    geometry = Geometry("conv_dgrad", x_shape, weight.shape, dy.shape, window, dy.dtype.name, _tf32(dy))
    dx = cuda.cudnn.compute(geometry, dy, weight)
    return conv.conv2d_input_grad(cuda, dy, weight, x_shape, window, groups) if dx is None else dx


def conv2d_weight_grad(
    cuda: Any, dy: Any, x: Any, weight_shape: tuple[int, ...], window: Window, groups: int = 1
) -> Any:
    """See ``reference.conv.conv2d_weight_grad``."""
    geometry = Geometry("conv_wgrad", x.shape, weight_shape, dy.shape, window, x.dtype.name, _tf32(x))
    d_weight = cuda.cudnn.compute(geometry, x, dy)
    return conv.conv2d_weight_grad(cuda, dy, x, weight_shape, window, groups) if d_weight is None else d_weight


def matmul(cuda: Any, a: Any, b: Any) -> Any:
    """See ``Backend.matmul``: the product of two matrices as a convolution of images of one pixel.

    CuPy refuses cuBLAS while a CUDA graph is captured. The three products of a linear layer are the three operations:
    ``x @ weight.T``, ``dy @ weight`` and ``dy.T @ x``. All other products, and those of more axes, are cuBLAS's.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        return matrix.matmul(cuda, a, b)
    (m, length), n = a.shape, b.shape[1]
    if not b.flags.c_contiguous:
        operation, x, weight, y, factors = "conv_fprop", (m, length), (n, length), (m, n), (a, b.T)
    elif a.flags.c_contiguous:
        operation, x, weight, y, factors = "conv_dgrad", (m, n), (length, n), (m, length), (a, b)
    else:
        operation, x, weight, y, factors = "conv_wgrad", (length, n), (m, n), (length, m), (b, a.T)
    shapes = {"x": (*x, 1, 1), "weight": (*weight, 1, 1), "y": (*y, 1, 1)}
    tf32 = a.dtype == np.float32 and switches.allow_tf32_matmuls
    geometry = Geometry(operation, window=Window((1, 1)), dtype=a.dtype.name, tf32=tf32, **shapes)
    result = cuda.cudnn.compute(geometry, *factors)
    return matrix.matmul(cuda, a, b) if result is None else result.reshape(m, n)


def _tf32(array: Any) -> bool:
    return array.dtype == np.float32 and switches.allow_tf32_convolutions


class _Handles(threading.local):
    """Of one thread: handles, which are not to be shared, by GPU."""

    def __init__(self) -> None:
        self.of: dict[int, Any] = {}


class Cudnn:
    """cuDNN with the plans of one process; it is imported at the first convolution."""

    def __init__(self, cupy: Any) -> None:
        self.xp = cupy
        self.plans: dict[tuple[int, Geometry], Plan | None] = {}  # by GPU; None is left to im2col
        self._handles = _Handles()

    def compute(self, geometry: Geometry, first: Any, second: Any) -> Any:
        """The result of the operation on its two arrays, in their order in OPERATIONS; None if cuDNN cannot.

        Raises:
            DeviceError: without cuDNN.
            RuntimeError: for a new geometry while a CUDA graph is captured.
        """
        key = (self.xp.cuda.runtime.getDevice(), geometry)
        if self.plans.get(key, True) is None or first.dtype != second.dtype:
            return None
        handle = self._handle(key[0])
        result = self.xp.empty(getattr(geometry, OPERATIONS[geometry.operation][1]), first.dtype)
        arrays = (self._aligned(first), self._aligned(second), result)
        pointers = {uid: array.data.ptr for uid, array in enumerate(arrays, start=1)}
        if key not in self.plans:
            self.plans[key] = self._fastest(geometry, pointers, handle)
        plan = self.plans[key]
        if plan is None:
            return None
        self._execute(plan, pointers, handle)
        return result

    @cached_property
    def module(self) -> Any:
        """The module ``cudnn``."""
        return open_cudnn()

    def _handle(self, device: int) -> Any:
        """This thread's handle for the GPU, on the current stream."""
        handles = self._handles.of
        if device not in handles:
            handles[device] = self.module.create_handle()
        self.module.set_stream(handle=handles[device], stream=self.xp.cuda.get_current_stream().ptr)
        return handles[device]

    def _aligned(self, array: Any) -> Any:
        array = self.xp.ascontiguousarray(array)
        return array.copy() if array.data.ptr % ALIGNMENT else array

    def _execute(self, plan: Plan, pointers: dict[int, int], handle: Any) -> None:
        workspace = self.xp.empty(plan.workspace, np.uint8)
        plan.graph.execute(pointers, workspace.data.ptr, handle=handle)

    def _fastest(self, geometry: Geometry, pointers: dict[int, int], handle: Any) -> Plan | None:
        """The fastest of the first few plans that work, by the clock of the GPU."""
        if self.xp.cuda.get_current_stream().is_capturing():
            raise RuntimeError(f"cuDNN has no plan yet for {geometry}: run it once before a CUDA graph captures it")
        graph = operation_graph(self.module, geometry, handle=handle)
        times = {}
        for index in islice(plans(self.module, graph), TIMED_PLANS):
            with suppress(RuntimeError, MemoryError):  # a kernel that fails, or needs more memory than there is
                times[index] = self._time(Plan(graph, graph.get_workspace_size()), pointers, handle)
        if not times:
            return None
        graph.build_plan_at_index(min(times, key=times.__getitem__))
        return Plan(graph, graph.get_workspace_size())

    def _time(self, plan: Plan, pointers: dict[int, int], handle: Any) -> float:
        """Milliseconds of one execution, after one that is not timed."""
        stream = self.xp.cuda.get_current_stream()
        self._execute(plan, pointers, handle)
        start = stream.record()
        for _ in range(TIMED_RUNS):
            self._execute(plan, pointers, handle)
        end = stream.record()
        end.synchronize()
        elapsed: float = self.xp.cuda.get_elapsed_time(start, end)
        return elapsed / TIMED_RUNS


def operation_graph(cudnn: Any, geometry: Geometry, **device: Any) -> Any:
    """cuDNN's graph of one operation with its list of plans, none of which is built yet; None if there is no plan.

    Args:
        cudnn: the module.
        device: ``handle=`` of a GPU, or ``device_property=`` of an absent one.
    """
    if geometry.dtype not in DTYPES or not all(0 < prod(shape) < INDEXABLE for shape in geometry[1:4]):
        return None
    stored, added = (getattr(cudnn.data_type, name) for name in DTYPES[geometry.dtype])
    graph = cudnn.pygraph(io_data_type=stored, intermediate_data_type=added, compute_data_type=added, **device)

    def layout(name: str) -> dict[str, list[int]]:
        n, c, h, w = getattr(geometry, name)
        return {"dim": [n, c, h, w], "stride": [c * h * w, h * w, w, 1]}

    takes, gives = OPERATIONS[geometry.operation]
    arguments = {
        argument: graph.tensor(name=name, data_type=stored, uid=uid, **layout(name))
        for uid, (argument, name) in enumerate(takes.items(), start=1)
    }
    (above, below), (left, right) = geometry.window.padding
    result = getattr(graph, geometry.operation)(
        **arguments,
        pre_padding=[above, left],
        post_padding=[below, right],
        stride=list(geometry.window.stride),
        dilation=list(geometry.window.dilation),
        compute_data_type=added,
    )
    shape = layout(gives)
    result.set_output(True).set_dim(shape["dim"]).set_stride(shape["stride"]).set_data_type(stored).set_uid(RESULT)
    graph.validate()
    graph.build_operation_graph()
    try:
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    except cudnn.cudnnGraphNotSupportedError:
        return None
    unwanted = ROUNDING + TF32 * (geometry.dtype == "float32" and not geometry.tf32)
    graph.deselect_numeric_notes([getattr(cudnn.numerical_note, note) for note in unwanted])
    graph.deselect_workspace_greater_than(WORKSPACE_BYTES)
    return graph


def plans(cudnn: Any, graph: Any) -> Iterator[int]:
    """Build one plan after the other, best first, as cuDNN guesses; yields the indices of those that can be built."""
    for index in range(graph.get_execution_plan_count() if graph is not None else 0):
        try:
            graph.build_plan_at_index(index)
        except cudnn.cudnnGraphNotSupportedError:
            continue
        yield index


def open_cudnn() -> Any:
    """The module ``cudnn``.

    Raises:
        DeviceError: without it, or without the library that it loads.
    """
    try:
        import cudnn

        cudnn.backend_version()
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(f'convolution = "cudnn" needs cuDNN, which does not load ({error}): {INSTALL}') from error
    return cudnn
