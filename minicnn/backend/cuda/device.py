"""The CUDA backend: the primitives of ``backend.base.Backend``, functions in the modules of this folder."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ... import replay
from ...errors import DeviceError
from .. import cuda as switches
from . import conv, cudnn, deformable, loss, matrix, norm, optimizer, pointwise, pooling
from .compiler import Kernels, real
from .loading import open_cupy
from .numbers import Numbers


def _chosen(**functions: Any) -> Any:
    """The function that ``minicnn.backend.cuda.convolution`` names."""

    def run(cuda: CudaBackend, *args: Any, **options: Any) -> Any:
        if switches.convolution not in functions:
            names = " or ".join(map(repr, functions))
            raise ValueError(f"minicnn.backend.cuda.convolution: expected {names}, got {switches.convolution!r}")
        return functions[switches.convolution](cuda, *args, **options)

    return run


class CudaBackend:
    """The NVIDIA GPUs of this machine, of which one is current in every thread. ``xp`` is CuPy.

    Raises:
        DeviceError: if it cannot be used; the message says why and what to do.
    """

    name = "cuda"
    device_type = "cuda"
    least_work = 0
    statistics_in_kernels = True

    def __init__(self) -> None:
        self.xp = open_cupy()
        self.device_count = self.xp.cuda.runtime.getDeviceCount()
        self.launch = Kernels(self.xp).launch
        self.numbers = Numbers(self.xp)
        self.cudnn = cudnn.Cudnn(self.xp)
        norms = norm.norm, norm.norm_grad, norm.fixed_norm, norm.fixed_norm_grad
        self.fused = {kernel.__name__: partial(kernel, self) for kernel in (*norms, *pointwise.FUSED)}

    matmul = _chosen(im2col=matrix.matmul, cudnn=cudnn.matmul)
    conv2d = _chosen(im2col=conv.conv2d, cudnn=cudnn.conv2d)
    conv2d_input_grad = _chosen(im2col=conv.conv2d_input_grad, cudnn=cudnn.conv2d_input_grad)
    conv2d_weight_grad = _chosen(im2col=conv.conv2d_weight_grad, cudnn=cudnn.conv2d_weight_grad)
    deform_im2col = deformable.deform_im2col
    deform_im2col_grad = deformable.deform_im2col_grad
    max_pool2d = pooling.max_pool2d
    max_pool2d_grad = pooling.max_pool2d_grad
    avg_pool2d = pooling.avg_pool2d
    avg_pool2d_grad = pooling.avg_pool2d_grad
    adaptive_avg_pool2d = pooling.adaptive_avg_pool2d
    adaptive_avg_pool2d_grad = pooling.adaptive_avg_pool2d_grad
    batch_norm = norm.batch_norm
    batch_norm_grad = norm.batch_norm_grad
    scale_and_shift = norm.scale_and_shift
    softmax_cross_entropy = loss.softmax_cross_entropy
    sgd_step = optimizer.sgd_step
    adam_step = optimizer.adam_step
    clip = optimizer.clip
    unscale = optimizer.unscale

    def make_current(self, index: int) -> None:
        """Compute on the GPU of this number in this thread.

        Raises:
            DeviceError: if there is none.
            RuntimeError: for another one while a graph is captured.
        """
        if not index < self.device_count:
            last = f" ... cuda:{self.device_count - 1}" if self.device_count > 1 else ", the only GPU"
            raise DeviceError(f"expected {'one of ' * (self.device_count > 1)}cuda:0{last}, got cuda:{index}")
        runtime = self.xp.cuda.runtime
        if self.device_count > 1 and runtime.getDevice() != index:
            if replay.recording():
                raise RuntimeError(f"a graph is of one GPU: put minicnn.cuda.device({index}) around its block")
            runtime.setDevice(index)

    def copied(self, array: Any) -> Any:
        """A copy on the current GPU of an array on another. Their streams wait for each other, the host does not.

        CUDA takes the default stream of whichever GPU is current: each is used while its own is.
        """
        here = self.xp.cuda.get_current_stream()
        with array.device:
            there = self.xp.cuda.get_current_stream()
            array = self.xp.ascontiguousarray(array)  # else ``copy`` would do it, too late for the event
            computed = there.record()
        here.wait_event(computed)
        copy = array.copy()
        done = here.record()
        with array.device:
            there.wait_event(done)  # before the memory of ``array`` is used again
        return copy

    def release_memory(self) -> None:
        """Does nothing: the memory in CuPy's pool is for the next step."""

    def to_device(self, array: Any) -> Any:
        """A copy of a host array on the GPU, through page-locked memory. A GPU array is returned unchanged."""
        if replay.recording() and not isinstance(array, self.xp.ndarray):
            raise RuntimeError("a copy from the host while the stream is capturing would be of that memory at a replay")
        return self.xp.asarray(array)

    def to_host(self, array: Any) -> np.ndarray:
        """A copy in host memory. The host waits until the GPU has computed it."""
        return self.xp.asnumpy(array)

    def scatter_add(self, target: Any, index: Any, values: Any) -> None:
        """``target[index] += values``, adding up where an index repeats, in no fixed order.

        Raises:
            TypeError: for a dtype that the GPU cannot add atomically.
        """
        if target.dtype.name == "bfloat16":
            total = target.astype("float32")
            self.scatter_add(total, index, values.astype("float32"))
            target[...] = total
            return
        if target.dtype not in ATOMIC:
            raise TypeError(f"scatter_add: expected one of {', '.join(ATOMIC)} on a GPU, got {target.dtype}")
        self.xp.add.at(target, _without_masks(index), values)

    def dropout_mask(self, shape: tuple[int, ...], p: float, dtype: Any, generator: np.random.Generator) -> Any:
        """0 with probability ``p``, else 1 / (1 - p), drawn on the GPU from a seed that ``generator`` gives.

        Reproducible, but another stream of numbers than the CPU's. For a dtype of 16 bits the mask is float32, which
        does not round 1 / (1 - p).
        """
        mask = self.xp.empty(shape, real(dtype))
        seed, seed_there = 0, None
        if replay.recording():  # each replay draws its own
            seed_there = replay.again(lambda: self.numbers((_seed(generator),), "uint64"))
        else:
            seed = _seed(generator)
        self.launch("random", "dropout_mask", mask.dtype, -(-mask.size // 4), mask, mask.size, p, seed, seed_there)
        return mask


def _seed(generator: np.random.Generator) -> int:
    """The next seed; none is drawn for a capture, which computes nothing."""
    return 0 if replay.recording() else int(generator.integers(2**63))


def _without_masks(index: Any) -> tuple[Any, ...]:
    """``index`` with every mask replaced by the positions where it is true, as atomic addition needs."""
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        is_mask = getattr(part, "dtype", None) == np.bool_
        parts += part.nonzero() if is_mask else (part,)
    return tuple(parts)


ATOMIC = ("int32", "int64", "uint32", "uint64", "float16", "float32", "float64")
