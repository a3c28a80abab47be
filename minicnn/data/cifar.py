"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version, read from the folder where the user has unpacked
them.

A file is a sequence of records: the label, one byte (CIFAR-100: the coarse, then the fine label), and 3 x 32 x 32
bytes of pixels, channel by channel. The files are memory-mapped: a batch reads its own records and no others.
The Python version is not read: it consists of pickles, and a pickle can run any code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..paths import expanded, printable
from .dataset import ArrayDataset
from .errors import DataError

IMAGE_SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32

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


class Layout(NamedTuple):
    """What distinguishes the two data sets."""

    title: str
    folder: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    label_bytes: int
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CIFAR10_LAYOUT = Layout(
    title="CIFAR-10",
    folder="cifar-10-batches-bin",
    train_files=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test_files=("test_batch.bin",),
    label_bytes=1,
    classes=tuple(CIFAR10_CLASSES.split()),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
CIFAR100_LAYOUT = Layout(
    title="CIFAR-100",
    folder="cifar-100-binary",
    train_files=("train.bin",),
    test_files=("test.bin",),
    label_bytes=2,
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
        folder = find_folder(Path(expanded(root)), layout)
        names = layout.train_files if train else layout.test_files
        parts = [read_records(folder / name, layout) for name in names]
        images = StackedArrays([images for images, _ in parts])
        super().__init__(images, np.concatenate([labels for _, labels in parts]), transform, layout.classes)


class CIFAR10(_Cifar):
    """CIFAR-10: 50 000 training and 10 000 test images (3, 32, 32) of 10 classes, uint8 unless transformed.

    Args:
        root: the folder with ``data_batch_1.bin`` ... ``test_batch.bin``, or the one above it; ``~`` is the home
            folder.
        train: the training images, else the test images.
        transform: applied to each batch (B, 3, 32, 32) uint8.

    Raises:
        DataError: if the folder or a file is missing, truncated, or not a CIFAR file.
    """

    layout = CIFAR10_LAYOUT


class CIFAR100(_Cifar):
    """CIFAR-100 with its 100 fine labels: as ``CIFAR10``, from ``train.bin`` and ``test.bin``."""

    layout = CIFAR100_LAYOUT


def find_folder(root: Path, layout: Layout) -> Path:
    """The folder that holds all of the layout's files: ``root`` or its usual subfolder.

    Raises:
        DataError: if there is no such folder; the message says what is missing and what was found.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{layout.title}: {str(root)!r} {what}")
    folder = root / layout.folder if (root / layout.folder).is_dir() else root
    expected = [*layout.train_files, *layout.test_files]
    try:
        found = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise DataError(f"{layout.title}: cannot read {str(folder)!r}: {error.strerror or error}") from error
    missing = [name for name in expected if name not in found]
    if not missing:
        return folder
    shown = printable(", ".join(found[:6])) + (", ..." if len(found) > 6 else "") or "nothing"
    hint = ""
    if any(name.endswith("-py") or name in ("data_batch_1", "train", "meta") for name in found):
        hint = "; this is the Python version, minicnn reads the binary version"
    elif any(name.endswith((".tar.gz", ".tgz", ".tar")) for name in found):
        hint = "; unpack the archive first"
    raise DataError(f"{layout.title}: {str(folder)!r} lacks {', '.join(missing)} (found {shown}){hint}")


def read_records(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, 3, 32, 32), mapped from the file, and the labels (N,) of one binary file.

    Raises:
        DataError: if the size is not a whole number of records, or a label is out of range.
    """
    record = layout.label_bytes + IMAGE_BYTES
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise DataError(f"{str(path)!r} is not a regular file")
        size = path.stat().st_size
        if size == 0 or size % record:
            raise DataError(
                f"{str(path)!r} has {size} bytes, expected a multiple of {record} (label "
                f"{layout.label_bytes}, pixels {IMAGE_BYTES}): truncated, or not a {layout.title} file"
            )
        records = np.memmap(path, np.uint8, "r", shape=(size // record, record))
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    labels = records[:, layout.label_bytes - 1].astype(np.int64)
    if labels.max() >= len(layout.classes):
        where = int(labels.argmax())
        raise DataError(
            f"{str(path)!r}: record {where} has label {labels[where]}, expected 0 to "
            f"{len(layout.classes) - 1}: not a {layout.title} file"
        )
    return records[:, layout.label_bytes :].reshape(-1, *IMAGE_SHAPE), labels
