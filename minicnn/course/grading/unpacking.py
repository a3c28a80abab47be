"""What strangers hand in, read into memory: folders, zip and tar archives. Nothing is ever extracted to the disk.

A ``Tree`` lists the regular files of a folder or archive and reads them one by one within limits. Whatever could
surprise (links, devices, names that lead outside, duplicate, encrypted) is a *fault* of its file, not an error of the
whole, so that one student's archive cannot spoil a class's.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from ...serialization.source import ENCRYPTED, shown

Opener = Callable[["Limits"], bytes]  # reads one file
Member = tuple[str, str, Opener]  # name, what is wrong with it, and how to read it

IGNORED = frozenset(
    ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".git", ".ipynb_checkpoints", "__pycache__", ".venv", "venv")
    + ("node_modules", ".idea", ".vscode", ".mypy_cache", ".pytest_cache", ".ruff_cache")
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
UNREADABLE = (".rar", ".7z", ".tar.xz", ".xz")  # archives too, but not read here
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # LZMA may ask for gigabytes
CENTRAL_HEADER = b"PK\x01\x02"  # one for each file of a zip
DECOMPRESSORS: Mapping[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}
BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, OverflowError),
    *(ValueError, NotImplementedError, RuntimeError, IndexError, KeyError),
)
SPECIAL = "is neither a file nor a folder"
CHUNK = 1 << 16
FREE = 1 << 20  # a file may inflate to so many bytes whatever the ratio


class Refused(ValueError):
    """A submission, or a file in it, that is not read: the message says what was found and why it is refused."""


@dataclass(frozen=True)
class Limits:
    """How much one submission may hold: files in an archive, bytes of a file and of all files read, bytes per byte."""

    files: int = 20_000
    single: int = 32 << 20
    total: int = 64 << 20
    ratio: int = 200


LIMITS = Limits()


@dataclass
class Budget:
    """What is left of a submission's limits; archives within archives share it."""

    limits: Limits = LIMITS
    spent: int = 0

    def spend(self, size: int) -> None:
        """Count bytes that were read. Raises Refused when they are too many."""
        self.spent += size
        if self.spent > self.limits.total:
            raise Refused(f"its files hold more than {self.limits.total >> 20} MB")


@dataclass
class Tree:
    """The regular files of a folder or archive by clean names (``a/b.py``), and what is wrong with others."""

    files: dict[str, Opener] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def read(self, name: str, budget: Budget | None = None) -> bytes:
        """One file. Raises Refused if it is too large, inflates suspiciously, or cannot be read."""
        budget = budget or Budget()
        try:
            data = self.files[name](budget.limits)
        except Refused as error:
            raise Refused(f"{shown(name)} {error}") from error
        budget.spend(len(data))
        return data

    def unpack(self, name: str, budget: Budget) -> Tree:
        """The tree of an archive in this one. Raises Refused as ``read`` and ``archive``."""
        data = self.read(name, budget)
        try:
            return archive(data, budget.limits)
        except Refused as error:
            raise Refused(f"{shown(name)} {error}") from error

    def below(self, folder: str) -> Tree:
        """The part inside one folder, by names relative to it."""
        start = f"{folder}/"
        return Tree(
            {name.removeprefix(start): each for name, each in self.files.items() if name.startswith(start)},
            {name.removeprefix(start): each for name, each in self.faults.items() if name.startswith(start)},
        )

    def only(self, names: Iterable[str]) -> Tree:
        """The part that has these names."""
        kept = list(names)
        return Tree(
            {name: self.files[name] for name in kept if name in self.files},
            {name: self.faults[name] for name in kept if name in self.faults},
        )


def read(path: Path, limits: Limits = LIMITS) -> dict[str, bytes]:
    """All regular files of one folder, archive or file, by name, system litter left out.

    Raises:
        Refused: for the first thing in it that is not a plain file of reasonable size with a name of its own.
        OSError: if there is no such file or folder.
    """
    with opened(path, limits) as tree:
        for name, fault in tree.faults.items():
            raise Refused(f"{path.name}: {shown(name)} {fault}")
        budget = Budget(limits)
        return {name: tree.read(name, budget) for name in tree.files}


@contextlib.contextmanager
def opened(path: Path, limits: Limits = LIMITS) -> Iterator[Tree]:
    """The tree of a folder, a zip or tar archive, or of a single file. Its files can be read inside the block.

    Raises:
        Refused: for an archive that is damaged or cut off.
        OSError: if there is no such file or folder.
    """
    path.stat()  # for the error if there is nothing
    with contextlib.ExitStack() as closing:
        try:
            if path.is_dir():
                tree = _gather(_folder(path))
            elif not is_archive(path.name):
                tree = _gather([(path.name, "", partial(_read_file, path))])
            elif zipfile.is_zipfile(path):
                tree = _gather(closing.enter_context(_open_zip(path)))
            else:
                tree = archive(path.read_bytes(), limits)
        except Refused as error:
            raise Refused(f"{path.name} {error}") from error
        yield tree


def archive(data: bytes, limits: Limits = LIMITS) -> Tree:
    """The tree of an archive in memory: zip, or tar, also compressed by gzip or bzip2.

    Raises:
        Refused: for an archive that is damaged, of another kind, or of too many files.
    """
    if data.count(CENTRAL_HEADER) > limits.files:
        raise Refused(f"holds more than {limits.files} files")
    if zipfile.is_zipfile(io.BytesIO(data)):
        with _open_zip(io.BytesIO(data), keep=True) as members:
            return _gather(members)
    return _gather(_tar(data, limits))


