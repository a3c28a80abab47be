"""The ``minicnn`` command with one more model, small enough that a test can train it: ``tinynet``.

As a script it takes the command line of ``minicnn``. With ``MINICNN_KILL_AT=N`` in the environment the process
kills itself (SIGKILL, as a power cut would) at the N-th step of writing a file; ``COUNT`` as N prints how many there are.
"""

from __future__ import annotations

import os
import signal
import sys
import zipfile
from typing import Any

from minicnn import nn
from minicnn.models import Paper, list_models, register


def register_tinynet() -> None:
    """Enter ``tinynet`` in the list of models, once."""
    if "tinynet" in list_models():
        return

    @register(Paper("Tests", "minicnn", 2025, "", lecture=""))
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


if __name__ == "__main__":
    from minicnn.cli import main

    register_tinynet()
    wanted = os.environ.get("MINICNN_KILL_AT")
    killer = Killer(int(wanted) if wanted and wanted != "COUNT" else None)
    if wanted:
        killer.install()
    status = main(sys.argv[1:])
    if wanted == "COUNT":
        print(killer.steps)
    sys.exit(status)
