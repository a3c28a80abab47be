"""Two processes of one core each against one process of two cores: ``python benchmarks/scaling.py``.

Both train on the same number of images in a step. The two processes average their gradients by
``minicnn.distributed.DistributedDataParallel`` on MPI. What MPI needs for messages of several sizes is measured, and
when the gradient of each parameter is ready: from that ``minicnn.distributed.simulation`` predicts the step of the two.
``scaling_worker.py`` is what runs in the processes, and docs/scaling.md explains the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WORKER = Path(__file__).with_name("scaling_worker.py")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
WAYS = ("compiled", "eager")
SIZES = tuple(2**power for power in range(2, 27, 3))  # bytes: 4 to 64 MiB
LARGE = 2**23  # bytes: from here on like buckets
TRIES, FOREIGN = 3, 0.06  # a round is measured again while others use more of a core than this


class GroupError(Exception):
    """A process ended, or failed."""


class Group:
    """Processes that ``mpiexec`` starts, and that sleep unless they are asked for something."""

    def __init__(self, ranks: int, threads: int, setting: dict[str, Any]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        address = str(Path(self.folder.name, "line"))
        environment = {**os.environ, **{name: str(threads) for name in THREAD_VARIABLES}}
        command = [
            mpiexec(),
            "-n",
            str(ranks),
            sys.executable,
            str(WORKER),
            address,
            json.dumps({**setting, "threads": threads}),
        ]
        with Listener(address, "AF_UNIX", backlog=ranks) as listener:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
            lines = [self._accept(listener) for _ in range(ranks)]
        known = sorted(((line.recv(), line) for line in lines), key=lambda pair: pair[0])
        self.pids = [pid for (_, pid), _ in known]
        self.lines: list[Connection] = [line for _, line in known]

    def _accept(self, listener: Listener) -> Connection:
        """The line of one more process."""
        listener._listener._socket.settimeout(0.2)  # type: ignore[attr-defined]
        while True:
            try:
                return listener.accept()
            except TimeoutError:
                if self.process.poll() is not None:
                    raise GroupError(f"mpiexec ended with status {self.process.returncode}") from None

    def ask(self, *request: Any) -> list[Any]:
        """The answers of all ranks, which work on the request at the same time."""
        try:
            for line in self.lines:
                line.send(request)
            answers = [line.recv() for line in self.lines]
        except (EOFError, ConnectionError) as error:
            raise GroupError("a process ended; it has said why") from error
        return answers

    def stop(self) -> None:
        """End the processes."""
        for line in getattr(self, "lines", ()):
            line.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()
        self.folder.cleanup()


def mpiexec() -> str:
    """The command that starts MPI processes: beside Python, where a wheel puts it, or on the path."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=folders)
    if found is None or importlib.util.find_spec("mpi4py") is None:
        sys.exit("this benchmark needs MPI: pip install mpi4py mpich")
    return found


# ---- figures -----------------------------------------------------------------------------------------------------


class Round(NamedTuple):
    """Medians of one round: seconds of a step, and of parts of it. ``foreign``: cores that others used."""

    one: float  # a process with two threads
    apart: float  # two processes that do not communicate
    two: float  # two processes that do
    inside: float  # of these, inside MPI
    exchange: float  # the same, with copying gradients into buckets and back
    foreign: float


class Profile(NamedTuple):
    """A step of one process of one core: seconds forward, when each gradient is ready after that, and the update."""

    forward: float
    gradients: list[tuple[int, float]]  # bytes, seconds since the backward pass began; in this order
    update: float

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.forward + self.gradients[-1][1] + self.update


def link_of(sizes: Sequence[int], seconds: Sequence[float]) -> Any:
    """The link of a ring of two with these all-reduces: the latency of the shortest, the bandwidth of large ones."""
    from minicnn.distributed.simulation import Link

    latency = seconds[0] / 2  # 2 (n - 1) messages
    rates = [size / (time - seconds[0]) for size, time in zip(sizes, seconds, strict=True) if size >= LARGE]
    return Link(latency, statistics.median(rates))


def predict(profile: Profile, link: Any, overlap: bool) -> float:
    """The seconds of a step of two workers with this profile, as simulated."""
    from minicnn.distributed.simulation import Layer, simulate_step

    sizes, ready = zip(*profile.gradients, strict=True)
    seconds = np.diff(ready, prepend=0.0).tolist()
    layers = [Layer("", 0.0, took, size) for size, took in zip(sizes, seconds, strict=True)]
    layers.append(Layer("forward", profile.forward, 0.0, 0))
    return simulate_step(layers[::-1], 2, link, overlap=overlap).seconds + profile.update


def one_round(one: Group, two: Group, number: int, steps: int) -> Round:
    """Time all three in turn; each round begins with another one."""
    from minicnn.bench.measuring import foreign_cores, usage

    requests = [("one", one, "alone"), ("apart", two, "alone"), ("two", two, "together")]
    seconds, spans = {}, []
    for at in range(len(requests)):
        name, group, request = requests[(at + number) % len(requests)]
        before = usage(group.pids)
        answers = np.array(group.ask(request, steps))  # ranks x steps x (seconds, parts of them)
        spans.append((before, usage(group.pids)))
        seconds[name] = np.median(answers, axis=1).max(axis=0)  # the slower rank's
    return Round(seconds["one"][0], seconds["apart"][0], *seconds["two"], foreign_cores(spans) or 0.0)


def quiet_round(*args: Any) -> Round:
    """The quietest of some tries of a round; the first that is quiet enough ends them."""
    tries: list[Round] = []
    while len(tries) < TRIES and all(found.foreign > FOREIGN for found in tries):
        tries.append(one_round(*args))
    return min(tries, key=lambda found: found.foreign)


