"""``minicnn train`` on several processes, in which one has an accident.

    mpiexec -n N python -m tests.library.distributed.accidents PHASE RANK HOW ARGUMENTS OF MINICNN ...

PHASE is one of ``PHASES``, at the second time that the rank comes to it (or the first, if it comes only once); HOW is
``raise``, ``exit`` or ``kill`` (SIGKILL). With the phase ``none`` there is no accident. ``differ`` gives the rank
another version of minicnn, ``fewer`` fewer images.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from functools import partial
from typing import Any

import minicnn
from minicnn import cli, nn
from minicnn.data import Subset, open_data
from minicnn.models import Paper, list_models, register
from minicnn.training import job
from tests.library.support.tiny_training import register_tinynet

# Where it happens: a module or class, what of it is called there, and at which time.
PHASES = {
    "start": ("minicnn.training.ranks", "share_cores", 1),
    "opening": ("minicnn.training.job", "make_optimizer", 1),
    "reading": ("minicnn.training.loop:Trainer", "load_state_dict", 1),
    "forward": ("minicnn.training.loop:Trainer", "forward", 7),
    "sum": ("minicnn.distributed.buckets:Bucket", "send", 7),
    "wait": ("minicnn.distributed.buckets:Bucket", "receive", 7),
    "norm": ("minicnn.training.loop", "agree_on_buffers", 2),
    "validation": ("minicnn.training.loop:Trainer", "evaluate", 2),
    "checkpoint": ("minicnn.serialization.atomic", "_flush_to_disk", 9),
    "epoch": ("minicnn.training.loop", "seed_epoch", 2),
    "result": ("minicnn.training.job", "prefixed", 1),
}


def register_plainnet() -> None:
    """Enter ``plainnet``, without batch norm and dropout, and ``normnet``, with batch norm, in the list of models."""
    if "plainnet" in list_models():
        return

    @register(Paper("Tests", "minicnn", 2026, "", lecture=""), input_size=8)
    def plainnet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, num_classes)
        )

    @register(Paper("Tests", "minicnn", 2026, "", lecture=""), input_size=8)
    def normnet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
            nn.Linear(64, num_classes),
        )  # fmt: skip


def plant(phase: str, how: str) -> None:
    """Let it happen in this process."""
    place, name, time = PHASES[phase]
    module, _, kind = place.partition(":")
    owner: Any = __import__(module, fromlist=["_"])
    owner = getattr(owner, kind) if kind else owner
    original, calls = getattr(owner, name), 0

    def accident(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == time:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise SystemExit(3) if how == "exit" else RuntimeError("planted")
        return original(*args, **options)

    setattr(owner, name, accident)


def main() -> int:
    phase, rank, how, *arguments = sys.argv[1:]
    register_tinynet()
    register_plainnet()
    job.open_data = partial(open_data, augment=False)  # type: ignore[attr-defined]  # which is other on each rank
    if os.environ.get("PMI_RANK") == rank:
        if phase == "fewer":
            whole = open_data("digits", augment=False)
            fewer = dataclasses.replace(whole, train=Subset(whole.train, range(1000)))
            job.open_data = lambda *_, **__: fewer  # type: ignore[attr-defined]
        elif phase == "differ":
            minicnn.__version__ = "0.0.1"
        elif phase != "none":
            plant(phase, how)
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
