"""A file that is not trusted: its mapped bytes, and the records of a zip archive."""

from __future__ import annotations

import mmap
import os
import stat
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from ..errors import FileFormatError
from ..paths import expanded

# Weights do not compress well. An archive that would inflate to much more is an attack or a mistake.
MAX_INFLATED_BYTES = 1 << 29
MAX_INFLATED_RATIO = 8

LOCAL_HEADER_SIZE = 30
LOCAL_HEADER_MAGIC = b"PK\x03\x04"
ENCRYPTED = 0x1  # bit of a zip entry's flags


class Source:
    """A regular, non-empty file. Use it in a ``with`` block; arrays over its bytes outlive the block.

    Attributes:
        data: the bytes, uint8 of shape (size,). With ``map_file`` they are the file's own pages,
            copy-on-write: a page is read when it is first used, and writing into it never changes the file. If the
            file is shortened in place, its pages are lost (replacing it, as ``save`` does, is harmless). Without
            ``map_file`` they are a copy in memory.
        pages: the same bytes as a file-like object whose ``read`` never returns more than there is.

    Raises:
        OSError: if there is no such file or it may not be read.
        FileFormatError: for a folder, a pipe or device, and an empty file.
    """

    def __init__(self, path: str | os.PathLike[str], map_file: bool = True) -> None:
        self.path = expanded(path)
        mode = os.stat(self.path).st_mode
        if stat.S_ISDIR(mode):
            raise FileFormatError("expected a file, but this is a folder")
        if not stat.S_ISREG(mode):  # opening a pipe would block
            raise FileFormatError("expected a regular file, but this is a pipe or a device")
        self.handle = open(self.path, "rb")  # noqa: SIM115 (closed by __exit__)
        try:
            if os.fstat(self.handle.fileno()).st_size == 0:
                raise FileFormatError("the file is empty")
            self.pages = mmap.mmap(self.handle.fileno(), 0, access=mmap.ACCESS_COPY)
        except BaseException:
            self.handle.close()
            raise
        mapped = np.frombuffer(self.pages, np.uint8)
        self.data = mapped if map_file else mapped.copy()

    @property
    def size(self) -> int:
        """The length of the file in bytes."""
        return self.data.size

    def head(self, length: int) -> bytes:
        """The first bytes of the file, at most ``length``."""
        return self.data[:length].tobytes()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.handle.close()


class Archive:
    """The records of a zip archive by name. Stored records are views of the source's bytes, not copies.

    Raises:
        FileFormatError: for an archive that is truncated or damaged, that is encrypted, that holds a name
            twice, or whose records overlap or inflate to far more than the file's own size.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        try:
            self.zip = zipfile.ZipFile(source.handle)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            OverflowError,
            OSError,
            struct.error,
        ) as error:
            raise FileFormatError(f"truncated or damaged zip archive ({error})") from error
        self.comment = self.zip.comment
        entries = [entry for entry in self.zip.infolist() if not entry.is_dir()]
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) < len(entries):
            raise FileFormatError("damaged zip archive: two records have the same name")
        if any(entry.flag_bits & ENCRYPTED for entry in entries):
            raise FileFormatError("the zip archive is encrypted")
        if sum(entry.compress_size for entry in entries) > source.size:
            raise FileFormatError("damaged zip archive: its records overlap or are longer than the file")
        self._may_inflate = max(MAX_INFLATED_BYTES, MAX_INFLATED_RATIO * source.size)

    def read(self, name: str, check: bool = False) -> np.ndarray:
        """The bytes of one record, uint8 of shape (size,), writable.

        Args:
            name: a key of ``entries``.
            check: compare a stored record with its checksum, which reads all of it. (Inflating always does.)
        """
        entry = self.entries[name]
        if entry.compress_type != zipfile.ZIP_STORED:
            return self._inflate(entry)
        start = self._data_start(entry)
        data = self.source.data[start : start + entry.compress_size]
        if not data.size == entry.compress_size == entry.file_size:
            raise FileFormatError(f"damaged zip archive: the record {shown(name)} is cut off")
        if check and zlib.crc32(data.data) != entry.CRC:
            raise FileFormatError(f"damaged zip archive: the record {shown(name)} does not match its checksum")
        return data

    def _data_start(self, entry: zipfile.ZipInfo) -> int:
        """Where a record's bytes begin: after its local header, whose last two parts vary in length."""
        start = entry.header_offset
        header = self.source.data[start : start + LOCAL_HEADER_SIZE].tobytes() if start >= 0 else b""
        if len(header) < LOCAL_HEADER_SIZE or not header.startswith(LOCAL_HEADER_MAGIC):
            raise FileFormatError(f"damaged zip archive: no record where {shown(entry.filename)} should be")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        return start + LOCAL_HEADER_SIZE + name_length + extra_length

    def _inflate(self, entry: zipfile.ZipInfo) -> np.ndarray:
        if entry.compress_type != zipfile.ZIP_DEFLATED:
            raise FileFormatError(
                f"zip archive: the record {shown(entry.filename)} is compressed by method {entry.compress_type}; "
                "expected stored or deflated records"
            )
        self._may_inflate -= entry.file_size
        if self._may_inflate < 0:
            raise FileFormatError(
                f"refused: the zip archive would inflate to more than {MAX_INFLATED_BYTES >> 20} MB and more "
                f"than {MAX_INFLATED_RATIO} times its size"
            )
        try:
            with self.zip.open(entry) as stream:
                data = bytearray(stream.read(entry.file_size))
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            ValueError,
            EOFError,
            OSError,
        ) as e:
            raise FileFormatError(f"damaged zip archive: cannot inflate {shown(entry.filename)} ({e})") from e
        if len(data) != entry.file_size:
            raise FileFormatError(f"damaged zip archive: the record {shown(entry.filename)} is cut off")
        return np.frombuffer(data, np.uint8)


def shown(text: Any, limit: int = 80) -> str:
    """Text from a file as it may appear in a message: quoted, one line, printable, not too long."""
    text = str(text)
    return ascii(text if len(text) <= limit else text[: limit - 3] + "...")
