"""What ``minicnn evaluate`` is asked for: a trained network, and the images on which it is tested again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import ConcatDataset, DataError, Dataset, ImageFolder, Subset, open_data
from ..data.drawings import in_style
from ..data.folder import split_folders
from ..data.sources import with_transform
from ..data.transforms import Compose
from ..models import Classifier, list_models, load_classifier
from ..paths import expanded, printable
from ..tensors import Tensor
from ..training.job import SPLIT_SEED
from ..training.run_folder import RunFolder, is_run, weights_file

SPLITS = ("test", "validation", "train", "all")
BATCH_SIZE = 32  # where no run says how many


@dataclass(frozen=True)
class Subject:
    """A network with its images.

    Attributes:
        name: what it is called: the run's folder, or the model.
        weights: their file.
        classifier: the network, its transform and the names of its classes.
        data: the name of the data set, as for ``open_data``.
        split: the part of it, one of ``SPLITS``.
        dataset: yields (image, label), as the network takes them.
        plain: the same images, not transformed.
        label_smoothing: of the loss; that of the run.
        batch_size: that of the run.
        device: that of the run.
        note: what a reader must know about how the classes of the data became those of the network; or nothing.
    """

    name: str
    weights: Path
    classifier: Classifier
    data: str
    split: str
    dataset: Dataset
    plain: Dataset
    label_smoothing: float
    batch_size: int
    device: str
    note: str = ""


def open_subject(
    what: str,
    weights: str | None = None,
    data: str | None = None,
    split: str = "test",
    *,
    variant: str | None = None,
    num_classes: int | None = None,
    labels: Sequence[str] | None = None,
    size: int | None = None,
) -> Subject:
    """Open a run, or a model with weights.

    The images go through the transform that belongs to the weights, so that a run is tested exactly as it was when it
    was trained, and other weights as ``minicnn predict`` uses them.

    Args:
        what: a run folder, or, with ``weights``, the name of a model.
        weights: a file that ``load_classifier`` reads, or a run folder.
        data: as for ``open_data``; None: the data set of the run.
        split: the part of it: ``"test"``, ``"validation"``, ``"train"`` (not augmented) or ``"all"``.
        variant, num_classes, labels, size: as for ``load_classifier``.

    Raises:
        ValueError, OSError: if the run, the weights or the data cannot be used, or do not fit each other.
    """
    if split not in SPLITS:
        raise ValueError(f"expected as split {', '.join(SPLITS)}, got {split!r}")
    if weights is None and what in list_models() and not is_run(what):
        raise ValueError(f"{what} needs the weights of a trained network: name them with --weights")
    place = Path(what if weights is None else weights)
    config = None
    if weights is None or (place.is_dir() and RunFolder(place).config.exists()):
        config = RunFolder(place).read_config()
    if data is None and config is None:
        raise ValueError(f"{what} needs images: name them with --data")
    spec = data if data is not None else config.data  # type: ignore[union-attr]
    model = None if weights is None else what
    file = weights_file(place)
    classifier = load_classifier(file, model, variant, num_classes, labels, size)
    images, classes = _images(spec, split, classifier.in_channels)
    order, note = match_classes(classes, classifier.labels)
    return Subject(
        name=what if weights is not None else place.resolve().name,
        weights=file,
        classifier=classifier,
        data=spec,
        split=split,
        dataset=_Renumbered(with_transform(images, _transform(classifier, spec)), order),
        plain=with_transform(images, None),
        label_smoothing=config.label_smoothing if config else 0.0,
        batch_size=config.batch_size if config else BATCH_SIZE,
        device=config.device if config else "cpu",
        note=note,
    )


def _images(spec: str, split: str, in_channels: int) -> tuple[Any, tuple[str, ...]]:
    """The images of a part of a data set, with the names of their classes. Of a folder without parts ``all`` is all."""
    kind, _, path = spec.partition(":")
    if kind == "folder" and path and split == "all" and not split_folders(root := Path(expanded(path))):
        images = ImageFolder(root, in_channels=in_channels)
        return images, images.classes
    source = open_data(spec, SPLIT_SEED, in_channels=in_channels)
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    return (ConcatDataset(list(parts.values())) if split == "all" else parts[split]), source.classes


def _transform(classifier: Classifier, spec: str) -> Any:
    """The classifier's, before which the files of a folder are drawn as what it has learned, if that was drawn."""
    style, transform = classifier.style, classifier.transform
    if style is None or not spec.startswith("folder:"):
        return transform
    return Compose([lambda image: in_style(image, style, transform.crop_size)[0], transform])


def match_classes(classes: Sequence[str], labels: Sequence[str]) -> tuple[np.ndarray, str]:
    """Which class of a network each class of the data is.

    They are found by their names, so the data may have fewer. If no name of the data is known to the network, but
    there are as many, they are taken in their order, and a note says so: the folders of ImageNet have other names.

    Args:
        classes: of the data.
        labels: of the network.

    Returns:
        (len(classes),) the network's index of each, and the note, or an empty one.

    Raises:
        DataError: if they do not fit.
    """
    places = {label: index for index, label in reversed(list(enumerate(labels)))}
    unknown = [name for name in classes if name not in places]
    if not unknown:
        own = np.arange(len(classes)) if tuple(classes) == tuple(labels) else [places[name] for name in classes]
        return np.asarray(own, np.int64), ""
    if len(unknown) == len(classes) == len(labels):
        note = (
            f"the network knows none of the data's class names: the {len(classes)} classes are taken in their order, "
            f"{printable(classes[0])!r} as {printable(labels[0])!r} and so on"
        )
        return np.arange(len(classes)), note
    named = ", ".join(map(printable, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
    raise DataError(
        f"{len(unknown)} of the data's {len(classes)} classes are none of the network's {len(labels)}: {named} "
        f"(it knows {', '.join(map(printable, labels[:3]))}{', ...' if len(labels) > 3 else ''}; see --labels)"
    )


class _Renumbered(Dataset):
    """The samples of ``dataset``, whose label i is ``order[i]`` here."""

    def __init__(self, dataset: Any, order: np.ndarray) -> None:
        self.dataset, self.order = dataset, order

    def __len__(self) -> int:
        return len(self.dataset)

    def sample(self, index: int, generator: np.random.Generator) -> tuple[Any, int]:
        image, label = self.dataset.sample(index, generator)
        return image, int(self.order[label])

    def batch(self, indices: np.ndarray, generator: np.random.Generator) -> tuple[Any, Tensor]:
        images, labels = self.dataset.batch(indices, generator)
        return images, Tensor(self.order[labels.numpy()])


def file_of(dataset: Any, index: int) -> Path | None:
    """The image file of a sample, if it comes from one."""
    if isinstance(dataset, Subset):
        return file_of(dataset.dataset, int(dataset.indices[index]))
    if isinstance(dataset, ConcatDataset):
        return file_of(*dataset._locate(index))
    return dataset.samples[index][0] if isinstance(dataset, ImageFolder) else None
