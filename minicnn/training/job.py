"""A whole training run, from a configuration to a finished run folder; killed at any moment, it can be resumed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..autograd import detect_anomaly
from ..data import DataLoader, DataSource, open_data
from ..data.drawings import source_style
from ..distributed import ShardedLoader, SyncBatchNorm, require_agreement
from ..errors import ShapeError
from ..models import Card, create_model
from ..nn import Module
from ..paths import printable
from ..random import manual_seed
from ..serialization import save
from .checkpoint import load_checkpoint, save_checkpoint
from .curves import draw_curves, least_loss
from .loop import Trainer
from .memory import TooLarge, require_memory
from .metrics import ClassificationMetrics, best, prefixed
from .progress import Progress, epoch_line
from .ranks import by_leader, enter_device, leads, on_machine, ranks
from .recipe import Config, make_optimizer, make_scheduler
from .run_folder import RunFolder, RunFolderError

SPLIT_SEED = 0  # every run of a data set is tested on the same images, whatever its own seed
CURVES_EVERY_SECONDS = 30


class Watcher(Protocol):
    """What a job tells its numbers to, besides its own files; ``tensorboard.TensorBoard`` is one."""

    def start(self, config: Config, history: Sequence[dict[str, Any]]) -> None:
        """Training begins, after the epochs of ``history``."""

    def epoch(self, line: dict[str, Any]) -> None:
        """One more epoch is completed, and in the checkpoint."""

    def finish(self, result: dict[str, Any]) -> None:
        """The run is finished."""


class Job:
    """One configured training in its run folder. Make it by ``Job.start`` or ``Job.resume``, then call ``run``.

    What is in the list ``watchers`` is told the numbers.

    Args:
        config: what is trained on what.
        folder: where the run is kept; nothing is written before ``run``.
        data: the data set that ``config`` names.
        trainer: the network, at its initial weights, and how it is trained.
    """

    def __init__(self, config: Config, folder: RunFolder, data: DataSource, trainer: Trainer) -> None:
        self.config = config
        self.folder = folder
        self.data = data
        self.trainer = trainer
        self.watchers: list[Watcher] = []

    @classmethod
    def start(cls, config: Config, path: str | Path | None = None, compiled: bool = True) -> Job:
        """A new run, in the new folder ``path`` (by default the next free ``runs/MODEL-DATA-N``).

        Args:
            compiled: run the network by ``minicnn.compile``.

        Raises:
            ValueError, OSError, DeviceError: if ``config`` names a model, data set or device that does not exist, or
                a network that is too large for the images; then no folder is made.
            FileExistsError: if ``path`` exists and is not an empty folder.
        """
        data, trainer = open_training(config, compiled)
        folder = RunFolder(by_leader(lambda: RunFolder.create(config, path).path))
        return cls(config, folder, data, trainer)

    @classmethod
    def resume(cls, path: str | Path, compiled: bool = True) -> Job:
        """The run in the folder ``path``: ``run`` continues after its last completed epoch, with the same numbers.

        Raises:
            FileNotFoundError: if there is no run in ``path``.
            RunFolderError: if its ``config.json`` is damaged.
            ValueError, OSError, DeviceError: as ``start``.
        """
        folder = RunFolder(path)
        config = by_leader(folder.read_config)
        return cls(config, folder, *open_training(config, compiled))

    @property
    def num_parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(parameter.numel() for parameter in self.trainer.model.parameters())

    @property
    def _least_loss(self) -> float:
        return least_loss(self.config.label_smoothing, self.data.num_classes)

    def describe(self) -> str:
        """The heading of a run: what is trained on what."""
        parts = {"training": self.data.train, "validation": self.data.validation, "test": self.data.test}
        images = ", ".join(f"{len(dataset)} {name}" for name, dataset in parts.items())
        size = "x".join(map(str, self.data.input_shape))
        return (
            f"{self.config.title}: {self.num_parameters:,} parameters; {images} images of {size} in "
            f"{self.data.num_classes} classes; epochs: {self.config.epochs}, device: {self.config.device}, "
            f"seed: {self.config.seed}"
            + (f", autocast: {self.config.autocast}" if self.config.autocast else "")
            + (f", {ranks()} ranks" if ranks() > 1 else "")
        )

    def run(self, progress: Progress, anomaly: bool = False) -> dict[str, Any]:
        """Train to the end, leave the finished folder, and return the result (the content of ``result.json``).

        The folder is locked meanwhile. Training starts from its checkpoint; a new run writes one before its first step.

        Args:
            anomaly: look for the first NaN or infinity in every operation (slow).

        Raises:
            BlockingIOError: while another process trains in the folder.
            RunFolderError: if the checkpoint is damaged, lost, or belongs to another configuration.
            TrainingDiverged: when the loss is no longer finite.
            OSError: if a file cannot be written.
        """
        # An overflow shows in the loss, which is checked: NumPy's warnings would only repeat it.
        silent = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with self.folder.locked() if leads() else nullcontext():
            self._load()
            epoch = self.trainer.epoch
            progress.line(self.describe())
            progress.line(f"run folder: {printable(self.folder)}" + (f", after epoch {epoch}" if epoch else ""))
            with progress, one_blas_thread(), silent, detect_anomaly() if anomaly else nullcontext():
                steps = len(self.trainer.train_loader)
                progress.start(self.config.epochs * steps, epoch * steps)
                return self._finish(self._fit(progress))

    def _load(self) -> None:
        """Bring the trainer to the state in the checkpoint; a new run writes its first one."""
        state = by_leader(self._read)
        if leads():
            self.folder.tidy(self.trainer.history)
        else:
            self.trainer.load_state_dict(state)

    def _read(self) -> dict[str, Any]:
        folder = self.folder
        if not folder.checkpoint.exists():
            if folder.metrics.exists():
                remedy = folder.remedies[folder.checkpoint]
                raise RunFolderError(f"{folder} holds metrics but no checkpoint.npz: {remedy}")
            self._save()
        with folder.reading(folder.checkpoint):
            state = load_checkpoint(folder.checkpoint)
            if not isinstance(state, dict) or Config.from_dict(state.get("config", {})) != self.config:
                raise ValueError("written by a run with other settings than config.json says")
            self.trainer.load_state_dict(state)
        return state

    def _save(self) -> None:
        save_checkpoint(self.folder.checkpoint, {"config": self.config.as_dict(), **self.trainer.state_dict()})

    def _card(self) -> dict[str, str]:
        """What a user who has only the weights must know."""
        style = source_style(self.data)
        card = Card(
            model=self.config.model,
            variant=getattr(self.trainer.model, "variant", None),
            classes=self.data.classes,
            input_shape=self.data.input_shape,
            resize=self.data.resize_size,
            mean=self.data.mean,
            std=self.data.std,
            ground=style.ground if style else None,
            extent=style.extent if style else None,
        )
        return card.metadata()

    def _fit(self, progress: Progress) -> list[dict[str, Any]]:
        folder, epochs, title = self.folder, self.config.epochs, self.config.title
        epoch_start = drawn = time.perf_counter()

        def on_step(metrics: ClassificationMetrics) -> None:
            speed = ranks() * metrics.count / (time.perf_counter() - epoch_start)
            progress.step(self.trainer.epoch + 1, epochs, metrics.summary(), speed)

        def on_epoch(line: dict[str, Any]) -> None:
            nonlocal epoch_start, drawn
            folder.append_metrics(line)
            self._save()  # killed before this, a resumed run drops the line and repeats the epoch
            for watcher in self.watchers:
                watcher.epoch(line)
            progress.line(epoch_line(line, epochs))
            if time.perf_counter() - drawn > CURVES_EVERY_SECONDS:
                draw_curves(folder.curves, self.trainer.history, title, least=self._least_loss)
                drawn = time.perf_counter()
            epoch_start = time.perf_counter()

        for watcher in self.watchers if leads() else ():
            watcher.start(self.config, self.trainer.history)
        return self.trainer.fit(epochs, on_step, on_epoch) if leads() else self.trainer.fit(epochs)

    def _finish(self, history: list[dict[str, Any]]) -> dict[str, Any]:
        """Measure the final weights, which are not chosen by the test images, and write the remaining files."""
        folder = self.folder
        test = self.trainer.evaluate(loader(self.config, self.data.test))
        result = {
            **prefixed("test", test),
            "test_images": len(self.data.test),
            "validation_top1": history[-1]["validation_top1"],
            "best_validation": best(history, "validation_top1"),
            "parameters": self.num_parameters,
            "epochs": self.config.epochs,
            "seconds": sum(line["seconds"] for line in history),
        }
        if not leads():
            return result
        accuracy = f"test accuracy {100 * test['top1']:.2f} %"
        draw_curves(folder.curves, history, self.config.title, accuracy, self._least_loss)
        save(self.trainer.model.state_dict(), folder.weights, metadata=self._card())
        for watcher in self.watchers:
            watcher.finish(result)
        folder.write_result(result)
        return result


def open_training(config: Config, compiled: bool) -> tuple[DataSource, Trainer]:
    """The data set that ``config`` names, and a trainer with a new network. Raises what ``Job.start`` documents."""
    manual_seed(config.seed)
    data = open_data(config.data, SPLIT_SEED)
    if ranks() > 1:
        sizes = {"training": len(data.train), "validation": len(data.validation), "test": len(data.test)}
        require_agreement({**config.as_dict(), "the images": sizes, "the classes": data.classes})
    least = min(config.batch_size, len(data.train))
    if least < ranks():
        raise ValueError(f"{ranks()} ranks need at least an image each, and a batch has {least} (see --batch-size)")
    if data.num_classes < 2:
        raise ValueError(f"a classifier needs at least 2 classes, {config.data} has {data.num_classes}")
    model = create_model(config.model, num_classes=data.num_classes, in_channels=data.in_channels)
    _check_image_size(model, config, data)
    if config.image_size is not None:
        data = open_data(config.data, SPLIT_SEED, image_size=config.image_size)
    if config.sync_batchnorm and ranks() > 1:
        model, compiled = SyncBatchNorm.convert_sync_batchnorm(model), False
    enter_device(config.device)
    model.to(config.device)
    train_loader = loader(config, data.train, shuffle=True)
    optimizer = make_optimizer(model, config)
    trainer = Trainer(
        model,
        optimizer,
        make_scheduler(optimizer, config, len(train_loader)),
        train_loader,
        loader(config, data.validation),
        data.num_classes,
        config.label_smoothing,
        config.device,
        compiled,
        config.autocast,
    )
    return data, trainer


def loader(config: Config, dataset: Any, shuffle: bool = False) -> DataLoader:
    """The batches of ``dataset`` for a run. A shuffled loader leaves out a last batch that is not full.

    Such a batch of a few images would have noisy batch statistics.
    """
    drop_last = shuffle and len(dataset) >= config.batch_size
    kind = ShardedLoader if ranks() > 1 else DataLoader
    return kind(dataset, config.batch_size, shuffle=shuffle, drop_last=drop_last, seed=config.seed)


def _check_image_size(model: Module, config: Config, data: DataSource) -> None:
    """Raise ValueError if the network is too deep for the images, or they are too large, before any memory is used."""
    height, width = data.image_size if config.image_size is None else (config.image_size, config.image_size)
    try:
        require_memory(model, (data.in_channels, height, width), on_machine(min(config.batch_size, len(data.train))))
    except (ShapeError, TooLarge) as error:
        raise ValueError(
            f"{config.model} does not fit images of {height}x{width} (see --image-size): {error}"
        ) from error


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let matrix products of this process run on one thread, unless OPENBLAS_NUM_THREADS says how many.

    The products of small networks are too short to share. OpenBLAS's second thread waits for the next one in a busy
    loop: this gains little on an idle machine, and makes training several times slower on a busy one.
    """
    if "OPENBLAS_NUM_THREADS" in os.environ:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
