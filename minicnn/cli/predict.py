"""``minicnn predict``: what is in a picture."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import device, side, whole
from ._errors import UsageError, complain, misuse, printable

if TYPE_CHECKING:
    from ..data.drawings import Style
    from ..models import Classifier, Prediction

INVERT = {"auto": None, "yes": True, "no": False}
HELP = "name what is in image files, by trained weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The images, the weights, and what the weights file may not contain."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a file, or a folder with images anywhere below")
    parser.add_argument("--weights", required=True, metavar="FILE", help=".pth, .safetensors, .npz, or a run folder")
    parser.add_argument("--model", metavar="NAME", help="one of `minicnn models`; not needed for the weights of a run")
    parser.add_argument("--variant", metavar="NAME", help="of the model (default: the one that public weights fit)")
    parser.add_argument("--classes", type=whole(1), metavar="N", help="classes of the weights (default: 1000)")
    parser.add_argument("--labels", metavar="FILE", help="class names, one per line (default: ImageNet's or the run's)")
    parser.add_argument("--size", type=side, metavar="N", help="resize images to NxN (default: the model's size)")
    parser.add_argument(
        "--invert",
        choices=INVERT,
        default="auto",
        help="exchange light and dark (default: if what was learned asks for it)",
    )
    parser.add_argument("--top", type=whole(1), default=5, metavar="N", help="classes per image (default: 5)")
    parser.add_argument("--batch-size", type=whole(1), default=16, metavar="N", help="images at once (default: 16)")
    parser.add_argument("--device", type=device, default="cpu", metavar="NAME", help="cpu (default) or cuda:N")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")


def run(args: argparse.Namespace) -> int:
    """Print the likeliest classes of each image; status 1 if some could not be read."""
    from ..errors import ShapeError
    from . import DONE, FAILED

    with misuse(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        paths = find_images(args.images)
        classifier = _load(args)
        classifier.model.to(args.device)
    for warning in caught:
        complain(f"warning: {printable(warning.message)}")

    unread, inverted, right = 0, [], _Right(args.images, classifier.labels)
    with _Output(len(paths)) as output, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about unusual files that it reads nevertheless
        try:
            for prediction in classifier.predict(paths, args.top, args.batch_size, INVERT[args.invert]):
                if prediction.error is not None:
                    unread += 1
                    output.error(str(prediction.error))
                else:
                    output.result(_as_json(prediction) if args.json else _as_text(prediction))
                    inverted += [prediction.image] * prediction.inverted
                    right.count(prediction)
                output.step()
        except ShapeError as error:
            size = "x".join(map(str, classifier.transform.crop_size))
            raise UsageError(f"{classifier.name} does not fit images of {size} (see --size): {error}") from error
    if inverted and args.invert == "auto":
        output.error(_about_inverted(inverted, len(paths), classifier.style))
    if (summary := right.summary(args.top)) and not args.json:
        output.result(summary)
    if unread and len(paths) > 1:
        output.error(f"{unread} of {len(paths)} images could not be read")
    return FAILED if unread else DONE


def find_images(arguments: list[str]) -> list[Path]:
    """The files as they are named, and for a folder all images below it, sorted.

    Raises:
        UsageError: for a path that does not exist, and a folder without images.
    """
    from ..data.folder import EXTENSIONS, images_below

    found: list[Path] = []
    for path in map(Path, arguments):
        if not path.exists():
            raise UsageError(f"no such file or folder: {path}")
        inside = images_below(path) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"no image in the folder {path} (their names end in {', '.join(EXTENSIONS)})")
        found += inside
    return found


def _load(args: argparse.Namespace) -> Classifier:
    from ..data import read_labels
    from ..models import load_classifier
    from ..training.run_folder import weights_file

    labels = None if args.labels is None else read_labels(args.labels)
    return load_classifier(weights_file(args.weights), args.model, args.variant, args.classes, labels, args.size)


def _as_text(prediction: Prediction) -> str:
    lines = [f"{100 * guess.probability:7.2f} %  {printable(guess.label)}" for guess in prediction.guesses]
    return "\n".join([printable(prediction.image), *lines])


def _as_json(prediction: Prediction) -> str:
    guesses = [vars(guess) for guess in prediction.guesses]
    return json.dumps({"image": str(prediction.image), "inverted": prediction.inverted, "guesses": guesses})


def _about_inverted(images: list[Path], of: int, style: Style | None) -> str:
    """Which pictures were inverted, and why."""
    which = str(images[0]) if of == 1 else f"{len(images)} of {of} images"
    learned = "light on dark" if style is not None and style.ground < 0.5 else "dark on light"
    return f"inverted {which}: the network has learned {learned}"


class _Right:
    """How many images are what the folder says that they are in, of those in folders called like a class."""

    def __init__(self, arguments: list[str], labels: Sequence[str]) -> None:
        self.folders = [Path(argument) for argument in arguments]
        self.labels = set(labels)
        self.ranks: list[int] = []  # of the right class among the guesses
        self.total = 0
        self.others = 0

    def count(self, prediction: Prediction) -> None:
        """Look at one more image."""
        truth = self._class_of(prediction.image)
        if truth is None:
            self.others += 1
            return
        self.total += 1
        self.ranks += [rank for rank, guess in enumerate(prediction.guesses) if guess.label == truth]

    def _class_of(self, image: Path) -> str | None:
        for folder in self.folders:
            if folder in image.parents:
                inside = image.relative_to(folder).parts[:-1]
                return next((name for name in inside if name in self.labels), None)
        return None

    def summary(self, top: int) -> str:
        """One line, or nothing if an image lies in no folder of a class."""
        if self.others or not self.total:
            return ""
        first = sum(rank == 0 for rank in self.ranks)
        among = f", {len(self.ranks)} among the first {top}" if top > 1 else ""
        return f"{first} of {self.total} right ({100 * first / self.total:.2f} %){among}"


class _Output:
    """Results on the standard output, errors and, for many images on a terminal, a bar on the standard error."""

    def __init__(self, images: int) -> None:
        self.bar: Any = None
        if images > 1 and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=images, unit="image", file=sys.stderr, dynamic_ncols=True, leave=False)

    def result(self, text: str) -> None:
        """Print what was found."""
        self._print(text, sys.stdout)

    def error(self, text: str) -> None:
        """Print what went wrong with one image."""
        self._print(f"minicnn: {printable(text)}", sys.stderr)

    def _print(self, text: str, file: Any) -> None:
        if self.bar is None:
            print(text, file=file, flush=True)
        else:
            self.bar.write(text, file=file)

    def step(self) -> None:
        """Show that one more image is done."""
        if self.bar is not None:
            self.bar.update()

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
