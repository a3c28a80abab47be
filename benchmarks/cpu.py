"""The lecture's networks on a CPU against PyTorch (both layouts), torch.jit and ONNX Runtime, in one run.

    python benchmarks/cpu.py                                         # everything: an hour and more
    python benchmarks/cpu.py --batch 8 --what training               # what most of the targets are about
    python benchmarks/cpu.py --models resnet18 --batch 8 --rounds 3 --json result.json
    python benchmarks/cpu.py --models resnet18 --batch 8 --against ../before --without torch-compile torch-jit

Every framework has a process of its own and they are timed in turn, all others asleep. A ratio is minicnn's time over
the peer's: below 1 minicnn is faster. minicnn is compiled by ``minicnn.compile``; in training "eager" stands beside it.
In training the peer is the faster of PyTorch's two layouts, in inference ONNX Runtime; ``torch.compile`` stands beside
them. Numbers in brackets are quartiles over the rounds. The targets that the project has set itself stand beside the
ratios, and in a table of their own at the end. "before" is another checkout's minicnn.

GFLOP/s count a multiply-add as two operations and a training step as three forward passes; "of peak" is their share of
what the same threads do at most, measured. "step MB" is the most memory that a step needs beyond framework, network,
optimiser and images, "total MB" that of the whole process: minicnn's, and the peer's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from frameworks import (
    FRAMEWORKS,
    OURS,
    Work,
    Worker,
    WorkerError,
    apart,
    onnx_file,
    prepare,
    rehearse,
    roof,
    set_threads,
    taking_part,
)

# Every process that is started runs this file's imports again: minicnn is imported by functions, not here.

CIFAR = "resnet20"
MODELS = (
    "resnet18", "resnet50", "vgg16", "googlenet", "densenet121", "efficientnet_b0", "seresnet50", "alexnet", CIFAR,
)  # fmt: skip
WHAT = ("inference", "training")

# At most this ratio of times: training against the faster PyTorch, inference against ONNX Runtime.
COLUMNS = (("training", 8), ("training", 1), ("inference", 8), ("inference", 1))  # 8: 128 of the small images
TARGETS: dict[str, tuple[float | None, ...]] = {
    **dict.fromkeys(("resnet18", "vgg16"), (0.70, 1.0, 0.80, 0.95)),
    **dict.fromkeys(("resnet50", "seresnet50", "googlenet", "alexnet"), (0.80, 1.0, 0.95, 1.0)),
    "densenet121": (0.90, 1.0, 1.0, 1.1),
    "efficientnet_b0": (0.85, 1.1, 1.2, 1.6),
    CIFAR: (0.75, None, 0.85, None),
}
EAGER_TARGET = 1.15  # of PyTorch's default layout, for the ResNets
RESNETS = ("resnet18", "resnet50", CIFAR)
MEMORY_TARGETS = {"training": 0.8, "inference": 3.0}  # of the peer's memory of a step

PAUSE = 0.03  # seconds before a measurement, in which threads that wait for more work give up and sleep
BURST = 0.3  # seconds that a measurement lasts at least, and
MOST_STEPS = 20  # the most steps in it
FOREIGN = 0.06  # of a core: a round with more work of other processes is done again
TRIES = 4  # of a round
DISTURBED = 0.1  # of a core, on average: the ratio says nothing about the target
AGREEMENT = 1e-3  # of the largest logit
DROPOUT = ("vgg16", "googlenet", "efficientnet_b0", "alexnet")  # their losses differ: each framework draws its own
ROOM = 1.2  # a training step takes about so many times its activations


@dataclass
class Times:
    """One framework in one setting: seconds in each round, and bytes."""

    seconds: list[float] = field(default_factory=list)
    step_bytes: int | None = None
    total_bytes: int | None = None

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.seconds)


@dataclass
class Result:
    """One row of the table."""

    model: str
    batch: int
    work: str
    flops: float
    times: dict[str, Times]
    foreign: float | None
    notes: list[str]

    @property
    def ours(self) -> str:
        """minicnn compiled, or eager where that does not work."""
        return "minicnn" if "minicnn" in self.times else "minicnn-eager"

    @property
    def pytorch(self) -> str | None:
        """The faster of PyTorch's two layouts."""
        eager = [name for name in ("torch", "torch-cl") if name in self.times]
        return min(eager, key=lambda name: self.times[name].median, default=None)

    @property
    def peer(self) -> str | None:
        """Whom the target is about."""
        if self.work == "training":
            return self.pytorch
        return "onnxruntime" if "onnxruntime" in self.times else None

    @property
    def target(self) -> float | None:
        """The most that the ratio to the peer should be."""
        return targets_of(self.model).get((self.work, self.batch))