def measure(setting: dict[str, Any], rounds: int, steps: int) -> tuple[list[Round], Profile]:
    """Time both groups in turn, and see when the gradients of a process of one core are ready."""
    groups: list[Group] = []
    try:
        groups.append(Group(1, 2, {**setting, "batch": 2 * setting["batch"]}))
        groups.append(Group(2, 1, setting))
        one, two = groups
        for group, request in ((one, "alone"), (two, "alone"), (two, "together")):
            group.ask(request, 3)  # compiles, and takes the memory that it needs
        found = [quiet_round(one, two, number, steps) for number in range(rounds)]
        profiles = [Profile(*profile) for profile in two.ask("profile", steps)]
        return found, max(profiles, key=lambda profile: profile.seconds)
    finally:
        for group in groups:
            group.stop()


def measure_link(clock: str, rounds: int) -> tuple[Any, list[float], list[float]]:
    """The link between two processes, and the medians of all-reduces and half ping-pongs of ``SIZES`` bytes."""
    group = Group(2, 1, {"clock": clock})
    try:
        reduced = [max(group.ask("all_reduce", size, rounds)) for size in SIZES]
        sent = [max(group.ask("ping_pong", size, rounds)) for size in SIZES]
    finally:
        group.stop()
    return link_of(SIZES, reduced), reduced, sent


# ---- the tables --------------------------------------------------------------------------------------------------

HEADER = (
    "network", "way", "1 process, im/s", "2 processes, im/s", "ratio", "ratio without exchange", "step, ms",
    "without exchange", "MPI", "MPI and copying", "predicted", "predicted, overlapping", "foreign",
)  # fmt: skip


def row(setting: dict[str, Any], rounds: list[Round], profile: Profile, link: Any) -> list[str]:
    """The cells of one network."""
    one, apart, two, inside, exchange, foreign = (statistics.median(numbers) for numbers in zip(*rounds, strict=True))
    images = 2 * setting["batch"]
    return [
        setting["model"],
        setting["way"],
        f"{images / one:.1f}",
        f"{images / two:.1f}",
        spread(found.one / found.two for found in rounds),
        spread(found.one / found.apart for found in rounds),
        f"{1e3 * two:.0f}",
        f"{1e3 * apart:.0f}",
        *(f"{1e3 * part:.0f} ({100 * part / two:.0f} %)" for part in (inside, exchange)),
        *(f"{1e3 * predict(profile, link, overlap):.0f}" for overlap in (False, True)),
        f"{100 * foreign:.0f} %",
    ]


def spread(ratios: Iterable[float]) -> str:
    """Median and quartiles."""
    from minicnn.bench.measuring import quartiles

    low, median, high = quartiles(ratios)
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def markdown(rows: list[list[str]]) -> list[str]:
    """The lines of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(r, widths, strict=True)) + " |" for r in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--models", default="resnet18,resnet50", metavar="NAMES", help="default: resnet18,resnet50")
    parser.add_argument("--size", type=int, default=64, metavar="N", help="side of an image (default: 64)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="images of each of the two (default: 8)")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="in which all are timed in turn (default: 5)"
    )
    parser.add_argument("--steps", type=int, default=7, metavar="N", help="of which the median counts (default: 7)")
    parser.add_argument("--way", choices=WAYS, action="append", help="compiled or eager (default: both)")
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="processor: count processor seconds, in which other programs' work is not; nor is waiting (default: wall)",
    )
    args = parser.parse_args(given)
    if min(args.size, args.batch, args.rounds, args.steps) < 1:
        parser.error("expected numbers of 1 or more")
    from minicnn.models import list_models

    args.models = args.models.split(",")
    if wrong := sorted(set(args.models) - set(list_models())):
        parser.error(f"no model is called {wrong[0]!r}")
    return args


def main() -> None:
    """Measure and print."""
    args = arguments()
    try:
        link, reduced, sent = measure_link(args.clock, args.rounds * 10)
        print("bytes, all-reduce of 2 processes in microseconds, one message of a ping-pong in microseconds:")
        for size, seconds, single in zip(SIZES, reduced, sent, strict=True):
            print(f"{size:>10,} {1e6 * seconds:10.1f} {1e6 * single:10.1f}")
        print(f"the link: latency {1e6 * link.latency:.1f} us, bandwidth {link.bandwidth / 1e9:.2f} GB/s", flush=True)
        rows = [list(HEADER)]
        for model in args.models:
            for way in args.way or WAYS:
                setting = {"model": model, "size": args.size, "batch": args.batch, "way": way, "clock": args.clock}
                found, profile = measure(setting, args.rounds, args.steps)
                rows.append(row(setting, found, profile, link))
                print(*(f"{title}: {cell}" for title, cell in zip(HEADER, rows[-1], strict=True)), sep="; ", flush=True)
    except GroupError as error:
        sys.exit(f"scaling.py: {error}")
    print("", *markdown(rows), sep="\n")
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    notes = (
        f"ratio: time of 1 process / time of 2, median and quartiles of {args.rounds} rounds; above 1, 2 are faster",
        "without exchange: two processes that do not communicate, and so train two networks",
        "MPI: part of the step of two, with waiting for the other one; copying: into the buckets and back",
        "predicted: the simulated step, with communication after the backward pass, or overlapping",
        f"foreign: cores that others used, median of the rounds; load of the machine at the end {load}",
    )
    print("", *notes, sep="\n")


if __name__ == "__main__":
    main()
