"""From image files to the names of their classes.

    classifier = load_classifier("resnet50.pth", "resnet50")
    for prediction in classifier.predict(["cat.jpg", "dog.png"]):
        print(prediction.image, prediction.guesses[0].label)

``load_classifier`` finds the network, the transform and the class names that belong to weights; ``predict`` works for
any network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import nn
from ..autograd import no_grad
from ..compiler import compile
from ..data import DataError, DataLoader, imagenet_labels, load_image
from ..data.cifar import CIFAR10_LAYOUT
from ..data.collate import collate
from ..data.drawings import Style, in_style, negative
from ..data.transforms import ImageClassification
from ..nn.summary import evaluating
from ..serialization import load_state_dict
from ..tensors import Tensor
from .card import Card
from .hub import create_model
from .preprocessing import preprocessing
from .registry import model_entry, suggestion

TOP, BATCH_SIZE = 5, 16

# The class names of the papers' experiments, by the number of classes.
KNOWN_LABELS: dict[int, Callable[[], tuple[str, ...]]] = {1000: imagenet_labels, 10: lambda: CIFAR10_LAYOUT.classes}


class NotFinite(ArithmeticError):
    """The logits of a network are NaN or infinite."""


@dataclass(frozen=True)
class Guess:
    """One class that an image may belong to: its number, its name, and the softmax of its logit."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The result for one image: its most likely classes, in falling order, or why it could not be read."""

    image: Any
    guesses: tuple[Guess, ...] = ()
    error: DataError | None = None
    inverted: bool = False  # before the network saw it


def predict(
    model: nn.Module,
    images: Sequence[Any],
    transform: Callable[[Any], Any],
    top: int = TOP,
    labels: Sequence[str] | None = None,
    batch_size: int = BATCH_SIZE,
    in_channels: int = 3,
    compiled: bool = False,
    prepare: Callable[[Any], tuple[Any, bool]] | None = None,
    on_paper: bool = False,
) -> Iterator[Prediction]:
    """Classify images, one ``Prediction`` each, in their order; the network runs in evaluation mode, without gradients.

    While the network computes one batch, a thread reads the next. If a file cannot be read, its prediction holds the
    error, and the others are not affected.

    Args:
        model: (N, C, H, W) -> (N, classes).
        images: paths, or Pillow images.
        transform: makes a tensor (C, H, W) of a Pillow image, the same size for all, e.g. ``ImageClassification``.
        top: how many classes each prediction has; all, if there are fewer.
        labels: the names of the classes; None for their numbers.
        batch_size: images that go through the network together.
        in_channels: 3 for RGB, 1 for grey.
        compiled: run full batches through ``minicnn.compile(model)`` if there are several.
        prepare: makes of a Pillow image the one to transform, and says whether it has inverted it.
        on_paper: the files are drawings: their transparent parts are paper (``load_image``).

    Raises:
        ValueError: for a ``top`` or ``batch_size`` below 1, or a number of labels other than that of classes.
        ShapeError: if the network does not take such images.
        NotFinite: if its logits are NaN or infinite.
    """
    if top < 1:
        raise ValueError(f"`top` (={top}) must be at least 1")
    loader = DataLoader(
        _Inputs(images, transform, partial(load_image, in_channels=in_channels, on_paper=on_paper), prepare),
        batch_size,
        num_workers=1,
        collate_fn=lambda batch: batch,
        seed=0,
    )
    network = compile(model) if compiled and len(images) > batch_size else model
    return _predictions(model, network, batch_size, loader, top, labels)


class _Inputs:
    """The images of a prediction as inputs of the network, or the reason why one could not be read."""

    def __init__(
        self,
        images: Sequence[Any],
        transform: Callable[[Any], Any],
        load: Callable[[str], Any],
        prepare: Callable[[Any], tuple[Any, bool]] | None,
    ) -> None:
        self.images, self.transform, self.load, self.prepare = images, transform, load, prepare

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any, bool]:
        image = self.images[index]
        try:
            opened = self.load(os.fspath(image)) if isinstance(image, (str, os.PathLike)) else image
        except DataError as error:
            return image, error, False
        prepared, inverted = self.prepare(opened) if self.prepare else (opened, False)
        return image, self.transform(prepared), inverted


def _predictions(
    model: nn.Module,
    network: Callable[[Tensor], Tensor],
    batch_size: int,
    loader: DataLoader,
    top: int,
    labels: Sequence[str] | None,
) -> Iterator[Prediction]:
    for batch in loader:
        readable = [item for _, item, _ in batch if not isinstance(item, DataError)]
        # To compile for another number of images costs more time than one batch can save.
        chosen = network if len(readable) == batch_size else model
        logits = iter(_logits(model, chosen, collate(readable)) if readable else ())
        for image, item, inverted in batch:
            if isinstance(item, DataError):
                yield Prediction(image, error=item)
            else:
                yield Prediction(image, _guesses(next(logits), top, labels, image), inverted=inverted)


