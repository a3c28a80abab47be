"""Image folders: one subfolder per class, its images anywhere below."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..paths import expanded, printable
from .dataset import Dataset
from .errors import DataError
from .images import channel_mode, load_image
from .transforms import apply_transform

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
# The part of a data set that a folder with one of these names holds.
SPLIT_NAMES = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class ImageFolder(Dataset):
    """The images below ``root/CLASS/``, of any size and mode, read when they are needed.

    Sample i is ``(transform(image), label)``, where image is an upright 8-bit Pillow image; classes are
    numbered in the order of their sorted names. Hidden files, and files that do not end like an image, are
    ignored.

    Args:
        root: the folder; ``~`` is the home folder.
        transform: from a Pillow image to a (C, H, W) tensor or array; ``None`` leaves the image unchanged.
        in_channels: 3 for RGB, 1 for grey.

    Attributes:
        classes: the names of the classes.
        samples: (path, label) of every image, sorted by class and path.
        labels: (N,) the labels alone.

    Raises:
        DataError: if the folder is missing, has no subfolders or cannot be read, a class has no image, or links form a
            circle; and when a sample is read, if its file cannot be read.
    """

    def __init__(self, root: str | Path, transform: Callable[..., Any] | None = None, in_channels: int = 3) -> None:
        channel_mode(in_channels)
        self.root = Path(expanded(root))
        self.transform = transform
        self.in_channels = in_channels
        self.classes = tuple(folder.name for folder in subfolders(self.root))
        if not self.classes:
            loose = "it contains images directly: " if images_below(self.root) else ""
            raise DataError(f"{str(root)!r} has no class folders; {loose}expected one subfolder per class")
        images = [images_below(self.root / name) for name in self.classes]
        empty = [name for name, paths in zip(self.classes, images, strict=True) if not paths]
        if empty:
            raise DataError(
                f"{str(root)!r}: no image in the class folder{'s' * (len(empty) > 1)} {printable(', '.join(empty))} "
                f"(images end in {', '.join(EXTENSIONS)})"
            )
        self.samples = [(path, label) for label, paths in enumerate(images) for path in paths]
        self.labels = np.array([label for _, label in self.samples], dtype=np.int64)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: label for label, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, index: int, generator: np.random.Generator) -> tuple[Any, int]:
        path, label = self.samples[index]
        image = load_image(path, self.in_channels)
        return (image if self.transform is None else apply_transform(self.transform, image, generator)), label


def subfolders(root: Path) -> list[Path]:
    """The folders in ``root`` that are not hidden, sorted by name.

    Raises:
        DataError: if ``root`` is not a folder, or cannot be read.
    """
    if not root.is_dir():
        what = "is a file, expected a folder" if root.exists() else "does not exist"
        raise DataError(f"image folder {str(root)!r} {what}")
    return sorted(Path(entry.path) for entry in _visible(root) if entry.is_dir())


def images_below(root: Path) -> list[Path]:
    """All files below ``root``, linked ones too, with the extension of an image and not hidden, sorted.

    Raises:
        DataError: if a folder cannot be read, or links form a circle.
    """
    found, folders = [], [(root, frozenset([os.path.realpath(root)]))]
    while folders:
        folder, around = folders.pop()
        for entry in _visible(folder):
            if entry.is_dir():
                real = os.path.realpath(entry.path) if entry.is_symlink() else ""
                if real in around:
                    raise DataError(f"the link {entry.path!r} leads back to a folder around it")
                folders.append((Path(entry.path), around | {real} if real else around))
            # A pipe or a device is not an image. A broken link is a missing image, and an error when it is read.
            elif entry.name.lower().endswith(EXTENSIONS) and (entry.is_file() or entry.is_symlink()):
                found.append(Path(entry.path))
    return sorted(found)


def _visible(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"cannot read the folder {str(folder)!r}: {error.strerror or error}") from error


def split_folders(root: Path) -> dict[str, Path]:
    """``train``, ``validation``, ``test`` and their folders, if ``root`` is divided that way, else nothing.

    It is divided if it has a folder ``train`` with class folders in it and no other folders than those named
    in ``SPLIT_NAMES`` (a class may well be called "train").

    Raises:
        DataError: if ``root`` is not a folder, or has two folders for one part.
    """
    folders = subfolders(root)
    names = [folder.name for folder in folders]
    if "train" not in names or not set(names) <= SPLIT_NAMES.keys() or not subfolders(root / "train"):
        return {}
    parts: dict[str, Path] = {}
    for folder in folders:
        part = SPLIT_NAMES[folder.name]
        if part in parts:
            raise DataError(f"{str(root)!r} has two folders for {part}: {parts[part].name} and {folder.name}")
        parts[part] = folder
    return parts
