"""The processes that compute together: PyTorch's ``torch.distributed``, for one group, that of all processes.

Every process (a *rank*) calls the same functions in the same order; each returns when its own part is done.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from enum import Enum
from typing import Any

import numpy as np

from .. import backend as backends
from ..devices import device
from ..short_floats import FLOATS
from ..tensors import Tensor
from .mpi import MPICommunicator, Work
from .nccl import NCCLCommunicator

BACKENDS = ("mpi", "nccl")
DELIVERY = 0.2  # seconds that mpiexec has to pass on what was printed, before it ends with all processes
TURN = 1.0  # seconds that a failing rank leaves to each rank before it to speak first, and to deliver that


class ReduceOp(Enum):
    """How the values of all ranks become one."""

    SUM = "SUM"
    AVG = "AVG"
    PRODUCT = "PROD"
    MIN = "MIN"
    MAX = "MAX"


class _Group:
    """The communicators of this process, while it belongs to a group."""

    mpi: MPICommunicator | None = None
    nccl: NCCLCommunicator | None = None


_group = _Group()


def is_available() -> bool:
    """Whether mpi4py is installed."""
    return importlib.util.find_spec("mpi4py") is not None


def is_initialized() -> bool:
    """Whether this process belongs to a group."""
    return _group.mpi is not None


def init_process_group(backend: str | None = None) -> None:
    """Join all processes that ``mpiexec`` has started; without ``mpiexec`` the group is this process alone.

    From now on a process that ends by an exception ends all others too, which would wait for it for ever. Python does
    not tell of ``sys.exit``: a program that uses it is started by ``mpiexec ... python -m mpi4py program.py``.

    Args:
        backend: ``"mpi"`` (the default) for tensors in main memory; ``"nccl"`` for tensors on GPUs too: each rank of
            a machine takes a GPU of its own.

    Raises:
        ImportError: without mpi4py.
        ValueError: for another backend.
        RuntimeError: if it belongs to one already.
    """
    if backend not in (None, *BACKENDS):
        raise ValueError(f"expected one of {', '.join(BACKENDS)} as backend, got {backend!r}")
    if is_initialized():
        raise RuntimeError("init_process_group() was called already")
    _group.mpi = MPICommunicator()
    if backend == "nccl":
        enter_gpu()
    sys.excepthook = _end_all_by


def destroy_process_group(group: None = None) -> None:
    """Leave the group; every rank has to call it."""
    if _group.nccl is not None:
        _group.nccl.close()
    communicator().close()
    _group.mpi = _group.nccl = None
    if sys.excepthook is _end_all_by:
        sys.excepthook = sys.__excepthook__


def enter_gpu() -> None:
    """Give this process a GPU of its own, as ``cuda:0``, and let NCCL sum the tensors on it. Every rank has to call it.

    Raises:
        DeviceError: without CuPy, GPU or driver.
        ValueError: if there are more ranks on this machine than GPUs in ``CUDA_VISIBLE_DEVICES``.
    """
    if "cupy" not in sys.modules:  # it looks at the variable once
        os.environ["CUDA_VISIBLE_DEVICES"] = own_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"), get_local_rank())
    backends.get(device("cuda", 0))  # raises DeviceError
    if _group.nccl is None:
        _group.nccl = NCCLCommunicator(communicator())


def own_gpu(visible: str | None, local_rank: int) -> str:
    """Which GPU a rank takes: that of its number on this machine, among the visible ones if they are listed."""
    listed = visible.split(",") if visible else None
    if listed is not None and len(listed) == 1:
        return listed[0]  # chosen for this process
    if listed is not None and local_rank >= len(listed):
        raise ValueError(f"rank {local_rank} of this machine has no GPU: CUDA_VISIBLE_DEVICES lists {len(listed)}")
    return listed[local_rank] if listed else str(local_rank)


def communicator() -> MPICommunicator:
    """The group's MPI. Raises RuntimeError outside of one."""
    if _group.mpi is None:
        raise RuntimeError("there is no process group: call init_process_group() first")
    return _group.mpi


def get_rank(group: None = None) -> int:
    """The number of this process, from 0."""
    return communicator().rank


def get_local_rank() -> int:
    """The number of this process among those on the same machine, from 0."""
    return communicator().local_rank


def get_local_size() -> int:
    """How many processes there are on this machine."""
    return communicator().local_size


def get_world_size(group: None = None) -> int:
    """How many processes there are."""
    return communicator().size


def get_backend(group: None = None) -> str:
    """``"mpi"`` or ``"nccl"``."""
    return (_group.nccl or communicator()).backend


def barrier(group: None = None) -> None:
    """Return when every rank has called it."""
    communicator().barrier()


