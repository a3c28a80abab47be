"""``minicnn export``: a network as a file that other tools read."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ._arguments import side, whole
from ._errors import UsageError, complain, misuse, printable

if TYPE_CHECKING:
    from ..nn import Module

HELP = "write a network as ONNX, which other tools run and show"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network, its weights, and the file."""
    parser.add_argument("network", metavar="RUN|MODEL", help="a run folder, or one of `minicnn models`")
    parser.add_argument("--onnx", required=True, metavar="FILE", help="the file to write, e.g. resnet20.onnx")
    parser.add_argument(
        "--weights", metavar="FILE", help="of a MODEL: .pth, .safetensors, .npz, or a run folder (default: random)"
    )
    parser.add_argument("--variant", metavar="NAME", help="of the model (default: as for `minicnn predict`)")
    parser.add_argument("--classes", type=whole(1), metavar="N", help="classes of the weights (default: the paper's)")
    parser.add_argument("--size", type=side, metavar="N", help="images of NxN (default: the network's size)")
    parser.add_argument("--opset", type=whole(1), default=19, metavar="N", help="of ONNX's operators (default: 19)")
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(args: argparse.Namespace) -> int:
    """Write the file, and print what is in it."""
    from ..creation import zeros
    from ..errors import ShapeError
    from ..onnx import export
    from ..terminal import fill

    with misuse(errors=(ImportError,)):
        from ..onnx.exporting import require_onnx

        require_onnx()
    if Path(args.onnx).is_dir():
        raise UsageError(f"--onnx {args.onnx} is a folder: name the file in it")
    with misuse():
        network = _open(args)
    if network.random:
        complain(f"warning: {network.name} has random weights: --weights names trained ones")
    size = "x".join(map(str, network.input_shape))
    with misuse():
        try:
            model = export(
                network.model,
                zeros(1, *network.input_shape),
                args.onnx,
                output_names=["logits"],
                opset_version=args.opset,
                metadata=network.metadata,
            )
        except ShapeError as error:
            raise UsageError(f"{network.name} does not fit images of {size} (see --size): {error}") from error
    if not args.quiet:
        parameters = sum(p.numel() for p in network.model.parameters())
        written = Path(args.onnx).stat().st_size / 1e6
        print(
            fill(
                f"{printable(args.onnx)}: {network.name}, {parameters:,} parameters, {len(model.graph.node)} nodes of "
                f"opset {args.opset}, {written:.1f} MB; any number of images of {size}; checked"
            )
        )
    return 0


@dataclass(frozen=True)
class _Network:
    """A network, and what a user who has only the file must know."""

    name: str
    model: Module
    input_shape: tuple[int, ...]
    metadata: dict[str, str]
    random: bool = False


def _open(args: argparse.Namespace) -> _Network:
    """The network that the arguments name."""
    from ..models import create_model, load_classifier, preprocessing
    from ..training.run_folder import is_run, weights_file

    name, weights, labels = args.network, args.weights, None
    if is_run(name):
        if weights is not None:
            raise UsageError("--weights and a run folder contradict each other: a run has its own weights")
        name, weights = None, name
    if weights is None:
        from ..random import manual_seed

        manual_seed(0)
        model = create_model(name, args.classes, args.variant)
        transform, channels, random = preprocessing(name, args.variant), 3, True
        transform = transform if args.size is None else transform.at(args.size)
    else:
        found = load_classifier(weights_file(weights), name, args.variant, args.classes, size=args.size)
        name, model, labels = found.name, found.model, found.labels
        transform, channels, random = found.transform, found.in_channels, False
    input_shape = channels, *transform.crop_size
    entries = {
        "model": name,
        "variant": getattr(model, "variant", None),
        "classes": labels,
        "input_shape": input_shape,
        "resize": transform.resize_size,
        "mean": transform.mean,
        "std": transform.std,
    }
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in entries.items()
        if value is not None
    }
    return _Network(name, model, input_shape, metadata, random)