# ---- measuring ---------------------------------------------------------------------------------------------------


class Disagreement(Exception):
    """Two frameworks compute different things: there is nothing to compare."""


def measure(work: Work, rounds: int, notes: list[str], without: Sequence[str] = ()) -> Result:
    """All frameworks in one setting, in turn, but for those ``without``. A peer that fails is left out and noted.

    Raises WorkerError where minicnn fails (in training: eager), Disagreement where a peer computes something else.
    """
    workers: dict[str, Worker] = {}
    times: dict[str, Times] = {}
    first: Outputs | None = None
    try:
        for name in taking_part(work):
            if name in without:
                continue
            try:
                workers[name] = Worker(FRAMEWORKS[name].title, FRAMEWORKS[name].build, work)
                outputs, times[name] = warm(workers[name])
            except WorkerError as error:
                if name == "minicnn-eager" or (name == "minicnn" and not work.training):
                    raise
                notes.append(f"left out: {error}")
                if name in workers:
                    workers.pop(name).stop()
                continue
            first = first or outputs
            agree(FRAMEWORKS[name].title, outputs, first, losses=work.training and work.model not in DROPOUT)
        foreign = time_in_turn(workers, times, rounds)
    finally:
        for worker in workers.values():
            worker.stop()
    return Result(work.model, work.batch, work.name, operations(work), times, foreign, notes)


class Outputs(NamedTuple):
    """What a framework computes with the weights it was given: logits in evaluation, the loss of the first step."""

    logits: np.ndarray
    loss: Any


def warm(worker: Worker) -> tuple[Outputs, Times]:
    """Bring a framework into its steady state, and see what memory a step takes there."""
    from minicnn.bench.measuring import forget_peak, peak_bytes, resident_bytes

    built = resident_bytes(worker.pid)
    outputs = Outputs(worker.ask("logits"), worker.ask("loss"))
    worker.ask("time", 2)
    known = forget_peak(worker.pid)
    worker.ask("time", 2)
    peak = peak_bytes(worker.pid) if known else None
    return outputs, Times([], None if peak is None or built is None else max(0, peak - built), peak)


def agree(name: str, outputs: Outputs, expected: Outputs, losses: bool) -> None:
    """Raise Disagreement unless both computed the same, up to rounding; ``losses``: those too."""
    for what in Outputs._fields if losses else ("logits",):
        got, wanted = np.asarray(getattr(outputs, what)), np.asarray(getattr(expected, what))
        error = float(np.abs(got - wanted).max() / np.abs(wanted).max()) if got.shape == wanted.shape else float("inf")
        if not error <= AGREEMENT:  # NaN neither
            raise Disagreement(f"{name} and minicnn disagree: relative difference of the {what} {error:.1e}")


def time_in_turn(workers: dict[str, Worker], times: dict[str, Times], rounds: int) -> float | None:
    """Fill in the seconds of each round; the cores that processes other than the one measured were using meanwhile."""
    repeats = {
        name: min(MOST_STEPS, math.ceil(BURST / statistics.median(worker.ask("time", 3))))
        for name, worker in workers.items()
    }
    spans: list[Span] = []
    for number in range(rounds):
        found, seen = quiet_round(workers, repeats, number)
        spans += seen
        for name, seconds in found.items():
            times[name].seconds.append(seconds)
    return foreign(spans)


def quiet_round(
    workers: dict[str, Worker], repeats: dict[str, int], number: int
) -> tuple[dict[str, float], list[Span]]:
    """The quietest of some tries of a round; the first that is quiet enough ends them."""
    tries = []
    for _ in range(TRIES):
        tries.append(one_round(workers, repeats, number))
        if (foreign(tries[-1][1]) or 0) <= FOREIGN:
            break
    return min(tries, key=lambda attempt: foreign(attempt[1]) or 0)


def one_round(workers: dict[str, Worker], repeats: dict[str, int], number: int) -> tuple[dict[str, float], list[Span]]:
    """Everybody's seconds for a step, and what the processors did meanwhile. Each round begins with another one."""
    from minicnn.bench.measuring import usage

    names = list(workers)
    seconds, spans = {}, []
    for name in names[number % len(names) :] + names[: number % len(names)]:
        worker = workers[name]
        time.sleep(PAUSE)
        before = usage([os.getpid(), worker.pid])
        seconds[name] = statistics.median(worker.ask("time", repeats[name]))
        spans.append((before, usage([os.getpid(), worker.pid])))
    return seconds, spans