def all_reduce(tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: None = None, async_op: bool = False) -> Work | None:
    """Replace ``tensor`` on each rank by the sum (or ``op``) over all ranks: everywhere the same bits.

    Args:
        async_op: return at once, a ``Work`` whose ``wait()`` returns when the result is there.

    Raises:
        RuntimeError: without a group.
    """
    buffer, return_to = _buffer(tensor)
    work = for_device(tensor.device).all_reduce(buffer, "SUM" if op is ReduceOp.AVG else op.value)
    size = get_world_size() if op is ReduceOp.AVG else 1
    return _result(work, lambda: return_to(buffer / size if size > 1 else buffer), async_op)


def reduce(
    tensor: Tensor, dst: int, op: ReduceOp = ReduceOp.SUM, group: None = None, async_op: bool = False
) -> Work | None:
    """As ``all_reduce``, to rank ``dst`` alone: on all others the tensor stays as it is."""
    _require_rank(dst)
    buffer, return_to = _buffer(tensor)
    work = for_device(tensor.device).reduce(buffer, dst, "SUM" if op is ReduceOp.AVG else op.value)
    size = get_world_size() if op is ReduceOp.AVG else 1

    def finish() -> None:
        if get_rank() == dst:
            return_to(buffer / size if size > 1 else buffer)

    return _result(work, finish, async_op)


def broadcast(tensor: Tensor, src: int, group: None = None, async_op: bool = False) -> Work | None:
    """Replace ``tensor`` on each rank by that of rank ``src``, of the same shape and dtype."""
    _require_rank(src)
    buffer, return_to = _buffer(tensor)
    work = for_device(tensor.device).broadcast(buffer, src)
    return _result(work, lambda: return_to(buffer), async_op)


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: None = None, async_op: bool = False) -> Work | None:
    """Put the tensor of rank i, of the same shape and dtype on each, into ``tensor_list[i]``.

    Raises:
        ValueError: if ``tensor_list`` does not have a tensor of that shape and dtype for each rank.
    """
    size = get_world_size()
    if len(tensor_list) != size or any(t.shape != tensor.shape or t.dtype != tensor.dtype for t in tensor_list):
        raise ValueError(f"expected {size} tensors of shape {tensor.shape} and {tensor.dtype} in tensor_list")
    buffer, _ = _buffer(tensor)
    gathered, work = for_device(tensor.device).all_gather(buffer)

    def finish() -> None:
        for place, array in zip(tensor_list, gathered, strict=True):
            place.array[...] = array
            place.mark_written()

    return _result(work, finish, async_op)


def all_gather_object(object_list: list[Any], obj: Any, group: None = None) -> None:
    """Put what rank i has given into ``object_list[i]``, on each rank; it is pickled on the way."""
    object_list[:] = communicator().gather_objects(obj)


def broadcast_object_list(object_list: list[Any], src: int = 0, group: None = None) -> None:
    """Replace the list on each rank by that of rank ``src``; it is pickled on the way."""
    _require_rank(src)
    object_list[:] = communicator().broadcast_object(object_list, src)


def for_device(place: device, new: bool = False) -> MPICommunicator | NCCLCommunicator:
    """What communicates arrays on this device.

    Args:
        new: one whose messages are not mistaken for others', whatever the order of the two. (NCCL has one for all.)
    """
    mpi = communicator()
    if place.type == "cpu":
        return MPICommunicator() if new else mpi
    if _group.nccl is None:
        raise RuntimeError(f'for a tensor on {place} call init_process_group("nccl")')
    return _group.nccl


def end_all(status: int) -> None:
    """End all processes now, this one with them. What is to be read must have been printed before."""
    time.sleep(DELIVERY)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add a line that says the same
    communicator().abort(status)


def wait_for_turn() -> None:
    """Of ranks that fail together the first is to speak, and to end the others before they do."""
    time.sleep(TURN * min(get_rank(), 4))


def _end_all_by(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    """The ``sys.excepthook`` of a rank: show the error, and end all ranks."""
    wait_for_turn()
    print(f"rank {get_rank()} of {get_world_size()}:", file=sys.stderr)
    sys.__excepthook__(kind, error, traceback)
    sys.stderr.flush()
    end_all(1)


def _buffer(tensor: Tensor) -> tuple[Any, Any]:
    """A contiguous array with the tensor's numbers, and a function that puts a result into the tensor."""
    array = tensor.array
    buffer = array if array.flags.c_contiguous else array.copy(order="C")
    if array.dtype.kind in FLOATS and array.dtype.itemsize == 2:  # MPI does not know it
        buffer = buffer.astype(np.float32)

    def return_to(result: Any) -> None:
        if result is not array:
            array[...] = result
        tensor.mark_written()

    return buffer, return_to


def _result(work: Work, finish: Any, async_op: bool) -> Work | None:
    whole = Work(work.is_completed, lambda: (work.wait(), finish())[1])
    if async_op:
        return whole
    whole.wait()
    return None


def _require_rank(rank: int) -> None:
    if not 0 <= rank < get_world_size():
        raise ValueError(f"expected a rank from 0 to {get_world_size() - 1}, got {rank}")