def _logits(model: nn.Module, network: Callable[[Tensor], Tensor], inputs: Tensor) -> np.ndarray:
    """(N, C, H, W) -> (N, classes), float64. ``network`` is the model, or the compiled model."""
    place = next(model.parameters())
    with evaluating(model), no_grad():
        outputs = network(inputs.to(place.device, place.dtype))
    return outputs.cpu().numpy().astype(np.float64)


def _guesses(logits: np.ndarray, top: int, labels: Sequence[str] | None, image: Any) -> tuple[Guess, ...]:
    if labels is not None and len(labels) != len(logits):
        raise ValueError(f"{len(labels)} labels cannot name the {len(logits)} classes of the network")
    if not np.isfinite(logits).all():
        raise NotFinite(
            f"the network's logits for {str(image)!r} are not finite: are these the weights of a trained one?"
        )
    exponentials = np.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    likeliest = np.argsort(-logits, kind="stable")[:top]
    return tuple(
        Guess(index, f"class {index}" if labels is None else labels[index], float(probabilities[index]))
        for index in likeliest.tolist()
    )


@dataclass(frozen=True)
class Classifier:
    """A trained network with its transform and class names, and how the images are drawn that it has learned."""

    name: str
    model: nn.Module
    transform: ImageClassification
    labels: tuple[str, ...]
    in_channels: int
    style: Style | None = None

    def predict(
        self, images: Sequence[Any], top: int = TOP, batch_size: int = BATCH_SIZE, invert: bool | None = None
    ) -> Iterator[Prediction]:
        """``predict`` with this network, compiled.

        Pictures are brought into the ``style`` that the network has learned, if there is one (``data.drawings``).

        Args:
            invert: whether pictures become their negatives; None: where it brings them closer to the style.
        """
        return predict(
            self.model, images, self.transform, top, self.labels, batch_size, self.in_channels, compiled=True,
            prepare=partial(self._prepared, invert=invert), on_paper=self.style is not None,
        )  # fmt: skip

    def _prepared(self, image: Any, invert: bool | None) -> tuple[Any, bool]:
        if self.style is not None:
            return in_style(image, self.style, self.transform.crop_size, invert)
        return (negative(image), True) if invert else (image, False)


def load_classifier(
    weights: str | os.PathLike[str],
    name: str | None = None,
    variant: str | None = None,
    num_classes: int | None = None,
    labels: Sequence[str] | None = None,
    size: int | None = None,
) -> Classifier:
    """Build the network that a weights file belongs to, with its transform and class names.

    A file of ``minicnn train`` contains what is needed. For others, such as published ``.pth`` files, give the
    ``name`` of the model; its variant is then the published one, and its classes are ImageNet's if there are 1000.

    Args:
        weights: a file that ``minicnn.load`` reads.
        name, variant, num_classes: as for ``create_model``; None: as the file says, or else the published ones.
        labels: the names of the classes, if the file's or ImageNet's are not the right ones.
        size: the side of the network's square input, if not the usual one.

    Raises:
        ValueError: for arguments that contradict the file or each other, and as ``create_model`` raises it.
        OSError: if the file does not exist or cannot be read.
    """
    card = Card.read(weights)
    shown = os.fspath(weights)
    if name is None and card.model is None:
        load_state_dict(weights)  # raises its own error for a file that has no weights
        raise ValueError(f"{shown!r} does not say which model it is for: name one, e.g. resnet50")
    name = _agreed("model", name, card.model, shown)
    try:
        entry = model_entry(name)
    except ValueError:
        if name == card.model:
            raise ValueError(f"{shown!r} is for a model {name!r}, which is not known here{suggestion(name)}") from None
        raise
    found = None if card.classes is None else len(card.classes)
    classes = _agreed("num_classes", num_classes, found, shown) or entry.num_classes
    in_channels = 3 if card.input_shape is None else card.input_shape[0]
    model = create_model(name, classes, variant, in_channels, weights)

    variant = variant or card.variant or entry.public_variant
    transform = card.transform() or preprocessing(name, variant, in_channels)
    if labels is None:
        named = card.classes is None and classes == entry.num_classes and classes in KNOWN_LABELS
        labels = KNOWN_LABELS[classes]() if named else card.classes or [f"class {index}" for index in range(classes)]
    if len(labels) != classes:
        raise ValueError(f"{len(labels)} labels cannot name the {classes} classes of {shown!r}")
    return Classifier(
        name, model, transform if size is None else transform.at(size), tuple(labels), in_channels, card.style()
    )


def _agreed(argument: str, given: Any, noted: Any, weights: str) -> Any:
    """The given value, or else the file's. Raises ValueError if the two differ."""
    if given is not None and noted is not None and given != noted:
        raise ValueError(f"{argument} {given} contradicts {weights!r}, which is for {noted}")
    return noted if given is None else given