Span = tuple[Any, Any]  # what the processors had done before and after: minicnn.bench.measuring.Usage


def foreign(spans: list[Span]) -> float | None:
    """Cores that others used, on average."""
    from minicnn.bench.measuring import foreign_cores

    return foreign_cores(spans)


def operations(work: Work) -> float:
    """FLOP of one step, counted as ``minicnn.bench.networks`` says."""
    from minicnn.bench.networks import FORWARD_PASSES
    from minicnn.models import create_model
    from minicnn.nn.summary import multiply_adds

    model = create_model(work.model, variant="torchvision", init=False)
    return 2.0 * FORWARD_PASSES[work.name] * work.batch * multiply_adds(model, (3, work.size, work.size))


# ---- what is measured --------------------------------------------------------------------------------------------


def settings(args: argparse.Namespace, folder: str) -> Iterator[Work]:
    """Every network in every batch size and kind of work."""
    from minicnn.models import model_entry

    for model in args.models:
        entry = model_entry(model)
        weights = str(Path(folder) / f"{model}.pth")
        for batch in [args.cifar_batch] if entry.input_size == 32 else args.batch:
            for what in args.what:
                training = what == "training"
                before = args.against
                yield Work(model, batch, entry.input_size, entry.num_classes, training, args.threads, weights, before)


def room(work: Work) -> str:
    """Why there is too little memory for this, or ""."""
    from minicnn import summary
    from minicnn.bench.measuring import available_bytes
    from minicnn.models import create_model

    table = summary(create_model(work.model, variant="torchvision", init=False), (3, work.size, work.size))
    activations = table.activation_bytes * work.batch * (ROOM if work.training else ROOM / 4)
    needed = len(taking_part(work)) * (activations + 4 * 4 * table.parameters)
    available = available_bytes()
    if available is None or needed < available:
        return ""
    return f"left out: takes about {needed / 1e9:.0f} GB and {available / 1e9:.0f} GB are free"


def run(work: Work, rounds: int, without: Sequence[str] = ()) -> Result:
    """Prepare one setting and measure it, but for the frameworks ``without``."""
    notes: list[str] = []
    without = list(without)
    if set(taking_part(work)) <= set(OURS):
        notes.append("minicnn alone: the others are not installed")
        work = work._replace(weights=None)
    else:
        missing = apart(prepare, work)
        if missing:
            notes.append(f"ONNX Runtime is left out: {missing}")
            without.append("onnxruntime")
    apart(rehearse, work._replace(before=None))
    if work.before is not None:
        apart(rehearse, work)
    try:
        return measure(work, rounds, notes, without)
    finally:
        if work.weights is not None:
            onnx_file(work).unlink(missing_ok=True)  # up to half a gigabyte


# ---- the table ---------------------------------------------------------------------------------------------------

HEADER = (
    "network", "batch", "work", *(framework.title for framework in FRAMEWORKS.values()), "/PyTorch", "/ONNX Rt.",
    "/t.compile", "/before", "eager/PyTorch", "GFLOP/s", "of peak", "step MB", "step ratio", "total MB", "foreign",
)  # fmt: skip
WIDTHS = (15, 5, 9, 8, 8, 8, 8, 12, 9, 9, 8, 32, 32, 16, 16, 32, 7, 7, 13, 19, 13, 7)


def line(cells: Sequence[str], widths: Sequence[int] = WIDTHS) -> str:
    """One row, in Markdown."""
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def row(result: Result, peak: float) -> list[str]:
    """The cells of one setting; ``peak`` in FLOP/s."""
    rate = result.flops / result.times[result.ours].median
    return [
        result.model,
        str(result.batch),
        result.work,
        *(milliseconds(result.times.get(name)) for name in FRAMEWORKS),
        comparison(result, result.pytorch),
        *(comparison(result, name) for name in ("onnxruntime", "torch-compile", "before")),
        eager(result),
        f"{rate / 1e9:.1f}",
        f"{100 * rate / peak:.0f} %",
        *memory(result),
        "-" if result.foreign is None else f"{100 * result.foreign:.0f} %",
    ]


def milliseconds(times: Times | None) -> str:
    """The median, or a dash."""
    return "-" if times is None else f"{1e3 * times.median:.1f}"


def ratios(ours: Times, theirs: Times) -> Any:
    """Quartiles of the ratios of each round."""
    from minicnn.bench.measuring import quartiles

    return quartiles(mine / other for mine, other in zip(ours.seconds, theirs.seconds, strict=True))


