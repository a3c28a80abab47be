"""Files out of a ``.tar.gz`` archive that is not trusted: read as a stream, never written to the disk."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .errors import DataError

# An archive of CIFAR unpacks to 190 MB. One that becomes far larger is an attack or a mistake.
MOST_BYTES = 1 << 30


class _Limited(io.RawIOBase):
    """Reads from ``file`` and raises DataError after ``MOST_BYTES``."""

    def __init__(self, file: Any) -> None:
        self.file, self.left = file, MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, or all that may still be read."""
        data = self.file.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise DataError(f"unpacks to more than {MOST_BYTES >> 20} MB")
        return data


def read_members(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """The contents of the files in a tar archive, compressed by gzip, that are called one of ``names`` (in any folder).

    Links and devices in it are passed over.

    Raises:
        DataError: if the archive is missing, damaged, unpacks to more than a gigabyte, or holds a name twice.
    """
    found: dict[str, bytes] = {}
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
            raise DataError("it is not a regular file")
        with gzip.open(path) as file, tarfile.open(fileobj=_Limited(file), mode="r|") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name not in names or not member.isreg():
                    continue
                if name in found:
                    raise DataError(f"it holds {name} twice")
                content = archive.extractfile(member)
                found[name] = b"" if content is None else content.read()
                if len(found[name]) != member.size:
                    raise DataError(f"{name} in it is cut off")
    except DataError as error:
        raise DataError(f"cannot read the archive {str(path)!r}: {error}") from None
    # tarfile and gzip raise many kinds of errors at damaged bytes, ValueError and OverflowError among them.
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, OverflowError, ArithmeticError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise DataError(f"cannot read the archive {str(path)!r}: {reason}") from error
    return found
