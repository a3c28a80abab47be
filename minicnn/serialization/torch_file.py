"""PyTorch's two file formats: the zip archive (since 1.6) and the stream of pickles before it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import FileFormatError

from .decoding import itemsize
from .pickle_machine import Call, PickleMachine
from .source import Archive, Source, shown
from .torch_pickle import BUILDERS, CONTAINER_NAMES, Record, Storage, StorageId, tensor_calls

Wrap = Callable[[np.ndarray], Any]

# ---- the zip archive: ROOT/data.pkl, ROOT/byteorder, ROOT/data/0, ROOT/data/1, ... -------------------------


def find_root(archive: Archive) -> str | None:
    """The folder in the archive that holds ``data.pkl``; None if this is no archive of PyTorch's."""
    roots = {name.split("/", 1)[0] for name in archive.entries if name.endswith("/data.pkl") and name.count("/") == 1}
    return roots.pop() if len(roots) == 1 else None


def read_zip(archive: Archive, root: str, wrap: Wrap, foreign: bool = False) -> Any:
    """The object that ``torch.save`` saved: containers, numbers, text, and tensors made by ``wrap``.

    With ``foreign`` other objects become ``Foreign`` dummies, otherwise they are an error.

    Raises:
        FileFormatError: for TorchScript archives, and for damaged, missing or refused parts.
    """
    if f"{root}/constants.pkl" in archive.entries or any(name.startswith(f"{root}/code/") for name in archive.entries):
        raise FileFormatError(
            "this is a TorchScript program, not only weights: in PyTorch, load it with torch.jit.load and "
            "write torch.save(model.state_dict(), path)"
        )
    byteorder = "little"
    if f"{root}/byteorder" in archive.entries:
        byteorder = archive.read(f"{root}/byteorder").tobytes().decode("ascii", "replace")
        if byteorder not in ("little", "big"):
            raise FileFormatError(f"unknown byte order {shown(byteorder)}, expected little or big")
    records: dict[str, Record] = {}

    def persistent_load(value: Any) -> Storage:
        described = StorageId.parse(value)
        name = f"{root}/data/{described.key}"
        if name not in archive.entries:
            raise FileFormatError(f"damaged archive: the record {shown(name)} of a tensor is missing")
        if described.key not in records:
            records[described.key] = Record(archive.read(name), byteorder)
        return described.storage(records[described.key])

    data = archive.read(f"{root}/data.pkl").tobytes()
    machine = PickleMachine({**CONTAINER_NAMES, **tensor_calls(wrap)}, BUILDERS, persistent_load, foreign)
    return machine.read(io.BytesIO(data), len(data))


# ---- the stream of pickles: magic number, version, system, the object, the storages' keys; then the storages

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
LENGTH_BYTES = 8  # before each storage: the number of its elements, little-endian


def read_legacy(source: Source, wrap: Wrap, foreign: bool = False) -> Any:
    """Like ``read_zip``, for files that begin with a pickle.

    The storages follow the pickle that refers to them, so it is read twice: first to learn their dtypes and
    with them the places of all storages, then to build the tensors.

    Raises:
        FileFormatError: for any other pickle, and for damaged, missing or refused parts.
    """
    source.pages.seek(0)
    if _read_plain(source) != LEGACY_MAGIC:
        raise FileFormatError(
            "this is a Python pickle that torch.save did not write; weights are read from .pth, .safetensors and .npz"
        )
    version = _read_plain(source)
    if version != LEGACY_VERSION:
        raise FileFormatError(f"unknown version {shown(version)} of PyTorch's legacy format, expected {LEGACY_VERSION}")
    _read_plain(source)  # the writer's system; storages are little-endian on all of them
    start = source.pages.tell()

    described: dict[str, StorageId] = {}
    ignore = Call(lambda *_: None)
    names_only = {**CONTAINER_NAMES, **dict.fromkeys(tensor_calls(wrap), ignore)}

    def note(value: Any) -> None:
        storage_id = StorageId.parse(value)
        described.setdefault(storage_id.key, storage_id)

    PickleMachine(names_only, BUILDERS, note, foreign).read(source.pages, source.size)
    keys = _read_plain(source)
    if type(keys) is not list or set(map(str, keys)) != set(described):
        raise FileFormatError("damaged file: its list of storages does not match its tensors")
    records = _locate_storages(source, [described[key] for key in keys])

    def persistent_load(value: Any) -> Storage:
        storage_id = StorageId.parse(value)
        return storage_id.storage(records[storage_id.key])

    source.pages.seek(start)
    machine = PickleMachine({**CONTAINER_NAMES, **tensor_calls(wrap)}, BUILDERS, persistent_load, foreign)
    return machine.read(source.pages, source.size)


def _read_plain(source: Source) -> Any:
    """The next pickle, which may hold only containers, numbers and text."""

    def refuse(_: Any) -> Any:
        raise FileFormatError("damaged file: a tensor where PyTorch writes none")

    return PickleMachine({}, {}, refuse).read(source.pages, source.size)


def _locate_storages(source: Source, storages: list[StorageId]) -> dict[str, Record]:
    """The bytes of the storages, which begin at the position of ``source.pages``."""
    records = {}
    position = source.pages.tell()
    for storage in storages:
        data_start = position + LENGTH_BYTES
        length = int.from_bytes(source.data[position:data_start].tobytes(), "little")
        if data_start > source.size or length != storage.length:
            raise FileFormatError(
                f"truncated or damaged: expected a storage of {storage.length} elements at byte {position}"
            )
        position = data_start + length * (itemsize(storage.dtype) if storage.dtype else 1)
        if position > source.size:
            raise FileFormatError(f"truncated: {source.size} bytes, and a storage ends at byte {position}")
        records[storage.key] = Record(source.data[data_start:position])
    return records
