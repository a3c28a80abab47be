"""A whole training run, from a configuration to a finished run folder; killed at any moment, it can be taken up."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..autograd import detect_anomaly
from ..data import DataLoader, open_data
from ..errors import ShapeError
from ..models import Card, create_model
from ..nn import Module
from ..random import manual_seed
from ..serialization import save
from .checkpoint import load_checkpoint, save_checkpoint
from .curves import draw_curves
from .loop import Trainer
from .memory import TooLarge, require_memory
from .metrics import ClassificationMetrics, best, prefixed
from .progress import Progress, epoch_line
from .recipe import Config, make_optimizer, make_scheduler
from .run_folder import RunFolder, RunFolderError

SPLIT_SEED = 0  # every run of a data set is tested on the same images, whatever its own seed
CURVES_EVERY_SECONDS = 30


class Job:
    """One configured training: the data, the network and the trainer, not yet run.

    Args:
        compiled: run the network by ``minicnn.compile``.

    Raises:
        ValueError, OSError, DeviceError: when the configuration cannot be had (no such model, folder or device; a
            network that is too large for the images).
    """

    def __init__(self, config: Config, compiled: bool = True) -> None:
        self.config = config
        manual_seed(config.seed)
        self.data = open_data(config.data, SPLIT_SEED)
        self.num_classes = self.data.num_classes
        if self.num_classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, {config.data} has {self.num_classes}")
        model = create_model(config.model, num_classes=self.num_classes, in_channels=self.data.in_channels)
        self._check_image_size(model)
        if config.image_size is not None:
            self.data = open_data(config.data, SPLIT_SEED, image_size=config.image_size)
        self.model = model.to(config.device)
        train_loader = self._loader(self.data.train, shuffle=True)
        optimizer = make_optimizer(self.model, config)
        self.steps_per_epoch = len(train_loader)
        self.trainer = Trainer(
            self.model,
            optimizer,
            make_scheduler(optimizer, config, self.steps_per_epoch),
            train_loader,
            self._loader(self.data.validation),
            self.num_classes,
            config.label_smoothing,
            config.device,
            compiled,
        )

    @property
    def num_parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def describe(self) -> str:
        """The heading of a run: what is trained on what."""
        parts = {"training": self.data.train, "validation": self.data.validation, "test": self.data.test}
        images = ", ".join(f"{len(dataset)} {name}" for name, dataset in parts.items())
        size = "x".join(map(str, self.data.input_shape))
        return (
            f"{self.config.title}: {self.num_parameters:,} parameters; {images} images of {size} in "
            f"{self.num_classes} classes; epochs: {self.config.epochs}, device: {self.config.device}, "
            f"seed: {self.config.seed}"
        )

    def _card(self) -> dict[str, str]:
        """What somebody who has only the weights must know to use them."""
        card = Card(
            model=self.config.model,
            variant=getattr(self.model, "variant", None),
            classes=self.data.classes,
            input_shape=self.data.input_shape,
            resize=self.data.resize_size,
            mean=self.data.mean,
            std=self.data.std,
        )
        return card.metadata()

    def _loader(self, dataset: Any, shuffle: bool = False) -> DataLoader:
        # A last training batch of a few images would have noisy batch statistics: it is left out.
        drop_last = shuffle and len(dataset) >= self.config.batch_size
        return DataLoader(dataset, self.config.batch_size, shuffle=shuffle, drop_last=drop_last, seed=self.config.seed)

    def _check_image_size(self, model: Module) -> None:
        """Before anything of that size is made: is the network too deep for the images, or are they too large?"""
        side = self.config.image_size
        height, width = self.data.image_size if side is None else (side, side)
        images = min(self.config.batch_size, len(self.data.train))
        try:
            require_memory(model, (self.data.in_channels, height, width), images)
        except (ShapeError, TooLarge) as error:
            raise ValueError(
                f"{self.config.model} does not fit images of {height}x{width} (see --image-size): {error}"
            ) from error

    def take_up(self, folder: RunFolder) -> None:
        """Work in ``folder``: go to where its checkpoint was written, or write the first, before the first step.

        Raises:
            RunFolderError: when the checkpoint is damaged, lost, or belongs to another configuration.
            OSError: when the first cannot be written.
        """
        self.folder = folder
        if not folder.checkpoint.exists():
            if folder.metrics.exists():
                remedy = folder.remedies[folder.checkpoint]
                raise RunFolderError(f"{folder} holds metrics but no checkpoint.npz: {remedy}")
            self._save()
        with folder.reading(folder.checkpoint):
            state = load_checkpoint(folder.checkpoint)
            if not isinstance(state, dict) or state.get("config") != self.config.as_dict():
                raise ValueError("written by a run with other settings than config.json says")
            self.trainer.load_state_dict(state)
        folder.tidy(self.trainer.history)

    def _save(self) -> None:
        save_checkpoint(self.folder.checkpoint, {"config": self.config.as_dict(), **self.trainer.state_dict()})

    def run(self, progress: Progress, anomaly: bool = False) -> dict[str, Any]:
        """Train to the end, leave the finished folder, and return the result (the content of ``result.json``).

        Args:
            anomaly: look for the first NaN or infinity in every operation (slow).

        Raises:
            TrainingDiverged: when the loss is no longer finite.
        """
        # What overflows shows in the loss, which is looked at: NumPy need not tell it too.
        silent = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with progress, one_blas_thread(), silent, detect_anomaly() if anomaly else nullcontext():
            progress.start(self.config.epochs * self.steps_per_epoch, self.trainer.epoch * self.steps_per_epoch)
            history = self._fit(progress)
            return self._finish(history)

    def _fit(self, progress: Progress) -> list[dict[str, Any]]:
        folder, epochs, title = self.folder, self.config.epochs, self.config.title
        epoch_start = drawn = time.perf_counter()

        def on_step(metrics: ClassificationMetrics) -> None:
            speed = metrics.count / (time.perf_counter() - epoch_start)
            progress.step(self.trainer.epoch + 1, epochs, metrics.summary(), speed)

        def on_epoch(line: dict[str, Any]) -> None:
            nonlocal epoch_start, drawn
            folder.append_metrics(line)
            self._save()  # killed before this, a resumed run drops the line and repeats the epoch
            progress.line(epoch_line(line, epochs))
            if time.perf_counter() - drawn > CURVES_EVERY_SECONDS:
                draw_curves(folder.curves, self.trainer.history, title)
                drawn = time.perf_counter()
            epoch_start = time.perf_counter()

        return self.trainer.fit(epochs, on_step, on_epoch)

    def _finish(self, history: list[dict[str, Any]]) -> dict[str, Any]:
        """Measure the final weights, which are not chosen by the test images, and write what is left to write."""
        folder = self.folder
        test = self.trainer.evaluate(self._loader(self.data.test))
        result = {
            **prefixed("test", test),
            "validation_top1": history[-1]["validation_top1"],
            "best_validation": best(history, "validation_top1"),
            "parameters": self.num_parameters,
            "epochs": self.config.epochs,
            "seconds": sum(line["seconds"] for line in history),
        }
        draw_curves(folder.curves, history, self.config.title, f"test accuracy {100 * test['top1']:.2f} %")
        save(self.model.state_dict(), folder.weights, metadata=self._card())
        folder.write_result(result)
        return result


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let matrix products of this process run on one thread, unless OPENBLAS_NUM_THREADS says how many.

    The products of small networks are too short to share. OpenBLAS's second thread waits for the next one in a busy
    loop, which gains little on an idle machine, and on a busy one makes a training several times slower.
    """
    if "OPENBLAS_NUM_THREADS" in os.environ:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
