"""Pickles and ``.pth`` files written instruction by instruction, without PyTorch: also those nobody should
write."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def program(body: bytes) -> bytes:
    """A whole pickle of protocol 2."""
    return b"\x80\x02" + body + b"."


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def integer(value: int) -> bytes:
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def name(module: str, attribute: str) -> bytes:
    """The instruction GLOBAL."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def sequence(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def sides(values: tuple[int, ...]) -> bytes:
    """A tuple of integers."""
    return sequence(*map(integer, values))


def call(function: bytes, *arguments: bytes) -> bytes:
    """The instruction REDUCE."""
    return function + sequence(*arguments) + b"R"


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def storage(key: str = "0", length: int = 6, kind: str = "FloatStorage", *more: bytes) -> bytes:
    """A persistent id."""
    return sequence(text("storage"), name("torch", kind), text(key), text("cpu"), integer(length), *more) + b"Q"


def legacy_storage(view: bytes = b"N", length: int = 6) -> bytes:
    """A persistent id in the legacy format, which has one more part: a view of the storage, or None."""
    return storage("0", length, "FloatStorage", view)


def tensor(
    described: bytes,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    offset: int = 0,
    function: str = "_rebuild_tensor_v2",
) -> bytes:
    hooks = call(name("collections", "OrderedDict"))
    rebuild = name("torch._utils", function)
    return call(rebuild, described, integer(offset), sides(size), sides(stride), b"\x89", hooks)


def write_archive(path: Path, records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip archive with these records in one folder."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key, data in records.items():
            archive.writestr(f"archive/{key}", data)
    return path


def write_zip(
    path: Path, body: bytes, records: Mapping[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
) -> Path:
    """A ``.pth`` in today's format; ``body`` is its pickle, ``records`` are its storages (``data/0``) and
    more."""
    return write_archive(path, {"data.pkl": program(body), "version": b"3\n", **(records or {})}, compression)


def write_legacy(
    path: Path, body: bytes, storages: Mapping[str, tuple[int, bytes]] | None = None, **replaced: bytes
) -> Path:
    """A ``.pth`` as PyTorch wrote it before 1.6: five pickles, each of which can be replaced, and the
    storages.

    Args:
        storages: by key, the number of elements and the bytes.
        replaced: whole pickles, by the names below.
    """
    storages = storages or {}
    pickles = {
        "magic": program(integer(LEGACY_MAGIC)),
        "version": program(integer(1001)),
        "system": program(dictionary({"little_endian": b"\x88"})),
        "content": program(body),
        "keys": program(b"](" + b"".join(map(text, storages)) + b"e"),
    }
    raw = b"".join(struct.pack("<q", length) + data for length, data in storages.values())
    path.write_bytes(b"".join({**pickles, **replaced}.values()) + raw)
    return path