def comparison(result: Result, peer: str | None) -> str:
    """``"0.83 (0.82-0.84) <= 0.85 met"``: with the target where it is about this peer."""
    return compared(result, result.ours, peer, result.target if peer == result.peer else None)


def eager(result: Result) -> str:
    """minicnn without its compiler against PyTorch without another layout."""
    target = EAGER_TARGET if result.model in RESNETS else None
    return compared(result, "minicnn-eager", "torch", target)


def compared(result: Result, ours: str, peer: str | None, target: float | None) -> str:
    """The ratio of two frameworks' times, and what the target says of it."""
    if peer not in result.times or ours not in result.times:
        return "-"
    low, ratio, high = ratios(result.times[ours], result.times[peer])
    text = f"{ratio:.2f} ({low:.2f}-{high:.2f})"
    return text if target is None else f"{text} {verdict(ratio, target, result.foreign)}"


def verdict(ratio: float, target: float, foreign: float | None = None) -> str:
    """The target, and whether the ratio as it is printed keeps to it; "?" if others disturbed too much."""
    if (foreign or 0) > DISTURBED:
        return f"<= {target:.2f} ?"
    return f"<= {target:.2f} {'met' if round(ratio, 2) <= target else 'MISSED'}"


def memory(result: Result) -> tuple[str, str, str]:
    """Bytes of a step, minicnn's and the peer's, their ratio with its target, and the whole processes'."""
    ours, theirs = result.times[result.ours], result.times.get(result.peer or result.pytorch or "", Times())
    ratio = "-"
    if ours.step_bytes is not None and theirs.step_bytes:
        number = ours.step_bytes / theirs.step_bytes
        ratio = f"{number:.2f}" + (f" {verdict(number, MEMORY_TARGETS[result.work])}" if result.peer else "")
    return (
        f"{megabytes(ours.step_bytes)} / {megabytes(theirs.step_bytes)}",
        ratio,
        f"{megabytes(ours.total_bytes)} / {megabytes(theirs.total_bytes)}",
    )


def memory_table(results: Sequence[Result]) -> list[str]:
    """What a step needs, and in brackets the whole process, of every framework."""
    titles = [framework.title for framework in FRAMEWORKS.values()]
    widths = (15, 5, 9, *[13] * len(titles))
    lines = [line(("MB", "batch", "work", *titles), widths), line(["-" * width for width in widths], widths)]
    for result in results:
        found = [result.times.get(name, Times()) for name in FRAMEWORKS]
        cells = [f"{megabytes(times.step_bytes)} ({megabytes(times.total_bytes)})" for times in found]
        lines.append(line((result.model, str(result.batch), result.work, *cells), widths))
    return lines


def targets_of(model: str) -> dict[tuple[str, int], float | None]:
    """A network's targets by work and batch, in the order of ``COLUMNS``."""
    settings = [(work, 128 if model == CIFAR and batch > 1 else batch) for work, batch in COLUMNS]
    return dict(zip(settings, TARGETS.get(model, [None] * len(COLUMNS)), strict=True))


def targets_table(results: Sequence[Result]) -> list[str]:
    """What the project wants to reach: each network's median ratio to its peer, and what its target says of it."""
    known = {(result.model, result.work, result.batch): result for result in results}
    widths = (15, *[20] * len(COLUMNS))
    titles = ("to reach", *(f"{work}, batch {batch}" for work, batch in COLUMNS))
    lines = [line(titles, widths), line(["-" * width for width in widths], widths)]
    for model in dict.fromkeys(result.model for result in results):
        cells = [reached(known.get((model, *setting)), target) for setting, target in targets_of(model).items()]
        lines.append(line((model, *cells), widths))
    return lines


def reached(result: Result | None, target: float | None) -> str:
    """``"0.75 <= 0.70 MISSED"``, or the target alone where nothing was measured, or a dash where there is none."""
    if target is None:
        return "-"
    if result is None or result.peer is None:
        return f"<= {target:.2f}"
    ratio = ratios(result.times[result.ours], result.times[result.peer]).median
    return f"{ratio:.2f} {verdict(ratio, target, result.foreign)}"


def megabytes(count: int | None) -> str:
    """Of 1e6 bytes."""
    return "-" if count is None else f"{count / 1e6:.0f}"


