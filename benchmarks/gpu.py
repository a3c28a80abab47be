"""ResNets and deformable convolution on a GPU against PyTorch eager: images per second, host time, memory, in one run.

    python benchmarks/gpu.py                                                 # everything, see the options' defaults
    python benchmarks/gpu.py --models resnet18 --batches 32 --precisions tf32 --ways eager --seconds 1
    python benchmarks/gpu.py --host                                          # launches and host time, without a GPU

Both libraries get the same network, weights and random images, which are on the GPU already, and are measured one after
the other, each with the GPU's memory to itself: a warm-up (kernels are compiled, memory pools filled), then steps for a
while, waiting for the GPU every five steps. A training step is one of SGD with momentum. "float32" forbids
TensorFloat-32 everywhere, "tf32" allows it everywhere, "bfloat16" is autocast in both, channels last in PyTorch. Ways:
"eager", "compiled" by minicnn.compile, and "graph", a CUDA graph of the compiled step; PyTorch is always eager. What
cannot be done is one line that says why.

"difference" is the largest between the outputs of both, relative to the largest output. A ratio above 1 says that
minicnn is faster. "host ms" is how long Python takes to ask for a step, "launches" are kernels and copies. GiB is by
how much the memory in use on the GPU grew, as the driver counts it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gpu_sides
import numpy as np
from gpu_sides import DEFORMABLE, Minicnn, Setting

from minicnn import backend
from minicnn.errors import DeviceError

WARM_UP, BETWEEN_WAITS, HOST_STEPS = 5, 5, 10
HEADER = (
    "network", "batch", "precision", "work", "way", "convolution", "difference", "minicnn img/s", "PyTorch img/s",
    "ratio", "host ms", "PyTorch's", "launches", "PyTorch's", "GiB", "PyTorch's",
)  # fmt: skip


class Measured(NamedTuple):
    """What one library did in one setting."""

    images_per_second: float
    host_milliseconds: float
    launches: int | None
    gibibytes: float
    output: np.ndarray


def measure(side: Any, setting: Setting, seconds: float) -> Measured:
    """One library in one setting, with the memory of the GPU to itself before and given back after.

    Raises whatever says that the library cannot do it.
    """
    library = side(setting)
    library.clear()
    try:
        return _measured(library, setting, seconds)
    finally:
        library.clear()


def _measured(library: Any, setting: Setting, seconds: float) -> Measured:
    held = library.used()
    step = library.step()

    def steps(count: int) -> None:
        for _ in range(count):
            step()
        library.wait()

    steps(WARM_UP)
    start, done = time.perf_counter(), 0
    while not done or time.perf_counter() - start < seconds:
        steps(BETWEEN_WAITS)
        done += BETWEEN_WAITS
    elapsed = time.perf_counter() - start
    host = statistics.median(_host_time(step, library.wait) for _ in range(HOST_STEPS))
    grown = library.used() - held
    counted = gpu_sides.launches(step, library.wait)
    return Measured(done * setting.batch / elapsed, 1e3 * host, counted, grown / 2**30, library.output)


def _host_time(step: Callable[[], Any], wait: Callable[[], Any]) -> float:
    """Seconds until the step has been asked for."""
    start = time.perf_counter()
    step()
    asked = time.perf_counter() - start
    wait()
    return asked


def row(setting: Setting, ours: Measured, theirs: Measured | None) -> list[str]:
    """The cells of one line of the table."""
    ratio = "-" if theirs is None else f"{ours.images_per_second / theirs.images_per_second:.2f}"
    error = "-" if theirs is None else f"{abs(ours.output - theirs.output).max() / abs(theirs.output).max():.0e}"
    pairs = zip(_figures(ours), ["-"] * 4 if theirs is None else _figures(theirs), strict=True)
    speed, *others = ([mine, other] for mine, other in pairs)
    return [*labels(setting), error, *speed, ratio, *itertools.chain.from_iterable(others)]


def _figures(measured: Measured) -> list[str]:
    speed, host, count, memory, _ = measured
    return [f"{speed:.0f}", f"{host:.1f}", "-" if count is None else str(count), f"{memory:.2f}"]


def labels(setting: Setting) -> list[str]:
    """What the line is about."""
    work = "training" if setting.training else "inference"
    return [setting.model, str(setting.batch), setting.precision, work, setting.way, setting.convolution]


def line(cells: list[str] | tuple[str, ...]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def attempt(side: Any, setting: Setting, seconds: float) -> Measured | str:
    """What was measured, or in one line why it could not be."""
    try:
        return measure(side, setting, seconds)
    except Exception as error:  # whatever a library raises for what it cannot do
        reason = (str(error).strip().splitlines() or [""])[0]
        return f"not available: {type(error).__name__}: {reason}"


def compare(args: argparse.Namespace) -> None:
    """Print the table."""
    peer = gpu_sides.peer()
    if peer is None:
        print("PyTorch or torchvision is not here, or sees no GPU: minicnn is measured alone", file=sys.stderr)
    print(line(HEADER), line(["---"] * len(HEADER)), sep="\n")
    works = [work == "training" for work in args.works]
    for model, batch, precision, training in itertools.product(args.models, args.batches, args.precisions, works):
        setting = Setting(model, batch, args.size, precision, training)
        theirs = attempt(peer, setting, args.seconds) if peer else None
        if isinstance(theirs, str):
            print(f"PyTorch: {' '.join(labels(setting)[:4])}: {theirs}", flush=True)
            theirs = None
        for convolution, way in itertools.product(args.convolutions, args.ways):
            if model == DEFORMABLE and way == "compiled":
                continue  # one operation: there is nothing to fuse
            chosen = setting._replace(convolution=convolution, way=way)
            ours = attempt(Minicnn, chosen, args.seconds)
            if isinstance(ours, str):
                print(f"minicnn: {' '.join(labels(chosen))}: {ours}", flush=True)
            else:
                print(line(row(chosen, ours, theirs)), flush=True)


def main() -> int:
    """Measure what the command line asks for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = ["resnet50", "resnet18", DEFORMABLE]
    parser.add_argument("--models", nargs="+", default=models, metavar="NAME", help=f"default: {' '.join(models)}")
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128], metavar="N", help="default: 32 128")
    parser.add_argument("--size", type=int, default=224, metavar="N", help="of the images (default: 224)")
    for option, values in {
        "precisions": ["float32", "tf32", "bfloat16"],
        "works": ["training", "inference"],
        "convolutions": ["im2col", "cudnn"],
        "ways": ["eager", "compiled", "graph"],
    }.items():
        parser.add_argument(f"--{option}", nargs="+", default=values, choices=values, help="default: all of them")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each figure is measured (default: 3)")
    parser.add_argument("--host", action="store_true", help="count what a training step asks of CuPy, without a GPU")
    args = parser.parse_args()
    if args.host:
        from gpu_host import report

        print(report(args.models, args.ways, args.convolutions))
        return 0
    try:
        backend.load("cuda")
    except DeviceError as error:
        print(f"nothing to measure: {error}", file=sys.stderr)
        return 1
    compare(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
