"""The folder that a training leaves behind: which file holds what."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from ..serialization.atomic import replacing
from .recipe import Config

RUNS = Path("runs")


class RunFolder:
    """The files of one run.

    ==================  ================================================================================
    config.json         what was asked for: enough to start the same run again
    metrics.jsonl       one line an epoch: loss and accuracy on the training and the validation images
    checkpoint.npz      the state after the last completed epoch: what ``--resume`` takes up
    curves.png          metrics.jsonl as a picture
    model.safetensors   the trained weights, when the run is finished
    result.json         the accuracy on the test images; written last, so it means "finished"
    ==================  ================================================================================
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.npz"
        self.curves = self.path / "curves.png"
        self.weights = self.path / "model.safetensors"
        self.result = self.path / "result.json"

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def create(cls, config: Config, path: str | Path | None = None) -> RunFolder:
        """A new folder that holds ``config.json``: ``path``, or the next free ``runs/MODEL-DATA-N``.

        Raises:
            FileExistsError: when ``path`` exists and is not an empty folder (what a killed start left does not count).
        """
        if path is None:
            folder = cls(_next_free(RUNS / f"{config.model}-{config.data_kind}"))
        else:
            folder = cls(path)
            if folder.path.exists() and (not folder.path.is_dir() or set(folder.path.iterdir()) - folder.leftovers()):
                hint = "; take it up with --resume" if folder.config.exists() else ""
                raise FileExistsError(f"{path} exists already and is not an empty folder{hint}")
            folder.path.mkdir(parents=True, exist_ok=True)
        _write(folder.config, json.dumps(config.as_dict(), indent=2) + "\n")
        return folder

    def read_config(self) -> Config:
        """The configuration of the run in this folder.

        Raises:
            FileNotFoundError: when there is no such folder or no run in it.
            ValueError: when ``config.json`` is not one that a run wrote.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no run folder {self.path}")
        if not self.config.exists():
            raise FileNotFoundError(f"{self.path} holds no run: there is no config.json in it")
        try:
            return Config.from_dict(json.loads(self.config.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{self.config} is damaged or no run's: {error}") from error

    def read_result(self) -> dict[str, Any] | None:
        """What the finished run reached, or None while it is not finished."""
        if not self.result.exists():
            return None
        return json.loads(self.result.read_text(encoding="utf-8"))

    def write_result(self, result: dict[str, Any]) -> None:
        """Declare the run finished."""
        _write(self.result, json.dumps(result, indent=2) + "\n")

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one epoch's line to ``metrics.jsonl``."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def leftovers(self) -> set[Path]:
        """Files that a killed process had half written."""
        return set(self.path.glob(".*.tmp"))

    def tidy(self, lines: list[dict[str, Any]]) -> None:
        """Make ``metrics.jsonl`` hold exactly ``lines``, and remove the half-written files of a killed run."""
        for leftover in self.leftovers():
            leftover.unlink()
        _write(self.metrics, "".join(json.dumps(line) + "\n" for line in lines))


def _next_free(prefix: Path) -> Path:
    """Make and return the first of ``prefix-1``, ``prefix-2``, ... that does not exist."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = prefix.with_name(f"{prefix.name}-{number}")
        try:
            path.mkdir()  # fails, rather than shares, when another process was faster
        except FileExistsError:
            continue
        return path
    raise AssertionError("itertools.count ends")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
