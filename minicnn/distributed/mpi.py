"""MPI: sums arrays in main memory over all ranks, and carries everything that is not an array."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SPINS = 2000  # looks in a row for the end of an operation; then the core is left to others between two looks
PAUSE = 5e-5  # seconds


class Work:
    """A communication that may not be finished yet: PyTorch's ``Work``.

    Args:
        completed: whether it is finished; asking also moves it on, because MPI works only while it is called.
        finish: what remains to be done then, once.
    """

    def __init__(self, completed: Callable[[], bool], finish: Callable[[], None] = lambda: None) -> None:
        self._completed, self._finish, self._done = completed, finish, False

    def is_completed(self) -> bool:
        """Whether the result is there."""
        return self._done or self._completed()

    def wait(self) -> bool:
        """Return when the result is there. Ctrl-C is heard meanwhile, as it would not be inside of MPI's own wait."""
        if not self._done:
            spins = 0
            while not self._completed():
                spins += 1
                if spins > SPINS:
                    time.sleep(PAUSE)
            self._finish()
            self._done = True
        return True


class MPICommunicator:
    """All processes that ``mpiexec`` started. The arrays of its methods are contiguous and changed in place."""

    backend = "mpi"

    def __init__(self) -> None:
        self.MPI = import_mpi()
        self.comm = self.MPI.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        machine = self.comm.Split_type(self.MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = machine.rank, machine.size
        machine.Free()
        self._ops = {name: getattr(self.MPI, name) for name in ("SUM", "PROD", "MIN", "MAX")}

    def all_reduce(self, array: Any, op: str) -> Work:
        """Sum (or ``PROD``, ``MIN``, ``MAX``) over all ranks, to all."""
        return _work(self.comm.Iallreduce(self.MPI.IN_PLACE, array, self._ops[op]))

    def reduce(self, array: Any, dst: int, op: str) -> Work:
        """The same, to rank ``dst`` alone."""
        sent = self.MPI.IN_PLACE if self.rank == dst else array
        return _work(self.comm.Ireduce(sent, array if self.rank == dst else None, self._ops[op], dst))

    def broadcast(self, array: Any, src: int) -> Work:
        """The array of rank ``src``, to all."""
        return _work(self.comm.Ibcast(array, src))

    def all_gather(self, array: Any) -> tuple[Any, Work]:
        """The arrays of all ranks (size, ...), to all."""
        gathered = np.empty((self.size, *array.shape), array.dtype)
        return gathered, _work(self.comm.Iallgather(array, gathered))

    def barrier(self) -> None:
        """Return when every rank has come here."""
        _work(self.comm.Ibarrier()).wait()

    def gather_objects(self, item: Any) -> list[Any]:
        """What each rank has given, to all. The objects are pickled."""
        self.barrier()  # to wait for the others here, where Ctrl-C is heard
        return self.comm.allgather(item)

    def broadcast_object(self, item: Any, src: int) -> Any:
        """What rank ``src`` has given, to all. The object is pickled."""
        self.barrier()
        return self.comm.bcast(item, src)

    def abort(self, status: int) -> None:
        """End all processes now."""
        self.MPI.COMM_WORLD.Abort(status)

    def close(self) -> None:
        """Free the communicator; every rank has to come here."""
        self.comm.Free()


def import_mpi() -> Any:
    """``mpi4py.MPI``, which starts MPI.

    Raises:
        ImportError: where it is not installed, or finds no MPI.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f'several processes need mpi4py and an MPI, for example: pip install "minicnn-lecture[mpi]" mpich ({error})'
        ) from error
    return MPI


def _work(request: Any) -> Work:
    return Work(request.Test)
