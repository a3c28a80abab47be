"""Replacing a file in one step: a reader sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give the block the name of an empty temporary file next to ``path``, and move it to ``path`` afterwards.

    The file is moved when its bytes are on the disk. If the block raises an error, the temporary file is removed and
    ``path`` is not changed. The new file gets the permissions of the old one; a symbolic link stays a link, and its
    target is replaced.

    Raises:
        OSError: if the folder does not exist or cannot be written. It names ``path``, not the temporary file.
    """
    target = os.path.realpath(os.fspath(path))
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)  # 0o666 without the bits of the umask
        os.close(handle)
        yield temporary
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.stat(target).st_mode)
        os.chmod(temporary, mode)
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename, error.filename2 = os.fspath(path), None
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and its entry needs no flush
        _flush_to_disk(folder)


def _flush_to_disk(path: str) -> None:
    handle = os.open(path, os.O_RDWR if os.path.isfile(path) else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
