"""The GPUs of this machine under PyTorch's names: how many there are, which one is current, and their memory.

``"cuda"`` without a number means the current GPU of this thread, ``cuda:0`` unless ``set_device`` or ``device`` chose
another. Functions that take a ``device`` accept ``1``, ``"cuda:1"``, ``minicnn.device("cuda:1")``, or ``None`` for
the current one; they raise DeviceError for a GPU that there is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from . import backend
from .backend.cuda.graph import CUDAGraph, capture
from .devices import Place, as_device, current
from .errors import DeviceError

# What CuPy does not remember: the most that a pool held before it gave memory back, and the peak counter (per process).
_reserved: dict[int, int] = {}
_counter: Any = None


def is_available() -> bool:
    """Whether tensors can be placed on ``"cuda"``; ``backend.load("cuda")`` says why not."""
    try:
        backend.load("cuda")
    except DeviceError:
        return False
    return True


def device_count() -> int:
    """How many GPUs there are; 0 where they cannot be used."""
    return backend.load("cuda").device_count if is_available() else 0  # type: ignore[attr-defined]


def current_device() -> int:
    """The number of the GPU that ``"cuda"`` means in this thread."""
    _enter(None)
    return current.index


def set_device(device: Place) -> None:
    """Let ``"cuda"`` mean this GPU in this thread."""
    current.index = _enter(device)


class device:  # noqa: N801  (PyTorch's name)
    """``with minicnn.cuda.device(1):`` lets ``"cuda"`` mean ``cuda:1`` inside the block."""

    def __init__(self, device: Place) -> None:
        self.chosen = device

    def __enter__(self) -> None:
        self.before = current.index
        set_device(self.chosen)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        set_device(self.before)


def get_device_name(device: Place | None = None) -> str:
    """The name that the manufacturer gave it."""
    index = _enter(device)
    return _cupy().cuda.runtime.getDeviceProperties(index)["name"].decode()


def synchronize(device: Place | None = None) -> None:
    """Wait until the GPU has done all that it was asked to do."""
    _enter(device)
    _cupy().cuda.runtime.deviceSynchronize()


def memory_allocated(device: Place | None = None) -> int:
    """Bytes in use by arrays, as CuPy's pool counts them: in multiples of 512. 0 without a GPU, as the others."""
    return _pool(device).used_bytes() if is_available() else 0


def memory_reserved(device: Place | None = None) -> int:
    """Bytes that CuPy's pool holds, in use or kept for later arrays."""
    return _pool(device).total_bytes() if is_available() else 0


def max_memory_allocated(device: Place | None = None) -> int:
    """The most bytes in use since ``reset_peak_memory_stats``, of what the thread that called it allocated.

    That call begins to count, because counting takes some microseconds for every array; before it the answer is that
    of ``max_memory_reserved``, which is never less. It is at least what is in use now.
    """
    if not is_available():
        return 0
    index = _enter(device)
    if not _counter or index not in _counter.peak:
        return max_memory_reserved(device)
    return max(_counter.peak[index], memory_allocated(device))


def max_memory_reserved(device: Place | None = None) -> int:
    """The most bytes that CuPy's pool has held since ``reset_peak_memory_stats``."""
    return max(memory_reserved(device), _reserved.get(_enter(device), 0)) if is_available() else 0


def reset_peak_memory_stats(device: Place | None = None) -> None:
    """Begin to count the most memory anew, from what is in use now."""
    global _counter
    if not is_available():
        return
    if _counter is None:
        from .backend.cuda.memory import peak_counter

        _counter = peak_counter(_cupy())
        _counter.__enter__()
    index = _enter(device)
    _counter.start(index, memory_allocated(device))
    _reserved.pop(index, None)


def empty_cache() -> None:
    """Give what CuPy's pools keep for later arrays back to the GPUs."""
    for index in range(device_count()):
        _reserved[index] = max_memory_reserved(index)
        _pool(index).free_all_blocks()


@contextmanager
def graph(cuda_graph: CUDAGraph) -> Iterator[None]:
    """Capture the GPU's work of the block in ``cuda_graph``; ``cuda_graph.replay()`` then computes it, in one launch::

        g = minicnn.cuda.CUDAGraph()
        with minicnn.cuda.graph(g):
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
        images.copy_(batch)
        g.replay()

    Inside the block nothing is computed. Tensors made in it are the same ones after each replay, with new numbers; the
    inputs are new numbers written into the same tensors. Learning rates, Adam's step counts and dropout follow the host
    at each replay. Run the block at least once before, on other steps: kernels are compiled at their first use, and an
    optimiser makes its averages in its first step. Call ``optimizer.zero_grad()`` before the block.

    Raises:
        RuntimeError: for what cannot be captured: reading numbers on the host (``item()``, ``print``), new tensors from
            host memory, and products by cuBLAS, so that convolutions have to be cuDNN's.
    """
    from .amp.casting import recast
    from .autograd.modes import SWITCHES

    # A cast that autocast has kept is not in the graph, and would not follow its parameter.
    with recast(SWITCHES.autocast), capture(backend.get("cuda"), cuda_graph):
        yield


def _enter(device: Place | None) -> int:
    """Make the GPU the one that CuPy computes on, and return its number."""
    place = as_device("cuda" if device is None else device)
    if place.type != "cuda":
        raise DeviceError(f"minicnn.cuda: expected a GPU such as 'cuda:0', got {place}")
    backend.get(place)
    return place.index or 0


def _cupy() -> Any:
    return backend.load("cuda").xp


def _pool(device: Place | None) -> Any:
    _enter(device)
    return _cupy().get_default_memory_pool()
