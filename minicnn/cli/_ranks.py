"""A command that ``mpiexec`` has started several times: it ends as one, with one line.

Nothing is imported here, and in an ordinary process nothing happens, until a command calls ``join``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._errors import UsageError

# The variables of MPI's launchers with the number of processes and this one's: MPICH, Intel MPI and MS-MPI; Open MPI.
LAUNCHERS = (("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))
PATIENCE = 3.0  # seconds in which rank 0 says how a run that Ctrl-C stopped goes on


class Silent(UsageError):
    """An error that rank 0 reports."""


def launched() -> tuple[int, int]:
    """How many processes a launcher has started, and which one this is: 1 and 0 without one."""
    for size, rank in LAUNCHERS:
        if os.environ.get(size, "").isdigit() and os.environ.get(rank, "").isdigit():
            return int(os.environ[size]), int(os.environ[rank])
    return 1, 0


def join() -> None:
    """Make one group of the processes that a launcher has started, if there are several.

    Raises:
        UsageError: without mpi4py, or with that of another MPI than the launcher's.
    """
    size, rank = launched()
    if size == 1:
        return
    from .. import distributed

    kind = UsageError if rank == 0 else Silent
    try:
        distributed.init_process_group()
    except ImportError as error:
        raise kind(f"started as {size} processes: {error}") from error
    if distributed.get_world_size() != size:
        raise kind(
            f"mpiexec has started {size} processes, but mpi4py finds {distributed.get_world_size()}: "
            "is mpiexec of the MPI that mpi4py loads?"
        )


def require_alone(option: str) -> None:
    """Raise UsageError if a launcher has started several processes."""
    size, rank = launched()
    if size > 1:
        raise (UsageError if rank == 0 else Silent)(f"{option} works in one process, and mpiexec has started {size}")


def speak(error: BaseException) -> bool:
    """Whether this process is to report ``error``. Of ranks that fail together, the first ends all others before."""
    group = _group()
    if group is not None:
        if isinstance(error, KeyboardInterrupt) and group.get_rank() > 0:
            time.sleep(PATIENCE)
            return False
        group.wait_for_turn()
    elif isinstance(error, UsageError):  # of the same words on every rank
        return launched()[1] == 0
    return not isinstance(error, Silent)


def named(line: str) -> str:
    """The line of an error, with the rank that it happened on, if that is not the first."""
    group = _group()
    if group is None or group.get_rank() == 0:
        return line
    return line.replace("error:", f"error: rank {group.get_rank()}:", 1)


def end(status: int) -> int:
    """End all ranks with an exit status that is not 0."""
    group = _group()
    if group is not None:
        sys.stdout.flush()
        group.end_all(status)
    return status


@contextmanager
def saying_if_killed(text: str) -> Iterator[None]:
    """Print ``text`` if this process is killed in this block, as rank 0 is by mpiexec when another has ended.

    It cannot say so itself. A shell waits for the end of a pipe, which comes without a word if its other end is gone.
    """
    if _group() is None or _group().get_rank() > 0 or os.name != "posix":
        yield
        return
    script = 'read done || printf "%s\\n" "$1" >&2'
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", text], stdin=subprocess.PIPE, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        watcher.communicate(b"done\n")


def _group() -> Any:
    """The module of the process group, while there is one."""
    module = sys.modules.get("minicnn.distributed.group")
    return module if module is not None and module.is_initialized() else None
