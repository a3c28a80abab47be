"""The ``minicnn`` command with one more model, small enough that a test can train it: ``tinynet``.

    python -m tests.library.support.tiny_training ARGUMENTS OF MINICNN ...
    python -m tests.library.support.tiny_training --kill-everywhere FOLDER STRIDE ARGUMENTS OF MINICNN TRAIN ...

The second form starts a run again and again, in ``FOLDER/1``, ``FOLDER/2``, ... Run k kills itself (SIGKILL) at step
``k * STRIDE`` of writing its files and is then resumed, until there is a run that is over before its step.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import zipfile
from typing import Any

from minicnn import nn
from minicnn.cli import main
from minicnn.data import digits
from minicnn.models import Paper, list_models, register


def register_tinynet() -> None:
    """Enter ``tinynet`` in the list of models, once."""
    if "tinynet" in list_models():
        return

    @register(Paper("Tests", "minicnn", 2025, "", lecture=""), input_size=8)
    def tinynet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
        """A network with batch norm and dropout that learns digits in a moment."""
        return nn.Sequential(
            nn.Conv2d(in_channels, 4, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(64, num_classes),
        )


def register_smallnet() -> None:
    """Enter ``smallnet`` in the list of models, once."""
    if "smallnet" in list_models():
        return

    @register(Paper("Tests", "minicnn", 2025, "", lecture=""), input_size=8)
    def smallnet(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
        """Learns the digits so well, in a few seconds, that it reads those of others too."""
        return nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(512, num_classes),
        )  # fmt: skip


class Killer:
    """Counts the steps in which a training writes files, and kills the process at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.kill_at = kill_at
        self.steps = 0

    def tick(self) -> None:
        """One step more, about to be done."""
        self.steps += 1
        if self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Watch opens for writing, renames, flushes to the disk, and each array that goes into an archive."""
        fsync, add_member = os.fsync, zipfile.ZipFile.open

        def audit(event: str, args: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event == "os.rename":
                self.tick()

        def watched_fsync(handle: int) -> None:
            self.tick()
            fsync(handle)

        def watched_member(archive: zipfile.ZipFile, name: Any, mode: str = "r", **options: Any) -> Any:
            if mode == "w":
                self.tick()
            return add_member(archive, name, mode, **options)

        sys.addaudithook(audit)
        os.fsync = watched_fsync
        zipfile.ZipFile.open = watched_member  # type: ignore[method-assign]


def forked(arguments: list[str], kill_at: int | None = None) -> int:
    """Run the command in a copy of this process; its exit status, -9 if it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        Killer(kill_at).install()
        os._exit(main(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_everywhere(folder: str, stride: int, arguments: list[str]) -> None:
    """Kill runs at every ``stride``-th step of writing, and resume them."""
    import matplotlib.backends.backend_agg  # noqa: F401  (imported once, here, and not in every fork)

    digits("train")
    for number in itertools.count(1):
        path = f"{folder}/{number}"
        status = forked(["train", *arguments, "--out", path], kill_at=number * stride)
        if status != -signal.SIGKILL:
            sys.exit(status)
        started = os.path.exists(f"{path}/config.json")
        status = forked(["train", "--resume", path, "--quiet"] if started else ["train", *arguments, "--out", path])
        if status != 0:
            sys.exit(f"run {number}, killed at step {number * stride}, could not be taken up: exit status {status}")


if __name__ == "__main__":
    register_tinynet()
    if sys.argv[1] == "--kill-everywhere":
        kill_everywhere(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    sys.exit(main(sys.argv[1:]))
