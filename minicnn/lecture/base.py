"""What a figure of the lecture is: how it is computed, tabulated, drawn and judged, and at which settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]  # header, rows


@dataclass(frozen=True)
class Settings:
    """How to compute a figure. ``quick``: by a smaller experiment, which takes half a minute at most.

    ``data`` is spelled as for ``minicnn train``; only figures with ``chooses_data`` use it. ``mine`` says that a
    student's functions compute: the files get another name.
    """

    quick: bool = False
    seed: int = 0
    device: str = "cpu"
    progress: Callable[[str], None] = lambda line: None
    data: str = "digits"
    mine: bool = False

    @property
    def default(self) -> bool:
        """Whether these are the settings of the shipped results."""
        return replace(self, progress=Settings.progress) == Settings()

    @property
    def suffix(self) -> str:
        """The end of the files' names, so that a quick figure, or a student's, never replaces the real one."""
        return "-mine" * self.mine + "-quick" * self.quick


@dataclass(frozen=True)
class Size:
    """How large an experiment is; a figure uses some of these numbers, and may add its own in a subclass.

    ``seeds``: how often each network is drawn or trained; ``epochs``: of a training; ``images``: per split, ``None``
    for all; ``depths``: layers or blocks of the networks that are compared; ``side``: of the images in pixels;
    ``networks``: names of models.
    """

    seeds: int = 1
    epochs: int = 1
    images: int | None = None
    depths: tuple[int, ...] = ()
    side: int = 0
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """One figure of the lecture.

    ``compute(settings)`` returns a dataclass of arrays, numbers and strings, ``table(data)`` the numbers that decide
    whether the claim held, ``draw(data)`` a Matplotlib figure, ``verdict(data)`` a sentence on what was seen.
    ``chooses_data``: whether it can train on other images than its own.
    """

    name: str
    lecture: tuple[str, ...]
    claim: str
    result: type
    compute: Callable[[Settings], Any]
    table: Callable[[Any], Table]
    draw: Callable[[Any], Any]
    verdict: Callable[[Any], str]
    chooses_data: bool = False


def stem(figure: Figure, settings: Settings) -> str:
    """The name of the figure's files, without their extension."""
    return figure.name + settings.suffix
