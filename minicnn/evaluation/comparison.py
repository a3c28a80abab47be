"""Runs side by side: what each was, what it reached, and whether the test images can tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..data import open_data
from ..models import Card, create_model
from ..nn.summary import multiply_adds
from ..paths import printable
from ..training.job import SPLIT_SEED
from ..training.recipe import Config
from ..training.run_folder import RunFolder
from .scores import wilson_interval

LONGEST_NAME = 20


@dataclass(frozen=True)
class ComparedRun:
    """One run, finished or not.

    Attributes:
        name: what it is called beside the others: its model, or else its folder.
        path: its folder.
        config: what was asked for.
        lines: one dictionary per epoch, as in ``metrics.jsonl``.
        result: the content of ``result.json``; None while the run is not finished.
        parameters, multiply_adds: of the network, for one image; None if that is not known.
    """

    name: str
    path: Path
    config: Config
    lines: list[dict[str, Any]]
    result: dict[str, Any] | None
    parameters: int | None
    multiply_adds: int | None

    @property
    def top1(self) -> float | None:
        """The accuracy on the test images, in [0, 1]."""
        return None if self.result is None else self.result["test_top1"]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of ``top1``; None if the run does not say how many test images there were."""
        if self.result is None or "test_images" not in self.result:
            return None
        images = self.result["test_images"]
        return wilson_interval(round(self.result["test_top1"] * images), images)

    @property
    def seconds(self) -> float:
        """How long it was trained, as far as it is."""
        return sum(line["seconds"] for line in self.lines) if self.result is None else self.result["seconds"]

    @property
    def epochs(self) -> str:
        """The epochs that are done, of those that were asked for if these are more."""
        done, all_ = len(self.lines), self.config.epochs
        return f"{done}" if done == all_ else f"{done}/{all_}"


@dataclass(frozen=True)
class Comparison:
    """Runs in the order in which they were named, and what must be known to compare them.

    Attributes:
        runs: at least two.
        notes: whatever makes the numbers of some not comparable, or is missing; sentences.
    """

    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]

    @property
    def same_data(self) -> bool:
        """Whether all were tested on the same images."""
        return len({_data(run.config) for run in self.runs}) == 1

    @property
    def settings(self) -> dict[str, list[Any]]:
        """The settings in which the runs differ, with the value of each run."""
        found = {field.name: [getattr(run.config, field.name) for run in self.runs] for field in fields(Config)}
        return {name: values for name, values in found.items() if any(value != values[0] for value in values)}

    @property
    def best(self) -> list[ComparedRun]:
        """The runs with the highest test accuracy; none if the data differ or less than two runs are finished."""
        finished = [run for run in self.runs if run.top1 is not None]
        if not self.same_data or len(finished) < 2:
            return []
        highest = max(run.top1 for run in finished if run.top1 is not None)
        return [run for run in finished if run.top1 == highest]

    def verdict(self) -> str:
        """Which run is best, and which others the test images cannot tell from it; empty if none is."""
        if not self.best:
            return ""
        if len(self.best) > 1:
            return f"{_listed([run.name for run in self.best])} are equally good on the test images"
        (best,) = self.best
        if best.interval is None:
            return f"{best.name} is best on the test images; how sure that is, its result does not say"
        low, high = best.interval
        images = best.result["test_images"] if best.result else 0
        others = [run for run in self.runs if run is not best and run.interval is not None]
        near = [run.name for run in others if run.interval and run.interval[1] >= low and run.interval[0] <= high]
        said = f"{best.name} is best on the {images:,} test images"
        unknown = [run.name for run in self.runs if run.result is not None and run.interval is None]
        if not near and unknown:
            one = len(unknown) == 1
            return f"{said}; how sure that is, the result{'s' * (not one)} of {_listed(unknown)} do{'es' * one} not say"
        if not near:
            return f"{said}, and no other interval overlaps its own"
        return (
            f"{said}, but the interval{'s' * (len(near) > 1)} of {_listed(near)} overlap{'s' * (len(near) == 1)} its "
            "own: the order may be chance"
        )


def compare(paths: Sequence[str | Path]) -> Comparison:
    """Read the runs in the folders ``paths``.

    Raises:
        ValueError: for less than two, or the same folder twice.
        FileNotFoundError: if there is no run in one of them.
        RunFolderError: if a file of a run is damaged.
    """
    if len(paths) < 2:
        raise ValueError(f"expected two runs or more to compare, got {len(paths)}")
    places = [Path(path).resolve() for path in paths]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise ValueError(f"the run {printable(paths[at])} is named twice")
    folders = [RunFolder(path) for path in paths]
    configs = [folder.read_config() for folder in folders]
    names = _names([config.model for config in configs], places, paths)
    runs = [_read(*found) for found in zip(names, folders, configs, strict=True)]
    return Comparison(tuple(run for run, _ in runs), (*_notes([run for run, _ in runs]), *(n for _, n in runs if n)))


def _read(name: str, folder: RunFolder, config: Config) -> tuple[ComparedRun, str]:
    """A run, and a note if the size of its network is not known."""
    lines, result = folder.read_metrics(), folder.read_result()
    note = ""
    parameters: int | None
    cost: int | None
    try:
        parameters, cost = _network(folder, config)
    except (ValueError, OSError) as error:
        parameters, cost = None if result is None else result["parameters"], None
        note = f"The multiply-adds of {name} are not known: {printable(error)}."
    return ComparedRun(name, folder.path, config, lines, result, parameters, cost), note


def _network(folder: RunFolder, config: Config) -> tuple[int, int]:
    """The parameters and multiply-adds of a run's network. Before the run is finished, its data say how it is built."""
    card = Card.read(folder.weights) if folder.weights.exists() else Card()
    shape, classes = card.input_shape, card.classes
    if shape is None or classes is None:
        data = open_data(config.data, SPLIT_SEED, image_size=config.image_size)
        shape, classes = data.input_shape, data.classes
    model = create_model(config.model, len(classes), in_channels=shape[0], init=False)
    return sum(parameter.numel() for parameter in model.parameters()), multiply_adds(model, (*shape,))


def _names(models: list[str], places: list[Path], paths: Sequence[str | Path]) -> list[str]:
    """The shortest kind of name that tells the runs apart."""
    for names in (models, [place.name for place in places]):
        shown = [short_name(name) for name in names]
        if len(set(shown)) == len(shown):
            return shown
    return [f"{at}: {short_name(str(path))}" for at, path in enumerate(paths, 1)]


def short_name(name: str) -> str:
    """A name that fits beside a curve: of a long one the beginning and the end."""
    name = printable(name)
    half = (LONGEST_NAME - 3) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def _notes(runs: list[ComparedRun]) -> list[str]:
    notes = []
    data = list(dict.fromkeys(printable(run.config.data) for run in runs))
    if len({_data(run.config) for run in runs}) > 1:
        notes.append(f"These runs are of different data ({', '.join(data)}): their numbers are not comparable.")
    if len({run.config.label_smoothing for run in runs}) > 1:
        notes.append("They were trained with different label smoothing: their losses are not comparable.")
    for run in runs:
        if run.result is None:
            done = f"{len(run.lines)} of {run.config.epochs} epochs"
            notes.append(f"{run.name} is not finished: {done} are done, and it has no test accuracy yet.")
        elif run.interval is None:
            notes.append(f"The result of {run.name} does not say on how many images: `minicnn evaluate` finds out.")
    return notes


def _data(config: Config) -> str:
    """What says whether two runs were tested on the same images: the published data sets are wherever they lie."""
    return config.data if config.data_kind == "folder" else config.data_kind


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
