"""A run's numbers as TensorBoard's event files, by the well-known writer, tensorboardX, which needs no TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .recipe import Config
from .run_folder import RunFolder

KINDS = ("loss", "top1", "top5")
ALONE = ("lr", "images_per_second")


class TensorBoard:
    """Writes ``RUN/tensorboard``: a watcher of a ``Job``.

    Every start, also that of a resumed run, writes the files anew from the run's history. So there is one point for
    each epoch, whatever was killed in between.

    Args:
        folder: the run's.

    Raises:
        ImportError: without tensorboardX.
    """

    def __init__(self, folder: RunFolder) -> None:
        require_tensorboard()
        self.folder = folder
        self.writer: Any = None

    def start(self, config: Config, history: Sequence[dict[str, Any]]) -> None:
        """Begin: the settings, and the epochs that were completed before."""
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        self.writer = SummaryWriter(str(self.folder.empty_tensorboard()))
        experiment, session, self._end = hparams(config.as_dict(), dict.fromkeys(("loss/test", "top1/test")))
        for summary in (experiment, session):
            self.writer.file_writer.add_summary(summary)
        at = time.time() - sum(line["seconds"] for line in history)
        for line in history:
            at += line["seconds"]
            self.epoch(line, at)

    def epoch(self, line: dict[str, Any], at: float | None = None) -> None:
        """Add the numbers of one epoch; ``at``: when it was over, now by default."""
        self._add(line, ("train", "validation"), line["epoch"], at)
        self.writer.flush()

    def finish(self, result: dict[str, Any]) -> None:
        """Add the numbers of the test images, and close the files."""
        self._add(result, ("test",), result["epochs"])  # its validation is that of the last epoch
        self.writer.file_writer.add_summary(self._end)
        self.writer.close()

    def _add(self, numbers: dict[str, Any], parts: Sequence[str], step: int, at: float | None = None) -> None:
        for name, value in numbers.items():
            part, _, kind = name.partition("_")
            if name in ALONE:
                self.writer.add_scalar(name, value, step, at)
            elif part in parts and kind in KINDS:
                self.writer.add_scalar(f"{kind}/{part}", value, step, at)


def require_tensorboard() -> None:
    """Raise ImportError, which says how to install it, if the writer is missing."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError(
            '--tensorboard needs tensorboardX: install it with `pip install "minicnn-lecture[tensorboard]"`'
        ) from error
