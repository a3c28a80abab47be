"""The folder that a training leaves: which file holds what, and what can be done if one is damaged."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import FileFormatError
from ..models import list_models
from ..serialization.atomic import replacing
from .declared import check
from .lock import locked
from .recipe import Config

RUNS = Path("runs")
MAX_JSON_BYTES = 1 << 20  # the files of a run have a few hundred

#: The entries of ``result.json``. From five classes on there is ``test_top5`` too, and ``test_images`` says how many.
RESULT = {
    "test_loss": float,
    "test_top1": float,
    "validation_top1": float,
    "best_validation": {"epoch": int, "validation_top1": float},
    "parameters": int,
    "epochs": int,
    "seconds": float,
}
RESULT_EXTRAS = {"test_top5": float, "test_images": int}

#: The entries of a line of ``metrics.jsonl``, and those that it has in some runs.
METRICS = {
    "epoch": int,
    "lr": float,
    "train_loss": float,
    "train_top1": float,
    "images_per_second": float,
    "seconds": float,
}
METRICS_EXTRAS = dict.fromkeys(("train_top5", "validation_loss", "validation_top1", "validation_top5"), float)
MAX_METRICS_BYTES = 1 << 26  # a line has about 300


class RunFolderError(FileFormatError):
    """A file of a run folder is not as a run writes it; the message says which one, and what can be done."""


class RunFolder:
    """The files of one run.

    ==================  ================================================================================
    config.json         what was asked for: enough to start the same run again
    metrics.jsonl       one line per epoch: loss and accuracy on the training and the validation images
    checkpoint.npz      the state after the last completed epoch, from which ``--resume`` continues
    curves.png          metrics.jsonl as a picture
    model.safetensors   the trained weights, when the run is finished
    result.json         the accuracy on the test images; written last, so it means "finished"
    .lock               locked by the process that trains; empty
    tensorboard/        the same numbers as event files, if they were asked for
    ==================  ================================================================================

    What is read is checked, because the folder may come from anywhere; and nothing is written through a link.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.npz"
        self.curves = self.path / "curves.png"
        self.weights = self.path / "model.safetensors"
        self.result = self.path / "result.json"
        self.lock = self.path / ".lock"
        self.tensorboard = self.path / "tensorboard"
        self.files = (self.config, self.metrics, self.checkpoint, self.curves, self.weights, self.result, self.lock)
        self.remedies = {
            self.config: f"bring it back, or move {path} away and start the run again",
            self.checkpoint: f"bring it back, or move {path} away and start the run again",
            self.metrics: f"remove it and result.json, and `minicnn train --resume {path}` writes both again",
            self.result: f"remove it, and `minicnn train --resume {path}` writes it again",
        }

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def create(cls, config: Config, path: str | Path | None = None) -> RunFolder:
        """A folder that holds ``config.json``: ``path``, or the next free ``runs/MODEL-DATA-N``.

        Raises:
            FileExistsError: if ``path`` exists and is not an empty folder. The files of the same run, killed before its
                first checkpoint, do not count.
        """
        if path is None:
            folder = cls(next_free(RUNS / f"{config.model}-{config.data_kind}"))
        else:
            folder = cls(path)
            folder._require_free(config)
            folder.path.mkdir(parents=True, exist_ok=True)
        with folder.locked():
            folder._require_free(config)  # again: until now another process could have been faster
            _write(folder.config, _json(config.as_dict(), indent=2))
        return folder

    def _require_free(self, config: Config) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise FileExistsError(f"{self} exists already and is not a folder")
        found = set(self.path.iterdir()) - self.leftovers() - {self.lock}
        if found == {self.config} and self.read_config() == config:
            return
        if found:
            hint = f"; continue it with `minicnn train --resume {self}`" if self.config in found else ""
            raise FileExistsError(f"{self} exists already and is not an empty folder{hint}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder.

        Raises:
            BlockingIOError: if another process already trains in it.
            RunFolderError: if a link, a folder or a pipe has the place of a file of the run.
        """
        for path in self.files:
            _require_plain(path)
        with locked(self.lock):
            yield

    def read_config(self) -> Config:
        """The configuration of the run in this folder.

        Raises:
            FileNotFoundError: if there is no such folder or no run in it.
            RunFolderError: if ``config.json`` is not as a run writes it.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no run folder {self.path}")
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path} holds no run: there is no config.json in it")
        with self.reading(self.config):
            return Config.from_dict(_read_json(self.config))

    def read_result(self) -> dict[str, Any] | None:
        """The result of the finished run, or None while it is not finished.

        Raises:
            RunFolderError: if ``result.json`` is not as a run writes it.
        """
        if not self.result.exists():
            return None
        with self.reading(self.result):
            result = _read_json(self.result)
            check(result, _with_extras(RESULT, RESULT_EXTRAS, result))
            for name in ("test_top1", "test_top5", "validation_top1"):
                if not 0 <= result.get(name, 0) <= 1:
                    raise ValueError(f"{name} must be from 0 to 1, got {result[name]}")
            if result.get("test_images", 1) < 1:
                raise ValueError(f"test_images must be at least 1, got {result['test_images']}")
            return result

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, one for each epoch so far; a last line that is being written is left out.

        Raises:
            RunFolderError: if it is not as a run writes it.
        """
        if not self.metrics.exists():
            return []
        with self.reading(self.metrics):
            *complete, _ = _read_text(self.metrics, MAX_METRICS_BYTES).split("\n")
            lines = []
            for number, text in enumerate(complete, 1):
                try:
                    line = json.loads(text)
                    check(line, _with_extras(METRICS, METRICS_EXTRAS, line))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
                if line["epoch"] != number:
                    raise ValueError(f"line {number} is of epoch {line['epoch']}")
                lines.append(line)
            return lines

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Report an error with a file of this run in one line: which file, what is wrong, and what can be done."""
        try:
            _require_plain(path)
            yield
        except RunFolderError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            what = str(error).removeprefix(f"{path}: ")
            raise RunFolderError(f"{path} is damaged or not a run's: {what}; {self.remedies[path]}") from error

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json``, which marks the run as finished."""
        _write(self.result, _json(result, indent=2))

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one epoch's line to ``metrics.jsonl``."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(_json(line))

    def empty_tensorboard(self) -> Path:
        """The folder for event files, without those of an earlier start.

        Raises:
            RunFolderError: if a link or a file has its place.
        """
        folder = self.tensorboard
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise RunFolderError(f"{folder} is no folder, but a run needs one there: move it away")
        folder.mkdir(exist_ok=True)
        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        return folder

    def leftovers(self) -> set[Path]:
        """Files that a killed process left half written."""
        return {path for path in self.path.glob(".*.tmp") if not path.is_dir()}

    def tidy(self, lines: list[dict[str, Any]]) -> None:
        """Make ``metrics.jsonl`` hold exactly ``lines``, and remove the half-written files of a killed run."""
        for leftover in self.leftovers():
            leftover.unlink()
        _write(self.metrics, "".join(map(_json, lines)))


def is_run(name: str) -> bool:
    """Whether ``name`` is a folder to be taken for a run, and not the model of that name, beside which it lies."""
    return Path(name).is_dir() and (name not in list_models() or RunFolder(name).config.exists())


def weights_file(path: str | Path) -> Path:
    """``path`` itself, or, if it is a folder, the weights of the finished run in it.

    Raises:
        FileNotFoundError: if there are none in the folder.
    """
    folder = RunFolder(path)
    if not folder.path.is_dir():
        return folder.path
    if not folder.weights.exists():
        unfinished = f": finish its run with `minicnn train --resume {folder}`" if folder.config.exists() else ""
        raise FileNotFoundError(f"the folder {folder} holds no {folder.weights.name}{unfinished}")
    return folder.weights


def next_free(prefix: Path) -> Path:
    """Make and return the first of ``prefix-1``, ``prefix-2``, ... that does not exist."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = prefix.with_name(f"{prefix.name}-{number}")
        try:
            path.mkdir()  # fails if another process was faster: the two would share the folder
        except FileExistsError:
            continue
        return path
    raise AssertionError("itertools.count ends")


def _require_plain(path: Path) -> None:
    """Raise RunFolderError unless ``path`` is a file or free. Through a link a run would write, and read, elsewhere."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "a pipe or a device"
        raise RunFolderError(f"{path} is {kind}, but a run needs a plain file there: move it away")


def _with_extras(entries: dict[str, Any], extras: dict[str, Any], content: Any) -> dict[str, Any]:
    """The entries that ``content`` must have, and those of ``extras`` that it has."""
    return entries | {name: kind for name, kind in extras.items() if isinstance(content, dict) and name in content}


def _read_json(path: Path) -> Any:
    return json.loads(_read_text(path, MAX_JSON_BYTES))


def _read_text(path: Path, most: int) -> str:
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"longer than {most} bytes")
    return content.decode("utf-8")


def _json(content: dict[str, Any], indent: int | None = None) -> str:
    """One line of JSON. Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(content, indent=indent, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
