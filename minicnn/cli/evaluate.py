"""``minicnn evaluate``: test a trained network again, and see what it gets wrong."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ._arguments import device, side, whole
from ._errors import UsageError, complain, misuse, printable

if TYPE_CHECKING:
    from ..evaluation.subject import Subject
    from ..nn import Module

OUT = Path("evaluations")
SPLITS = ("test", "validation", "train", "all")
HELP = "test a trained network again: accuracy, each class, calibration, the worst mistakes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, the images, and what the weights file may not contain."""
    parser.usage = "minicnn evaluate RUN [options]\n       minicnn evaluate MODEL --weights FILE --data SPEC [options]"
    parser.add_argument("what", metavar="RUN|MODEL", help="a run folder, or one of `minicnn models`")
    parser.add_argument("--weights", metavar="FILE", help=".pth, .safetensors, .npz, or a run folder")
    parser.add_argument("--data", metavar="SPEC", help="as for `minicnn train` (default: the run's)")
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="the part of the data (default: test); all: every image"
    )
    parser.add_argument("--out", metavar="DIR", help="where the page goes (default: evaluations/NAME-SPLIT-N)")
    parser.add_argument("--device", type=device, metavar="NAME", help="cpu or cuda:N (default: the run's, or cpu)")
    parser.add_argument("--batch-size", type=whole(1), metavar="N", help="images at once (default: the run's, or 32)")
    parser.add_argument("--eager", action="store_true", help="run the model's own lines, as `train --eager` did")
    parser.add_argument("--json", action="store_true", help="print the content of evaluation.json instead of text")
    parser.add_argument("--quiet", action="store_true", help="print only the accuracy and the page")
    weights = parser.add_argument_group("what a weights file may not say, as for `minicnn predict`")
    weights.add_argument("--variant", metavar="NAME", help="of the model (default: the one that public weights fit)")
    weights.add_argument("--classes", type=whole(1), metavar="N", help="classes of the weights (default: 1000)")
    weights.add_argument(
        "--labels", metavar="FILE", help="class names, one per line (default: ImageNet's or the run's)"
    )
    weights.add_argument("--size", type=side, metavar="N", help="resize images to NxN (default: the model's size)")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the page beside its numbers, and print a table."""
    from ..data import DataLoader
    from ..errors import ShapeError
    from ..evaluation import evaluate
    from ..evaluation.page import page
    from ..evaluation.report import as_dict, as_json, lines, percent
    from ..terminal import fill
    from ..terminal import whole as one_word
    from ..training.job import one_blas_thread
    from ..training.run_folder import next_free
    from ..utils.page import write_page

    with misuse(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        subject = _open(args)
        classifier = subject.classifier
        _place(classifier.model, args.device, subject.device)
        _require_writable(OUT if args.out is None else Path(args.out))
    for warning in caught:
        complain(f"warning: {printable(warning.message)}")

    loader = DataLoader(subject.dataset, args.batch_size or subject.batch_size, num_workers=1, seed=0)
    try:
        with _progress(len(subject.dataset)) as on_batch, one_blas_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about unusual files, and NumPy's, about weights of no network
            evaluation = evaluate(
                classifier.model,
                loader,
                label_smoothing=subject.label_smoothing,
                compiled=not args.eager,
                on_batch=on_batch,
            )
    except ShapeError as error:
        size = "x".join(map(str, classifier.transform.crop_size))
        raise UsageError(f"{classifier.name} does not fit images of {size} (see --size): {error}") from error

    content = as_json(as_dict(subject, evaluation))
    text = page(subject, evaluation, _command(args))
    folder = Path(args.out) if args.out is not None else next_free(OUT / f"{_stem(subject.name)}-{subject.split}")
    write_page(folder / "evaluation.json", content)
    written = write_page(folder / "evaluation.html", text)
    if args.json:
        print(content, end="")
        return 0
    if args.quiet:
        print(f"{subject.split} accuracy {percent(evaluation.top1)} %")
    else:
        print(*lines(subject, evaluation), sep="\n")
    print(fill(f"page: {one_word(printable(written))}"))
    return 0


def _open(args: argparse.Namespace) -> Subject:
    from ..data import DataError, read_labels
    from ..evaluation.subject import open_subject

    labels = None if args.labels is None else read_labels(args.labels)
    with misuse(f"--data {args.data}" if args.data else "", (DataError,)):
        return open_subject(
            args.what,
            args.weights,
            args.data,
            args.split,
            variant=args.variant,
            num_classes=args.classes,
            labels=labels,
            size=args.size,
        )


def _place(model: Module, asked: str | None, own: str) -> None:
    """Move the model to the device that was asked for, or that of its run."""
    from ..errors import DeviceError

    try:
        model.to(asked or own)
    except DeviceError as error:
        hint = "" if asked else f"the run was trained on {own}, and --device cpu evaluates it here: "
        raise UsageError(f"{hint}{error}") from error


def _require_writable(folder: Path) -> None:
    """Raise UsageError now, not after a long evaluation, if the page's folder cannot be made."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UsageError(f"--out: {there} exists already and is not a folder")
    if not os.access(there, os.W_OK):
        raise UsageError(f"--out: the folder {there} cannot be written")


@contextmanager
def _progress(images: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error; the block gets what moves it on."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(total=images, unit="image", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:
        yield lambda count: bar.update(count) and None


def _stem(name: str) -> str:
    """A name as a part of a folder's name."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".") or "network"


def _command(args: argparse.Namespace) -> str:
    words = ["minicnn", "evaluate", args.what]
    for option in ("weights", "data", "split", "batch_size", "device", "variant", "classes", "labels", "size"):
        value = getattr(args, option)
        if value is not None and (option, value) != ("split", "test"):
            words += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join(words + ["--eager"] * args.eager)
