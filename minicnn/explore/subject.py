"""What ``minicnn explore`` is asked to look at: a network of the list or of a run, and an image for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..data import DataError, load_image, open_data
from ..data.bundled import FOLDER
from ..data.drawings import in_style
from ..data.transforms import ImageClassification
from ..models import Classifier, create_model, load_classifier, model_entry, preprocessing
from ..models.prediction import KNOWN_LABELS
from ..random import manual_seed
from ..tensors import Tensor
from ..training.job import SPLIT_SEED
from ..training.run_folder import RunFolder, is_run, weights_file

SEED = 0  # of random weights
PHOTOGRAPH = FOLDER / "flower.jpg"


@dataclass(frozen=True)
class Subject:
    """A network with its transform and class names, and where its weights come from.

    ``run`` is the folder of the training that made them, if it is known.
    """

    title: str
    origin: str
    classifier: Classifier
    run: RunFolder | None = None

    def image(self, path: str | Path | None, size: int | None) -> tuple[Tensor, str]:
        """The image as the network takes it, and its name.

        Args:
            path: a photograph; None: the first test image of the run's data, or the bundled flower.
            size: to which the run's images are brought, if not to the size of its training.

        Raises:
            DataError: if the image or the run's data cannot be read.
        """
        if path is None and self.run is not None:
            return self._test_image(self.run, size)
        found = Path(PHOTOGRAPH if path is None else path)
        classifier, drawn = self.classifier, self.classifier.style
        picture: Any = load_image(found, classifier.in_channels, on_paper=drawn is not None)
        inverted = False
        if drawn is not None:
            picture, inverted = in_style(picture, drawn, classifier.transform.crop_size)
        return classifier.transform(picture), f"{found.name}, light and dark exchanged" if inverted else found.name

    def _test_image(self, run: RunFolder, size: int | None) -> tuple[Tensor, str]:
        config = run.read_config()
        try:
            data = open_data(config.data, SPLIT_SEED, image_size=size or config.image_size)
        except DataError as error:
            raise DataError(f"the first test image of {run} is lost ({error}): give an --image") from error
        image, label = data.test[0]
        return image, f"the first test image of {config.data_kind}: {data.classes[label]}"


def find(name: str, weights: str | Path | None = None, variant: str | None = None, size: int | None = None) -> Subject:
    """The network called ``name``, or that of the run folder ``name``.

    Args:
        weights: a file that ``minicnn.load`` reads, or a run folder; None: random ones, by seed 0.
        variant: of the model; None: the one that the weights are for, or else the paper's.
        size: the side of the network's square input, if not the usual one.

    Raises:
        ValueError: for an unknown model, and weights or a variant that do not fit it.
        OSError: for files that cannot be read.
    """
    load = partial(load_classifier, variant=variant, size=size)
    if is_run(name):
        run = RunFolder(name)
        if weights is not None:
            raise ValueError(f"{name} is a folder with weights of its own; for others give the model's name")
        return Subject(run.path.resolve().name, _origin(run), load(weights_file(name)), run)
    entry = model_entry(name)
    if weights is None:
        manual_seed(SEED)
        model = create_model(name, variant=variant)
        transform: ImageClassification = preprocessing(name, variant)
        known = KNOWN_LABELS.get(entry.num_classes)
        labels = known() if known else tuple(f"class {index}" for index in range(entry.num_classes))
        classifier = Classifier(name, model, transform if size is None else transform.at(size), labels, 3)
        return Subject(name, f"random weights, seed {SEED}", classifier)
    other = RunFolder(weights)
    if other.path.is_dir():
        return Subject(name, _origin(other), load(weights_file(weights), name), other)
    return Subject(name, f"weights of {Path(weights).name}", load(weights, name))


def _origin(run: RunFolder) -> str:
    result = run.read_result()
    return f"weights of {run.path.resolve().name}" + (f", epoch {result['epochs']}" if result else "")
