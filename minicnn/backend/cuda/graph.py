"""CUDA graphs: the work of a whole training step, captured once and then launched by one call.

While a stream is captured, the GPU computes nothing: every kernel is noted with its arguments, addresses among them.
So all memory in a graph has to stay where it is. What the step allocates comes from a pool that the graph keeps for
itself; what it finds (parameters, the optimiser's averages, the input) must not be replaced, only written into. What
the host decides in each step is repeated by ``minicnn.replay``.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ... import replay

HOST = "the host cannot read or write numbers, nor wait for the GPU"
CUBLAS = (
    "CuPy lets no product by cuBLAS be captured: choose minicnn.backend.cuda.convolution = 'cudnn', which computes "
    "convolutions and products without it"
)


class CUDAGraph:
    """A captured sequence of GPU work, under PyTorch's name. ``graph`` fills it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was captured and free its memory."""
        self._graph: Any = None
        self._device: Any = None
        self._pool: Any = None
        self._script = replay.Script()

    @property
    def captured(self) -> bool:
        """Whether there is something to replay."""
        return self._graph is not None

    def replay(self) -> None:
        """Compute everything that was captured once more, on the current stream, with the numbers there now.

        Raises:
            RuntimeError: if nothing was captured, if an optimiser's tensors have been replaced since, and while a graph
                is being captured.
        """
        if replay.recording():
            raise RuntimeError("replay: end the block that captures a graph first")
        if self._graph is None:
            raise RuntimeError("replay: nothing has been captured in this graph")
        with self._device:
            self._script.play()
            self._graph.launch()


@contextmanager
def capture(cuda: Any, target: CUDAGraph) -> Iterator[None]:
    """Capture the work of the block in ``target``, which must be empty. Nothing of it is computed.

    Raises:
        RuntimeError: if something in the block cannot be captured, another capture for example; ``target`` stays empty.
    """
    xp = cuda.xp
    if replay.recording():
        raise RuntimeError("graph: end the block that captures another graph first")
    if target.captured:
        raise RuntimeError("graph: this CUDAGraph has been captured already: call reset() first, or make another")
    gc.collect()
    xp.get_default_memory_pool().free_all_blocks()  # what earlier steps needed, the graph's pool needs once more
    device, stream, pool = xp.cuda.Device(), xp.cuda.Stream(non_blocking=True), xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc), stream:
        stream.begin_capture()
        try:
            with target._script.record():
                yield
            target._graph = stream.end_capture()
        except BaseException as error:
            with suppress(Exception):  # that the capture has failed is known
                stream.end_capture()
            target.reset()
            if isinstance(error, Exception) and (reason := _reason(error)):
                raise RuntimeError(f"graph: {_place(error)} cannot be captured: {reason}") from error
            raise
    target._pool, target._device = pool, device


def _reason(error: Exception) -> str | None:
    """Why what raised ``error`` cannot be captured, or None for any other error."""
    if isinstance(error, NotImplementedError) and "cuBLAS" in str(error):
        return CUBLAS
    if isinstance(error, RuntimeError) and "capturing" in str(error):  # CuPy's words and the driver's
        return HOST
    return None


def _place(error: Exception) -> str:
    """The function of the library that raised ``error``."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "minicnn" in frame.filename]
    return f"{frames[-1].name}() in {frames[-1].filename}:{frames[-1].lineno}" if frames else "this"
