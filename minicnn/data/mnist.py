"""MNIST (LeCun, Cortes, Burges 1998) and Fashion-MNIST (Xiao et al. 2017), read from the files where the user has them.

A file in the format ``idx`` begins with big-endian numbers of four bytes: which kind it is, how many items, and for
images their height and width. One byte for each pixel or label follows. Both data sets have files of the same names.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..paths import expanded, printable
from .cifar_files import mapped
from .dataset import ArrayDataset
from .errors import DataError

SIDE = 28
MOST_ITEMS = 1 << 20  # in one file: MNIST's largest relative has 814 255
KINDS = {"images": (0x803, 3), "labels": (0x801, 1)}  # the first number, and the number of axes


class Layout(NamedTuple):
    """What distinguishes the data sets; ``folder`` is where torchvision keeps the files."""

    title: str
    folder: str
    classes: tuple[str, ...]
    mean: tuple[float]
    std: tuple[float]


class _Idx(ArrayDataset):
    layout: Layout

    def __init__(self, root: str | Path, train: bool = True, transform: Callable[..., Any] | None = None) -> None:
        part = "train" if train else "t10k"
        names = {kind: f"{part}-{kind}-idx{axes}-ubyte" for kind, (_, axes) in KINDS.items()}
        paths = dict(zip(names, find_files(Path(expanded(root)), self.layout, list(names.values())), strict=True))
        images, labels = read_idx(paths["images"], "images"), read_idx(paths["labels"], "labels").astype(np.int64)
        if images.shape[1:] != (SIDE, SIDE):
            height, width = images.shape[1:]
            raise DataError(f"{str(paths['images'])!r} has images of {height}x{width}, expected {SIDE}x{SIDE}")
        if len(images) != len(labels) or not len(labels):
            raise DataError(f"{str(paths['labels'])!r} has {len(labels)} labels for {len(images)} images")
        if labels.max() >= len(self.layout.classes):
            where = int(labels.argmax())
            raise DataError(f"{str(paths['labels'])!r}: label {where} is {labels[where]}, expected 0 to 9")
        super().__init__(images[:, None], labels, transform, self.layout.classes)


class MNIST(_Idx):
    """MNIST: 60 000 training and 10 000 test images (1, 28, 28) of the ten digits, uint8 unless transformed.

    Args:
        root: the folder with ``train-images-idx3-ubyte`` and the other three, each perhaps with ``.gz``, or the one in
            which torchvision has put them into ``MNIST/raw``; ``~`` is the home folder.
        train: the training images, else the test images.
        transform: applied to each batch (B, 1, 28, 28) uint8.

    Raises:
        DataError: if the folder or a file is missing, truncated, or not in the format idx.
    """

    layout = Layout("MNIST", "MNIST", tuple("0123456789"), (0.1307,), (0.3081,))


class FashionMNIST(_Idx):
    """Fashion-MNIST: pictures of ten kinds of clothes, in files like those of ``MNIST``, or in ``FashionMNIST/raw``."""

    layout = Layout(
        "Fashion-MNIST",
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (0.2860,),
        (0.3530,),
    )


def find_files(root: Path, layout: Layout, names: Sequence[str]) -> list[Path]:
    """The paths of the files: in ``root``, its ``raw``, or where torchvision puts them.

    A name may have a dot for its second hyphen from the end (``train-images.idx3-ubyte``), and ``.gz`` behind it.

    Raises:
        DataError: if one is missing; the message says what was found.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{layout.title}: {str(root)!r} {what}")
    fewest = list(names)
    for folder in (root / layout.folder / "raw", root / layout.folder, root / "raw", root):
        found = [_first(folder, name) for name in names]
        missing = [name for name, path in zip(names, found, strict=True) if path is None]
        if not missing:
            return [path for path in found if path is not None]
        fewest = min(fewest, missing, key=len)
    try:
        inside = sorted(entry.name for entry in root.iterdir())
    except OSError as error:
        raise DataError(f"{layout.title}: cannot read {str(root)!r}: {error.strerror or error}") from error
    shown = printable(", ".join(inside[:6])) + (", ..." if len(inside) > 6 else "") or "nothing"
    raise DataError(f"{layout.title}: {str(root)!r} lacks {', '.join(fewest)}, with or without .gz (found {shown})")


def _first(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    candidates = (folder / f"{each}{end}" for end in ("", ".gz") for each in (name, dotted))
    return next((path for path in candidates if path.exists()), None)


def read_idx(path: Path, kind: str) -> np.ndarray:
    """The images (N, H, W) or labels (N,), uint8, of one file; one that is not compressed is mapped, not read.

    Args:
        path: the file, compressed by gzip if its name ends in ``.gz``.
        kind: ``"images"`` or ``"labels"``.

    Raises:
        DataError: if it is truncated, too long, or something else.
    """
    magic, axes = KINDS[kind]
    content = _inflated(path, 4 * (1 + axes)) if path.suffix == ".gz" else mapped(path)
    head = content[: 4 * (1 + axes)].tobytes()
    if len(head) < 4 * (1 + axes) or struct.unpack(">I", head[:4])[0] != magic:
        raise DataError(f"{str(path)!r} is not an idx file of {kind}: it begins with {head[:4].hex(' ') or 'nothing'}")
    shape = struct.unpack(f">{axes}I", head[4:])
    expected = len(head) + math.prod(shape)
    if content.size != expected:
        raise DataError(
            f"{str(path)!r} has {content.size} bytes, expected {expected} for {'x'.join(map(str, shape))}: truncated?"
        )
    return content[len(head) :].reshape(shape)


def _inflated(path: Path, head_length: int) -> np.ndarray:
    """The bytes of a compressed file, as many as its head says, and one more if there are more."""
    try:
        if not path.is_file():  # opening a pipe would block
            raise DataError(f"{str(path)!r} is not a regular file")
        with gzip.open(path) as file:
            head = file.read(head_length)
            shape = struct.unpack(f">{len(head) // 4 - 1}I", head[4:]) if len(head) == head_length else (0,)
            if shape[0] > MOST_ITEMS or math.prod(shape) > MOST_ITEMS * SIDE * SIDE:
                raise DataError(
                    f"{str(path)!r} says that it has {'x'.join(map(str, shape))} numbers, which is too many"
                )
            return np.frombuffer(head + file.read(math.prod(shape) + 1), np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