def is_archive(name: str) -> bool:
    """Whether a file of this name is taken for an archive that can be read."""
    return name.lower().endswith(ARCHIVES)


def clean(name: str) -> str:
    """``name`` with ``/`` between its parts and without ``.``. Raises Refused if it leads out of its folder."""
    parts = name.replace("\\", "/").split("/")
    path = "/".join(part for part in parts if part not in ("", "."))
    if not parts[0] or not path or re.match(r"[A-Za-z]:", path) or ".." in parts or "\0" in path:
        raise Refused("has a name that leads out of the submission")
    return path


def _gather(members: Iterable[Member]) -> Tree:
    tree = Tree()
    for name, fault, opener in members:
        try:
            path = clean(name)
        except Refused as error:
            tree.faults[name.replace("\\", "/")] = str(error)
            continue
        parts = path.split("/")
        if IGNORED.intersection(parts) or parts[-1].startswith("._") or path.endswith(".pyc"):
            continue
        if fault or path in tree.files:
            tree.faults[path] = fault or "is there twice"
        else:
            tree.files[path] = opener
    return Tree(dict(sorted(tree.files.items())), dict(sorted(tree.faults.items())))


def _folder(root: Path) -> Iterator[Member]:
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(root / folder))
        except OSError as error:
            yield folder, f"cannot be read: {error.strerror}", _nothing
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in IGNORED:
                    waiting.append(name)
            else:
                kind = _kind(entry.stat(follow_symlinks=False).st_mode)
                yield name, kind, partial(_read_file, root / name)


def _read_file(path: Path, limits: Limits) -> bytes:
    """A regular file, opened such that neither a link is followed nor a pipe waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
        with open(handle, "rb") as file:
            if kind := _kind(os.fstat(handle).st_mode):
                raise Refused(kind)
            return _limited(file, limits.single)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from error


def _kind(mode: int) -> str:
    """What is wrong with a file of this mode; nothing with a regular one, or one of which nothing is known."""
    kinds = {0: "", stat.S_IFREG: "", stat.S_IFLNK: "is a symbolic link"}
    return kinds.get(stat.S_IFMT(mode), SPECIAL)


@contextlib.contextmanager
def _open_zip(file: Path | IO[bytes], keep: bool = False) -> Iterator[list[Member]]:
    try:
        source = zipfile.ZipFile(file)
    except BROKEN as error:
        raise Refused(f"is a broken zip archive ({error})") from error
    try:
        entries = [info for info in source.infolist() if not info.is_dir()]
        size = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
        if sum(info.compress_size for info in entries) > size:
            raise Refused("is a zip archive whose files overlap")
        yield [(info.filename, _fault(info), partial(_inflate, source, info)) for info in entries]
    finally:
        if not keep:
            source.close()


def _fault(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in METHODS:
        return f"is compressed by method {info.compress_type}, which is not read here"
    return _kind(info.external_attr >> 16)


def _inflate(source: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> bytes:
    allowed = FREE + limits.ratio * info.compress_size
    try:
        with source.open(info) as stream:
            return _limited(stream, min(limits.single, allowed))
    except Refused:
        raise
    except BROKEN as error:
        raise Refused(f"is damaged ({error})") from error


def _limited(stream: IO[bytes], limit: int) -> bytes:
    parts, size = [], 0
    while part := stream.read(CHUNK):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise Refused(f"is too large: more than {limit} bytes when unpacked")
    return b"".join(parts)


class _Capped(io.RawIOBase):
    """A stream that gives up after so many bytes, however well they were compressed."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.left = stream, limit

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(min(size, CHUNK) if size >= 0 else CHUNK)
        self.left -= len(data)
        if self.left < 0:
            raise Refused("is an archive that unpacks to too much")
        return data


def _tar(data: bytes, limits: Limits) -> list[Member]:
    """Read at once, for a tar archive can only be read from its beginning."""
    stream: IO[bytes] = io.BytesIO(data)
    for magic, decompress in DECOMPRESSORS.items():
        if data.startswith(magic):
            stream = decompress(stream)
    headers = 4 * tarfile.BLOCKSIZE * limits.files
    allowed = headers + min(4 * limits.total, FREE + limits.ratio * len(data))
    members: list[Member] = []
    try:
        with tarfile.open(fileobj=_Capped(stream, allowed), mode="r|") as source:
            for info in source:
                if len(members) >= limits.files:
                    raise Refused(f"holds more than {limits.files} files")
                if info.isdir():
                    continue
                if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):  # sparse files declare any size
                    members.append((info.name, "is a link" if info.islnk() or info.issym() else SPECIAL, _nothing))
                    continue
                file = source.extractfile(info)
                assert file is not None
                content = _limited(file, limits.single)
                members.append((info.name, "", partial(_given, content)))
    except Refused:
        raise
    except BROKEN as error:
        raise Refused(f"is a broken archive, or none that is read here ({error})") from error
    return members


def _given(content: bytes, limits: Limits) -> bytes:
    return content


def _nothing(limits: Limits) -> bytes:
    raise Refused("is not read")
