"""One process at a time: a lock that is released when its process ends, in whatever way."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if os.name == "nt":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # over NFS the server holds it


class FolderInUse(BlockingIOError):
    """Another process holds the lock."""


TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # the systems' errors for a lock that another process holds


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on the file ``path``, which is made if it does not exist, and stays.

    A killed process leaves the file but no lock. On a file system without locks every process gets in.

    Raises:
        FolderInUse: while another process holds it.
        OSError: if it cannot be opened; ``path`` must not be a link.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in TAKEN:
                raise FolderInUse(error.errno, "another process is training here", str(path.parent)) from None
        yield
    finally:
        os.close(handle)
