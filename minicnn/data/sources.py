"""The data sets the command line knows: ``digits``, ``cifar10:DIR``, ``mnist:DIR``, ``folder:DIR`` and their like."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..paths import expanded, printable
from .cifar import CIFAR10, CIFAR100
from .dataset import ArrayDataset, ConcatDataset, Dataset, Subset, stratified_split
from .digits import DIGIT_CLASSES, SHARES, digits, digits_augmentation, digits_statistics
from .errors import DataError
from .folder import ImageFolder, split_folders
from .images import load_image
from .mnist import MNIST, FashionMNIST
from .transforms import (
    Compose,
    ConvertImageDtype,
    ImageClassification,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToTensor,
    Transform,
)
from .transforms.presets import IMAGENET_MEAN, IMAGENET_STD


class Published(NamedTuple):
    """A data set of images of one size, with a part for the test."""

    kind: Callable[..., ArrayDataset]
    shape: tuple[int, int, int]
    padding: int  # for the random crops
    mirrored: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]


PUBLISHED = {
    "cifar10": Published(CIFAR10, (3, 32, 32), 4, True, CIFAR10.layout.mean, CIFAR10.layout.std),
    "cifar100": Published(CIFAR100, (3, 32, 32), 4, True, CIFAR100.layout.mean, CIFAR100.layout.std),
    "mnist": Published(MNIST, (1, 28, 28), 2, False, MNIST.layout.mean, MNIST.layout.std),
    "fashion_mnist": Published(FashionMNIST, (1, 28, 28), 2, True, FashionMNIST.layout.mean, FashionMNIST.layout.std),
}
SPELLINGS = {"digits": "digits", **{kind: f"{kind}:DIR" for kind in (*PUBLISHED, "folder")}}

# For grey pictures, the means of the numbers for ImageNet's RGB pictures.
GREY_MEAN, GREY_STD = (0.449,), (0.226,)


@dataclass(frozen=True)
class DataSource:
    """A data set ready for training: three disjoint parts, transforms included, and what a network must know.

    Every part yields ``(image, label)``: float32 ``(in_channels, *image_size)``, normalised, and an int.
    ``train`` is augmented by ``augmentation`` (``None`` if that was switched off); the others never are.

    ``resize_size`` is the size to which an image of another size is scaled before its centre of ``image_size`` is cut
    out: the shorter side, or (height, width).
    """

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    classes: tuple[str, ...]
    in_channels: int
    image_size: tuple[int, int]
    resize_size: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Transform | None

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.in_channels, *self.image_size


def open_data(
    spec: str,
    seed: int = 0,
    *,
    augment: bool = True,
    image_size: int | None = None,
    in_channels: int | None = None,
) -> DataSource:
    """Open the data set that ``spec`` names.

    * ``digits``: the bundled 1 797 digits, split 70/10/20, shifted by up to one pixel.
    * ``cifar10:DIR``, ``cifar100:DIR``: a tenth of the training images is for validation; padded by 4 and randomly
      cropped, mirrored. DIR may be the archive as it was downloaded.
    * ``mnist:DIR``, ``fashion_mnist:DIR``: the same, padded by 2; a digit is not mirrored.
    * ``folder:DIR``: one subfolder per class, or these subfolders in each of ``train/``, ``val/``, ``test/``. Missing
      parts are taken from the training images: a tenth for validation, a fifth for the test. Randomly cropped, resized
      and mirrored for training, resized and centre-cropped otherwise.

    Args:
        spec: as above.
        seed: of the split; the same seed gives the same parts.
        augment: whether training images are augmented.
        image_size: side of the square images; by default 8 for digits, 32 for CIFAR, 28 for MNIST, and for folders 224
            or the first image's shorter side if that is less.
        in_channels: 1 or 3 for digits (default 1) and folders (default 3); CIFAR has 3, MNIST 1.

    Raises:
        DataError: for an unknown name (with the nearest known one) or a missing or damaged folder.
    """
    kind, colon, path = spec.partition(":")
    if kind not in SPELLINGS:
        raise DataError(f"no data set is called {spec!r}: expected {_spellings()}{_suggestion(spec, kind)}")
    if kind == "digits":
        if colon:
            raise DataError(f"the digits take no folder: expected 'digits', got {spec!r}")
        return _open_digits(seed, augment, image_size or 8, in_channels or 1)
    if not path:
        raise DataError(f"{kind} needs a folder: expected {SPELLINGS[kind]}, got {spec!r}")
    root = Path(expanded(path))
    if kind == "folder":
        return _open_folder(root, seed, augment, image_size, in_channels or 3)
    channels, side, _ = PUBLISHED[kind].shape
    if in_channels not in (None, channels):
        raise DataError(f"{kind} has images of {channels} channel{'s'[: channels > 1]}, got in_channels={in_channels}")
    return _open_published(kind, root, seed, augment, image_size or side)


def _spellings() -> str:
    *others, last = SPELLINGS.values()
    return f"{', '.join(others)} or {last}"


def _suggestion(spec: str, kind: str) -> str:
    near = difflib.get_close_matches(kind.lower(), SPELLINGS, n=1)
    if near:
        return f"; did you mean {SPELLINGS[near[0]]!r}?"
    return f"; did you mean 'folder:{spec}'?" if Path(expanded(spec)).is_dir() else ""


def _open_digits(seed: int, augment: bool, image_size: int, in_channels: int) -> DataSource:
    options: dict[str, Any] = {"image_size": image_size, "in_channels": in_channels}
    mean, std = digits_statistics(seed)
    return DataSource(
        name="digits",
        train=digits("train", seed, augment=augment, **options),
        validation=digits("validation", seed, **options),
        test=digits("test", seed, **options),
        classes=DIGIT_CLASSES,
        in_channels=in_channels,
        image_size=(image_size, image_size),
        resize_size=(image_size, image_size),
        mean=(mean,) * in_channels,
        std=(std,) * in_channels,
        augmentation=digits_augmentation(image_size) if augment else None,
    )


def _open_published(kind: str, root: Path, seed: int, augment: bool, image_size: int) -> DataSource:
    data = PUBLISHED[kind]
    channels, side, _ = data.shape
    resize = [] if image_size == side else [Resize((image_size, image_size))]
    evaluation = Compose([*resize, ConvertImageDtype(np.float32), Normalize(data.mean, data.std)])
    mirror = [RandomHorizontalFlip()] if data.mirrored else []
    augmentation = Compose([RandomCrop(side, padding=data.padding), *mirror]) if augment else None
    images = data.kind(root, train=True, transform=evaluation)
    training = evaluation if augmentation is None else Compose([augmentation, evaluation])
    kept, cut = stratified_split(images.labels, [0.9, 0.1], seed)
    parts: dict[str, Dataset] = {
        "train": Subset(with_transform(images, training), kept),
        "validation": Subset(images, cut),
        "test": data.kind(root, train=False, transform=evaluation),
    }
    _require_samples(parts, root)
    return DataSource(
        name=kind,
        **parts,
        classes=images.classes,
        in_channels=channels,
        image_size=(image_size, image_size),
        resize_size=(image_size, image_size),
        mean=data.mean,
        std=data.std,
        augmentation=augmentation,
    )


def _open_folder(root: Path, seed: int, augment: bool, image_size: int | None, in_channels: int) -> DataSource:
    folders = split_folders(root) or {"train": root}
    images = {part: ImageFolder(folder, in_channels=in_channels) for part, folder in folders.items()}
    training_images = images["train"]
    for found in images.values():
        _require_same_classes(training_images, found)
    if image_size is None:
        image_size = min(224, *load_image(training_images.samples[0][0]).size)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if in_channels == 3 else (GREY_MEAN, GREY_STD)
    to_input = [ToTensor(), Normalize(mean, std)]
    resize_size = round(image_size * 8 / 7)  # 256 for 224
    evaluation = ImageClassification(image_size, resize_size, mean, std)
    augmentation = Compose([RandomResizedCrop(image_size), RandomHorizontalFlip()]) if augment else None
    training = evaluation if augmentation is None else Compose([augmentation, *to_input])
    shares = {part: 0.0 if part in images else SHARES[part] for part in ("validation", "test")}
    rest = 1 - sum(shares.values())
    kept, *cuts = stratified_split(training_images.labels, [rest, *shares.values()], seed)
    parts: dict[str, Dataset] = {"train": Subset(with_transform(training_images, training), kept)}
    for part, cut in zip(shares, cuts, strict=True):
        if part in images:
            parts[part] = with_transform(images[part], evaluation)
        else:
            parts[part] = Subset(with_transform(training_images, evaluation), cut)
    _require_samples(parts, root)
    return DataSource(
        name="folder",
        **parts,
        classes=training_images.classes,
        in_channels=in_channels,
        image_size=(image_size, image_size),
        resize_size=resize_size,
        mean=mean,
        std=std,
        augmentation=augmentation,
    )


def with_transform(dataset: Any, transform: Transform | None) -> Any:
    """The same images with another transform, or with None as they are kept; of parts and sums of data sets, too."""
    copied = copy.copy(dataset)
    if isinstance(dataset, Subset):
        copied.dataset = with_transform(dataset.dataset, transform)
    elif isinstance(dataset, ConcatDataset):
        copied.datasets = [with_transform(part, transform) for part in dataset.datasets]
    else:
        copied.transform = transform
    return copied


def _require_same_classes(train: ImageFolder, found: ImageFolder) -> None:
    if found.classes != train.classes:
        differing = sorted(set(found.classes) ^ set(train.classes))
        raise DataError(
            f"{str(found.root)!r} and {str(train.root)!r} differ in the classes {printable(', '.join(differing))}"
        )


def _require_samples(parts: dict[str, Dataset], root: Path) -> None:
    empty = [part for part, dataset in parts.items() if len(dataset) == 0]
    if empty:
        total = sum(len(dataset) for dataset in parts.values())
        raise DataError(f"{str(root)!r} has too few images ({total}): none left for {' and '.join(empty)}")