def as_json(results: Sequence[Result], machine: dict[str, Any], later: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that was measured, and what was made of it; the machine as it was before and, if known, after."""
    rows = []
    for result in results:
        entry = asdict(result) | {
            "ours": result.ours, "peer": result.peer, "pytorch": result.pytorch, "target": result.target
        }  # fmt: skip
        ours = result.times[result.ours]
        entry["ratios"] = {
            name: ratios(ours, times)._asdict() for name, times in result.times.items() if name != result.ours
        }
        rows.append(entry)
    return {"machine": machine, "machine_at_the_end": later, "peers": versions(), "results": rows}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write the whole file or nothing."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)


def versions() -> str:
    """Of the peers that are installed."""
    found = []
    for name in ("torch", "torchvision", "timm", "onnxruntime"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def footer(results: Sequence[Result], machine: dict[str, Any], later: dict[str, Any]) -> list[str]:
    """What was measured on, how, and how much else was going on; the machine as it was before and after."""
    loads = [100 * result.foreign for result in results if result.foreign is not None]
    load = "not known"
    if loads:
        load = f"{statistics.mean(loads):.0f} % of a core on average, {max(loads):.0f} % at most"
    return [
        "times in ms; /: minicnn's time over the peer's, median and quartiles; the memory is minicnn's / the peer's",
        f"machine: {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads each, "
        f"kernels for {machine['target']}",
        f"measured peak: {machine['peak'] / 1e9:.0f} GFLOP/s, memory {machine['bandwidth'] / 1e9:.0f} GB/s; "
        f"at the end {later['peak'] / 1e9:.0f} GFLOP/s, {later['bandwidth'] / 1e9:.0f} GB/s",
        f"versions: {machine['versions']}; {versions()}",
        f"other processes while measuring: {load}",
    ]


# ---- the command -------------------------------------------------------------------------------------------------


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for. Several names or numbers may have commas or spaces between them."""
    from minicnn.bench.machine import available_cores
    from minicnn.models import model_entry

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--batch", nargs="+", default=["8", "1", "32"], metavar="N", help="default: 8 1 32")
    parser.add_argument("--cifar-batch", type=int, default=128, metavar="N", help=f"of {CIFAR} (default: 128)")
    parser.add_argument("--what", nargs="+", default=WHAT, metavar="WORK", help=f"default: {' '.join(WHAT)}")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of measurements in turn (default: 7)")
    parser.add_argument("--threads", type=int, metavar="N", help="of each framework (default: one a core)")
    parser.add_argument("--against", metavar="FOLDER", help="another checkout, whose minicnn is measured besides")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help=f"some of {' '.join(FRAMEWORKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured, after every row")
    args = parser.parse_args(argv)
    try:
        args.models, args.what = separated(args.models), separated(args.what)
        args.batch = [int(number) for number in separated(args.batch)]
        for name in args.models:
            model_entry(name)
    except ValueError as error:
        parser.error(str(error))
    args.without = separated(args.without)
    if not set(args.without) <= set(FRAMEWORKS):
        parser.error(f"--without: expected some of {' '.join(FRAMEWORKS)}, got {' '.join(args.without)}")
    if args.against is not None:
        args.against = str(Path(args.against).resolve())
        if not (Path(args.against) / "minicnn" / "__init__.py").is_file():
            parser.error(f"--against: there is no minicnn in {args.against}")
    if not set(args.what) <= set(WHAT):
        parser.error(f"--what: expected {' or '.join(WHAT)}, got {' '.join(args.what)}")
    args.threads = available_cores() if args.threads is None else args.threads
    if min(args.rounds, args.cifar_batch, *args.batch, args.threads) < 1:
        parser.error("--rounds, --batch, --cifar-batch and --threads: expected 1 or more")
    return args


def separated(parts: Sequence[str]) -> list[str]:
    """``["a,b", "c"]`` as ``["a", "b", "c"]``."""
    return [name for part in parts for name in part.split(",") if name]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print a row as soon as it is there."""
    args = arguments(argv)
    set_threads(args.threads)
    machine = apart(roof, args.threads)
    results: list[Result] = []
    failed = False
    print(line(HEADER), line(["-" * width for width in WIDTHS]), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for work in settings(args, folder):
            label = f"{work.model}, batch {work.batch}, {work.name}"
            reason = room(work)
            if reason:
                print(f"{label}: {reason}", file=sys.stderr)
                continue
            try:
                results.append(run(work, args.rounds, args.without))
            except (Disagreement, WorkerError) as error:
                print(f"{label}: {error}", file=sys.stderr)
                failed = True
                continue
            for note in results[-1].notes:
                print(f"{label}: {note}", file=sys.stderr)
            print(line(row(results[-1], machine["peak"])), flush=True)
            if args.json:
                save(args.json, as_json(results, machine))
    later = apart(roof, args.threads)
    print("", *targets_table(results), "", *memory_table(results), "", *footer(results, machine, later), sep="\n")
    if args.json:
        save(args.json, as_json(results, machine, later))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
