"""``minicnn summary``: what a model costs, layer by layer."""

from __future__ import annotations

import argparse

from ._arguments import whole

MOST_PIXELS = 10**6  # along a side: NumPy must be able to count the elements

HELP = "show a model layer by layer: shapes, parameters, multiply-adds, memory, receptive field"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, and the images and classes that it is built for."""
    parser.add_argument("model", metavar="MODEL", help="one of `minicnn models`, e.g. resnet50")
    parser.add_argument("--input", type=parse_shape, metavar="C,H,W", help="the image (default: as in the paper)")
    parser.add_argument("--variant", metavar="NAME", help="paper (default) or torchvision, where they differ")
    parser.add_argument("--classes", type=whole(1), metavar="N", help="width of the last layer (default: the paper's)")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ..models import create_model, model_entry
    from ..nn.summary import summary
    from ._errors import misuse

    with misuse():
        size = model_entry(args.model).input_size
        shape = (3, size, size) if args.input is None else args.input
        model = create_model(args.model, args.classes, args.variant, in_channels=shape[0], init=False)
        table = summary(model, shape)
    print(table)
    return 0


def parse_shape(text: str) -> tuple[int, int, int]:
    """``"3,224,224"`` as (channels, height, width)."""
    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and 0 < int(part) <= MOST_PIXELS for part in parts):
        raise argparse.ArgumentTypeError(f"expected channels, height and width like 3,224,224, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width
