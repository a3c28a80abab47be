"""A process of ``scaling.py``, started by ``mpiexec``: ``python scaling_worker.py ADDRESS SETTING``.

It connects to the address, says its rank and process number, and answers requests until the line is closed. In between
it sleeps: a rank that waited inside of MPI would take the core from the process that is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Client
from typing import Any

import numpy as np

import minicnn
from minicnn import distributed
from minicnn.bench.networks import images_and_labels
from minicnn.distributed import buckets, mpi
from minicnn.models import create_model, model_entry
from minicnn.models.googlenet import auxiliary_loss
from minicnn.optim import SGD

Clock = Callable[[], float]
MPI = ((mpi.MPICommunicator, "all_reduce"), (mpi.Work, "is_completed"), (mpi.Work, "wait"))
EXCHANGE = (*MPI, *((buckets.Bucket, name) for name in ("fill", "send", "receive")))  # copies, and calls MPI


def clock_of(setting: dict[str, Any]) -> Clock:
    """The time that passes, or that of the processor for this process, divided by its threads."""
    if setting["clock"] == "wall":
        return time.perf_counter
    return lambda: time.process_time() / setting["threads"]


class Stopwatch:
    """The seconds that this process has spent inside of some methods."""

    def __init__(self, clock: Clock, methods: Iterable[tuple[type, str]]) -> None:
        self.clock, self.seconds, self.running = clock, 0.0, False
        for owner, name in methods:
            setattr(owner, name, self.timed(getattr(owner, name)))

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time is added up; calls inside of each other count once."""

        def run(*args: Any) -> Any:
            if self.running:
                return function(*args)
            self.running, start = True, self.clock()
            try:
                return function(*args)
            finally:
                self.seconds += self.clock() - start
                self.running = False

        return run


class Trainer:
    """One network, and its steps."""

    def __init__(self, setting: dict[str, Any], clock: Clock, together: bool = False) -> None:
        self.clock = clock
        entry = model_entry(setting["model"])
        minicnn.manual_seed(0)
        self.model = create_model(setting["model"], variant="torchvision").train()
        self.images, self.labels = map(
            minicnn.tensor, images_and_labels(setting["batch"], setting["size"], entry.num_classes)
        )
        self.run: Any = minicnn.compile(self.model) if setting["way"] == "compiled" else self.model
        if together:
            self.run = distributed.DistributedDataParallel(self.run)
        self.optimizer = SGD(self.model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def step(self) -> tuple[float, float, float, float]:
        """One step of training: the moments at which forward begins, backward begins and ends, and the update ends."""
        self.optimizer.zero_grad()
        moments = [self.clock()]
        loss = auxiliary_loss(self.run(self.images), self.labels)
        moments.append(self.clock())
        loss.backward()
        moments.append(self.clock())
        self.optimizer.step()
        return (*moments, self.clock())


class Answers:
    """What the requests mean. All ranks get the same ones, in the same order."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self.setting, self.clock = setting, clock_of(setting)
        self.stopwatches = Stopwatch(self.clock, MPI), Stopwatch(self.clock, EXCHANGE)
        self.trainers: dict[bool, Trainer] = {}

    def trainer(self, together: bool) -> Trainer:
        """Built when it is first needed."""
        if together not in self.trainers:
            self.trainers[together] = Trainer(self.setting, self.clock, together)
        return self.trainers[together]

    def alone(self, steps: int) -> list[tuple[float, ...]]:
        """As ``together``, without communication."""
        return self.times(self.trainer(False), steps)

    def together(self, steps: int) -> list[tuple[float, ...]]:
        """For each step of data parallel training its seconds; those of them in MPI; those with copying for it."""
        return self.times(self.trainer(True), steps)

    def times(self, trainer: Trainer, steps: int) -> list[tuple[float, ...]]:
        """The ranks begin together."""
        distributed.barrier()
        found = []
        for _ in range(steps):
            before = [stopwatch.seconds for stopwatch in self.stopwatches]
            begin, *_, end = trainer.step()
            spent = (watch.seconds - start for watch, start in zip(self.stopwatches, before, strict=True))
            found.append((end - begin, *spent))
        return found

    def profile(self, steps: int) -> tuple[float, list[tuple[int, float]], float]:
        """Medians of the seconds of forward, of the moments at which gradients are ready, and of the update."""
        trainer = Trainer(self.setting, self.clock)
        parameters = dict(trainer.model.named_parameters())
        moments: dict[str, float] = {}
        for name, parameter in parameters.items():

            def arrive(_: Any, name: str = name) -> None:
                moments.setdefault(name, self.clock())

            parameter.register_post_accumulate_grad_hook(arrive)
            parameter.announce = arrive  # a compiled plan says it earlier
        trainer.step()
        distributed.barrier()
        found, ready = [], []
        for _ in range(steps):
            moments.clear()
            found.append(trainer.step())
            ready.append([moments[name] - found[-1][1] for name in parameters])
        forward, update = (statistics.median(step[i + 1] - step[i] for step in found) for i in (0, 2))
        sizes = [parameter.array.nbytes for parameter in parameters.values()]
        arrivals = sorted(zip(np.median(ready, axis=0).tolist(), sizes, strict=True))
        return forward, [(size, moment) for moment, size in arrivals], update

    def all_reduce(self, size: int, repeats: int) -> float:
        """The median seconds of an all-reduce of ``size`` bytes of float32, as for a bucket."""
        array = np.ones(size // 4, np.float32)
        communicator = distributed.group.communicator()
        return self.median(lambda: communicator.all_reduce(array, "MAX").wait(), repeats)

    def ping_pong(self, size: int, repeats: int) -> float:
        """The median seconds of half a round trip of ``size`` bytes between ranks 0 and 1."""
        array = np.ones(size // 4, np.float32)
        comm, rank = distributed.group.communicator().comm, distributed.get_rank()

        def there_and_back() -> None:
            for sender in (0, 1):
                (comm.Send if rank == sender else comm.Recv)(array, 1 - rank)

        return self.median(there_and_back, repeats) / 2

    def median(self, run: Callable[[], object], repeats: int) -> float:
        """The median seconds of a call, which all ranks begin together."""
        found = []
        for _ in range(repeats + 1):
            distributed.barrier()
            start = self.clock()
            run()
            found.append(self.clock() - start)
        return statistics.median(found[1:])


def main() -> None:
    """Serve."""
    address, setting = sys.argv[1], json.loads(sys.argv[2])
    distributed.init_process_group()
    rank = distributed.get_rank()
    if distributed.get_world_size() > 1 and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
    answers = Answers(setting)
    with Client(address, "AF_UNIX") as line:
        line.send((rank, os.getpid()))
        while True:
            try:
                name, *arguments = line.recv()
            except EOFError:
                break
            line.send(getattr(answers, name)(*arguments))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
