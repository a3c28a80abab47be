"""``minicnn bench``: how fast the networks are here, and one convolution computed in every way there is."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..terminal import Layout, fill, table
from ._arguments import MOST, number, side, whole

if TYPE_CHECKING:
    from ..bench.ladder import Problem, Rung
    from ..bench.machine import Machine
    from ..bench.networks import Measured

HELP = "measure how fast networks run here; `bench ladder`: one convolution, from loops to direct"

MODELS = ("resnet18", "resnet50", "googlenet", "efficientnet_b0")
WORKS = ("inference", "training")
LADDER = "ladder"
MEGABYTE = 1e6
DISTURBED = 0.1  # of a core, used by others


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure and how long."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=f"some of `minicnn models` (default: {' '.join(MODELS)}), or {LADDER!r}",
    )
    parser.add_argument("--batch", type=whole(1), default=8, metavar="N", help="images at a time (default: 8)")
    parser.add_argument("--threads", type=whole(1), metavar="N", help="to compute with (default: one per core)")
    parser.add_argument("--size", type=side, metavar="N", help="side of an image (default: the paper's; 56)")
    parser.add_argument("--channels", type=side, metavar="N", help="of the ladder's convolution (default: 64)")
    parser.add_argument("--seconds", type=number(MOST), default=1.0, metavar="T", help="for each figure (default: 1)")
    only = parser.add_mutually_exclusive_group()
    for work in WORKS:
        only.add_argument(f"--{work}", action="store_const", const=(work,), dest="works", help=f"only {work}")


def run(args: argparse.Namespace) -> int:
    """Print the table that was asked for, and what it was measured on."""
    from ..bench.machine import machine, using_threads
    from ..bench.measuring import foreign_cores, usage
    from ._errors import misuse

    _check(args)
    with ExitStack() as stack:
        with misuse("--threads"):
            stack.enter_context(using_threads(args.threads))
        here = machine(quick=args.seconds < 0.5)
        before = usage([os.getpid()])
        (_ladder if args.models == [LADDER] else _networks)(args, here)
        foreign = foreign_cores([(before, usage([os.getpid()]))])
    print("", *map(fill, (*here.lines(), f"other processes: {load(foreign)}")), sep="\n")
    return 0


def load(foreign: float | None) -> str:
    """How much of the processors other programs used meanwhile, and whether that falsifies the figures."""
    if foreign is None:
        return "not known on this system"
    spoilt = "; the figures are not what this machine can do, measure again" if foreign > DISTURBED else ""
    return f"{100 * foreign:.0f} % of a core{spoilt}"


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for options that contradict each other, and models that do not exist or cannot be combined."""
    from ..models import model_entry
    from ._errors import UsageError, misuse

    if args.models == [LADDER]:
        if args.works:
            raise UsageError(f"--{args.works[0]}: a single convolution cannot use it; leave it out with {LADDER}")
        return
    if LADDER in args.models:
        raise UsageError(f"{LADDER} is not a model and cannot be combined with one")
    if args.channels is not None:
        raise UsageError(f"--channels: goes only with {LADDER}")
    with misuse():
        for name in args.models:
            model_entry(name)


# ---- networks ----------------------------------------------------------------------------------------------------

NETWORK_HEADER = ("network", "work", "ms", "images/s", "GFLOP/s", "peak", "step MB", "total MB")
NETWORK_NOTES = (
    "ms: of one step, with {batch} images; peak: the share of this machine's",
    "GFLOP/s: a multiply-add is two, a training step three forward passes (minicnn/bench/networks.py)",
    "step MB: the most memory in a step beyond network and images; total MB: of the whole process",
    "for a comparison with PyTorch and ONNX Runtime: python benchmarks/cpu.py",
)


def _networks(args: argparse.Namespace, here: Machine) -> None:
    from ..bench.networks import measure

    names = args.models or MODELS
    layout = Layout([max(map(len, (NETWORK_HEADER[0], *names))), 9, 7, 8, 7, 5, 7, 8], "<<>>>>>>")
    print(*layout.lines(NETWORK_HEADER), sep="\n")
    for name in names:
        for work in args.works or WORKS:
            measured = measure(name, work, args.batch, args.size, args.seconds)
            print(*layout.lines(network_cells(measured, here.peak)), sep="\n", flush=True)
    print("", *(fill(note.format(batch=args.batch)) for note in NETWORK_NOTES), sep="\n")


def network_cells(measured: Measured, peak: float) -> list[str]:
    """One line of the table; ``peak`` in FLOP/s."""
    return [
        measured.model,
        measured.work,
        f"{1e3 * measured.seconds:,.1f}",
        f"{measured.images_per_second:,.0f}",
        f"{measured.flops / 1e9:,.1f}",
        f"{100 * measured.flops / peak:.0f} %",
        _megabytes(measured.step_bytes),
        _megabytes(measured.total_bytes),
    ]


# ---- the ladder --------------------------------------------------------------------------------------------------

LADDER_HEADER = ("way", "ms", "GFLOP/s", "of peak", "extra MB", "why")


def _ladder(args: argparse.Namespace, here: Machine) -> None:
    from ..bench.ladder import Problem, climb

    default = Problem()
    problem = Problem(args.batch, args.channels or default.channels, args.size or default.size)
    rungs = climb(problem, here.threads, args.seconds / 2)
    heading = (
        f"3x3 convolution, {problem.channels} -> {problem.channels} channels, {problem.size} x {problem.size} pixels, "
        f"batch {problem.batch}: {problem.multiply_adds / 1e9:.3f}e9 multiply-adds in float32"
    )
    cells = [LADDER_HEADER, *(ladder_cells(rung, problem, here.peak) for rung in rungs)]
    print(fill(heading), *table(cells, "<>>>><"), sep="\n")
    print("", "extra MB: the most memory while it runs, beyond images, filters and result", sep="\n")


def ladder_cells(rung: Rung, problem: Problem, peak: float) -> list[str]:
    """One line of the table; ``peak`` in FLOP/s, which says nothing about a GPU."""
    if rung.seconds is None:
        return [rung.name, "-", "-", "-", "-", rung.why]
    flops = 2 * problem.multiply_adds / rung.seconds
    share = "-" if rung.name == "GPU" else f"{100 * flops / peak:.{0 if flops > 0.01 * peak else 3}f} %"
    rate = f"{flops / 1e9:,.{1 if flops > 1e9 else 3}f}"
    return [rung.name, f"{1e3 * rung.seconds:,.1f}", rate, share, _megabytes(rung.extra_bytes), rung.why]


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / MEGABYTE:,.1f}"
