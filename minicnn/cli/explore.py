"""``minicnn explore``: a page that shows a network from the inside."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from ..terminal import fill
from ._arguments import device, side
from ._errors import UsageError, complain, misuse, printable

HELP = "write a page that shows a network: graph, maps, gradients, code"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, its weights, the image, and where the page goes."""
    parser.add_argument("network", metavar="MODEL|RUN", help="one of `minicnn models`, or a run folder")
    parser.add_argument("--image", metavar="PHOTO", help="(default: a bundled photograph, or the run's test image)")
    parser.add_argument("--weights", metavar="W", help="of the model: a file or a run folder (default: random)")
    parser.add_argument("--variant", metavar="V", help="paper or torchvision (default: the one that the weights fit)")
    parser.add_argument("--class", dest="target", metavar="NAME", help="name or number (default: the likeliest)")
    parser.add_argument("--size", type=side, metavar="N", help="resize the image to NxN (default: the model's size)")
    parser.add_argument("--out", metavar="FILE", help="the page (default: explore-NAME.html)")
    parser.add_argument("--device", type=device, default="cpu", metavar="NAME", help="cpu (default) or cuda:N")


def run(args: argparse.Namespace) -> int:
    """Write the page; print its name and size."""
    from ..errors import ShapeError
    from ..explore.looking import look
    from ..explore.page import text
    from ..explore.subject import find
    from ..training.memory import TooLarge, require_memory
    from ..utils.page import write_page

    with misuse():
        subject = find(args.network, args.weights, args.variant, args.size)
        out = Path(args.out or f"explore-{subject.title}.html")
        if out.is_dir():
            raise UsageError(f"{out} is a folder, expected the name of a file (see --out)")
        classifier = subject.classifier
        height, width = classifier.transform.crop_size
        with _Bar() as bar:
            try:
                require_memory(classifier.model, (classifier.in_channels, height, width), 1)
                image, name = subject.image(args.image, args.size)
                data = look(
                    classifier.model.to(args.device),
                    image,
                    labels=classifier.labels,
                    target=args.target,
                    name=name,
                    mean=classifier.transform.mean,
                    std=classifier.transform.std,
                    title=subject.title,
                    origin=subject.origin,
                    command=_command(args),
                    watch=bar.show,
                )
            except (ShapeError, TooLarge) as error:
                shown = f"images of {height}x{width} (see --size)"
                raise UsageError(f"{subject.title} does not fit {shown}: {error}") from error
    for note in data["notes"]:
        complain(f"warning: {printable(note)}")
    size = write_page(out, text(data)).stat().st_size
    print(fill(f"{printable(out)}: {size / 1e6:.1f} MB, {printable(subject.origin)}"))
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command as the page shows it."""
    words = ["minicnn", "explore", args.network]
    for option, value in {
        "image": args.image,
        "weights": args.weights,
        "variant": args.variant,
        "class": args.target,
        "size": args.size,
    }.items():
        words += [] if value is None else [f"--{option}", str(value)]
    return shlex.join(words)


class _Bar:
    """How far it is, on a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def show(self, what: str, done: int, of: int) -> None:
        """``done`` of ``of`` steps are done, and ``what`` is next."""
        if self.bar is None and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=of, unit="step", file=sys.stderr, dynamic_ncols=True, leave=False)
        if self.bar is not None:
            self.bar.set_description(what, refresh=False)
            self.bar.update(done - self.bar.n)

    def __exit__(self, *exc_info: object) -> None:
        if self.bar is not None:
            self.bar.close()
