"""The files of CIFAR and MNIST as their pages hand them out, small, with random contents."""

from __future__ import annotations

import gzip
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def _string(value: bytes) -> bytes:
    """A ``str`` of Python 2, which is bytes: the instruction BINSTRING."""
    return b"T" + struct.pack("<i", len(value)) + value


def _list(items: list[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def python2_batch(images: np.ndarray, labels: np.ndarray, key: str = "labels") -> bytes:
    """A batch of the Python version, with the instructions that Python 2's cPickle wrote for the real files.

    Args:
        images: (N, 3, 32, 32), uint8.
        labels: (N,).
        key: of the labels.
    """
    dtype = b"cnumpy\ndtype\n(" + _string(b"u1") + b"K\x00K\x01tR(K\x03" + _string(b"|") + b"NNN"
    dtype += (b"J" + struct.pack("<i", -1)) * 2 + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + _string(b"b") + b"tR(K\x01("
    array += b"".join(b"M" + struct.pack("<H", side) for side in (len(images), 3072)) + b"t"
    array += dtype + b"\x89" + _string(images.tobytes()) + b"tb"
    entries = {
        "batch_label": _string(b"training batch 1 of 5"),
        "data": array,
        key: _list([b"K" + bytes([label]) for label in labels.tolist()]),
        "filenames": _list([_string(b"leptodactylus_%d.png" % i) for i in range(len(labels))]),
    }
    return b"\x80\x02}(" + b"".join(_string(name.encode()) + value for name, value in entries.items()) + b"u."


def write_cifar10_python(folder: Path, per_file: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """All six files; returns the training images and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = [], []
    for number in range(1, 7):
        rng = np.random.default_rng(number)
        images.append(rng.integers(0, 256, (per_file, 3, 32, 32), dtype=np.uint8))
        labels.append(np.arange(per_file) % 10)
        name = f"data_batch_{number}" if number < 6 else "test_batch"
        (folder / name).write_bytes(python2_batch(images[-1], labels[-1]))
    return np.concatenate(images[:5]), np.concatenate(labels[:5])


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 in the format of MNIST's files."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def mnist_files(count: int = 60, dots: bool = False, compressed: bool = False) -> dict[str, bytes]:
    """The four files by their names: ``count`` training images, and half as many for the test."""
    files = {}
    for seed, (part, number) in enumerate({"train": count, "t10k": count // 2}.items()):
        images = np.random.default_rng(seed).integers(0, 256, (number, 28, 28), dtype=np.uint8)
        for kind, content in {"images": images, "labels": np.arange(number) % 10}.items():
            name = f"{part}-{kind}{'.' if dots else '-'}idx{content.ndim}-ubyte"
            files[name + ".gz" * compressed] = gzip.compress(idx(content)) if compressed else idx(content)
    return files


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write them all into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """The folder as a ``.tar.gz``, under its own name."""
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, arcname=folder.name)
    return archive
