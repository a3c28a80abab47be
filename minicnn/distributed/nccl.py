"""NCCL: sums arrays on GPUs over all ranks, one GPU a rank, through ``cupyx.distributed``. Ranks meet by MPI.

Written, and tested against a stand-in for CuPy: it has not run on GPUs yet.
"""

from __future__ import annotations

from typing import Any

from .mpi import MPICommunicator, Work

NAMES = {"SUM": "sum", "PROD": "prod", "MIN": "min", "MAX": "max"}


class NCCLCommunicator:
    """The methods on arrays of ``MPICommunicator``, for arrays on the GPU that is current when it is made.

    They run on a stream of their own: what computes on the GPU goes on meanwhile, and waits where it needs a result.

    Args:
        mpi: the same processes.
    """

    backend = "nccl"

    def __init__(self, mpi: MPICommunicator) -> None:
        import cupy
        from cupyx.distributed import NCCLBackend

        self.cupy = cupy
        self.rank, self.size = mpi.rank, mpi.size
        self.nccl = NCCLBackend(mpi.size, mpi.rank, use_mpi=True)
        self.stream = cupy.cuda.Stream(non_blocking=True)

    def all_reduce(self, array: Any, op: str) -> Work:
        """Sum (or ``PROD``, ``MIN``, ``MAX``) over all ranks, to all."""
        return self._start(self.nccl.all_reduce, array, array, NAMES[op])

    def reduce(self, array: Any, dst: int, op: str) -> Work:
        """The same, to rank ``dst`` alone."""
        return self._start(self.nccl.reduce, array, array, dst, NAMES[op])

    def broadcast(self, array: Any, src: int) -> Work:
        """The array of rank ``src``, to all."""
        return self._start(self.nccl.broadcast, array, src)

    def all_gather(self, array: Any) -> tuple[Any, Work]:
        """The arrays of all ranks (size, ...), to all."""
        gathered = self.cupy.empty((self.size, *array.shape), array.dtype)
        return gathered, self._start(self.nccl.all_gather, array, gathered, array.size)

    def close(self) -> None:
        """Free the communicator."""
        self.nccl.stop()

    def _start(self, operation: Any, *args: Any) -> Work:
        """Run ``operation`` after what has been computed so far; the arrays may be used after ``wait()``.

        The ``Work`` keeps them: CuPy knows of the other stream as little as of NCCL, and would give their memory away.
        """
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        operation(*args, stream=self.stream)
        arrived = self.stream.record()

        def wait(_kept: Any = args) -> None:
            self.cupy.cuda.get_current_stream().wait_event(arrived)

        return Work(lambda: True, wait)
