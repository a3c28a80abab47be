"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read from the folder where the user has them.

Both versions that their page offers are read: the binary one, whose files are mapped, so that a batch reads its own
records and no others, and the Python one, whose pickles are read by a machine that runs nothing. So are the archives as
they were downloaded, without unpacking them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..paths import expanded, printable
from .archives import read_members
from .cifar_files import Labels, Parse, mapped, parse_pickle, parse_records
from .dataset import ArrayDataset
from .errors import DataError

CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class Version(NamedTuple):
    """One of the two forms: where its files usually lie, what they are called, and how one is read."""

    name: str
    folder: str
    archive: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    parse: Parse

    @property
    def files(self) -> tuple[str, ...]:
        """All files."""
        return (*self.train_files, *self.test_files)

    def part(self, train: bool) -> tuple[str, ...]:
        """The files of the training images, or of the test images."""
        return self.train_files if train else self.test_files


class Layout(NamedTuple):
    """What distinguishes the two data sets."""

    labels: Labels
    versions: tuple[Version, Version]
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def title(self) -> str:
        """``"CIFAR-10"``."""
        return self.labels.title


BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR10_LAYOUT = Layout(
    labels=Labels("CIFAR-10", classes=10, record_bytes=1, key="labels"),
    versions=(
        Version(
            *("binary", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
            *(tuple(f"{name}.bin" for name in BATCHES), ("test_batch.bin",), parse_records),
        ),
        Version("Python", "cifar-10-batches-py", "cifar-10-python.tar.gz", BATCHES, ("test_batch",), parse_pickle),
    ),
    classes=tuple(CIFAR10_CLASSES.split()),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
CIFAR100_LAYOUT = Layout(
    labels=Labels("CIFAR-100", classes=100, record_bytes=2, key="fine_labels"),
    versions=(
        Version(
            *("binary", "cifar-100-binary", "cifar-100-binary.tar.gz"), ("train.bin",), ("test.bin",), parse_records
        ),
        Version("Python", "cifar-100-python", "cifar-100-python.tar.gz", ("train",), ("test",), parse_pickle),
    ),
    classes=tuple(CIFAR100_CLASSES.split()),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


class StackedArrays:
    """Arrays one after the other, indexed like one array by integer arrays, without a copy."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts = list(parts)
        self.starts = np.cumsum([0] + [len(part) for part in parts])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        indices = np.arange(len(self))[indices]  # resolves negative indices, refuses those out of range
        owner = np.searchsorted(self.starts, indices, side="right") - 1
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for number in np.unique(owner):
            mine = owner == number
            out[mine] = self.parts[number][indices[mine] - self.starts[number]]
        return out


class _Cifar(ArrayDataset):
    layout: Layout

    def __init__(self, root: str | Path, train: bool = True, transform: Callable[..., Any] | None = None) -> None:
        layout = self.layout
        parts = [parse(content, file, layout.labels) for parse, file, content in find(root, layout, train)]
        images = StackedArrays([images for images, _ in parts])
        super().__init__(images, np.concatenate([labels for _, labels in parts]), transform, layout.classes)


class CIFAR10(_Cifar):
    """CIFAR-10: 50 000 training and 10 000 test images (3, 32, 32) of 10 classes, uint8 unless transformed.

    Args:
        root: the folder with ``data_batch_1.bin`` ... (binary version) or ``data_batch_1`` ... (Python version), the
            one above it, the archive (``.tar.gz``), or its folder; ``~`` is the home folder.
        train: the training images, else the test images.
        transform: applied to each batch (B, 3, 32, 32) uint8.

    Raises:
        DataError: if the folder or a file is missing, truncated, or not a CIFAR file.
    """

    layout = CIFAR10_LAYOUT


class CIFAR100(_Cifar):
    """CIFAR-100 with its fine labels, as ``CIFAR10``: from ``train.bin``, ``test.bin``, or without ``.bin``."""

    layout = CIFAR100_LAYOUT


File = tuple[Parse, str, np.ndarray]  # how it is parsed, how messages call it, and its bytes


def find(root: str | Path, layout: Layout, train: bool) -> list[File]:
    """The files of the training or of the test images: in ``root``, in its usual subfolder, or in an archive.

    Raises:
        DataError: if there are none, or not all; the message says what is missing and what was found.
    """
    root = Path(expanded(root))
    if root.is_file() and root.name.endswith((".tar.gz", ".tgz")):
        return _in_archive(root, layout, train)
    if not root.is_dir():
        what = "is a file, neither a folder nor a .tar.gz" if root.exists() else "does not exist"
        raise DataError(f"{layout.title}: {str(root)!r} {what}")
    partial: list[tuple[Version, Path, list[str]]] = []
    for version in layout.versions:
        for folder in (root / version.folder, root):
            names = _names(folder, layout)
            missing = [name for name in version.files if name not in names]
            if not missing:
                paths = [folder / name for name in version.part(train)]
                return [(version.parse, str(path), mapped(path)) for path in paths]
            if len(missing) < len(version.files):
                partial.append((version, folder, missing))
    for version in layout.versions:
        if not partial and (root / version.archive).is_file():
            return _in_archive(root / version.archive, layout, train)
    if not partial:
        binary, python = (f"{version.files[0]} ... ({version.name} version)" for version in layout.versions)
        expected = f"expected {binary}, {python}, or {layout.versions[1].archive}"
        raise DataError(
            f"{layout.title}: {str(root)!r} has none of its files: {expected} (found {_shown(root, layout)})"
        )
    version, folder, missing = min(partial, key=lambda candidate: len(candidate[2]))
    raise DataError(
        f"{layout.title}: {str(folder)!r} lacks {', '.join(missing)} of the {version.name} version "
        f"(found {_shown(folder, layout)})"
    )


def _in_archive(archive: Path, layout: Layout, train: bool) -> list[File]:
    contents = read_members(archive, [name for version in layout.versions for name in version.part(train)])
    for version in layout.versions:
        missing = [name for name in version.part(train) if name not in contents]
        if missing and len(missing) < len(version.part(train)):
            raise DataError(f"{layout.title}: the archive {str(archive)!r} lacks {', '.join(missing)}")
        if not missing:
            files = [(name, np.frombuffer(contents[name], np.uint8)) for name in version.part(train)]
            return [(version.parse, f"{archive}:{name}", content) for name, content in files]
    raise DataError(f"{layout.title}: there are none of its files in the archive {str(archive)!r}")


def _names(folder: Path, layout: Layout) -> list[str]:
    """What is in the folder, sorted; nothing if it does not exist."""
    try:
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise DataError(f"{layout.title}: cannot read {str(folder)!r}: {error.strerror or error}") from error


def _shown(folder: Path, layout: Layout) -> str:
    names = _names(folder, layout)
    return printable(", ".join(names[:6])) + (", ..." if len(names) > 6 else "") or "nothing"
