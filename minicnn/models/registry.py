"""The list of models: their names, papers and published errors, and the functions that build them.

A model file registers its own builders; a new architecture needs nothing else::

    PAPER = Paper("Going Deeper Still", "Doe, Roe", 2027, "https://example.org/deeper", lecture="L2.9")
    ERRORS = {"deepernet": (1.5, None, "Table 3: validation, one crop")}

    @register(PAPER, ERRORS)
    def deepernet(num_classes: int = 1000, **options: Any) -> DeeperNet:
        '''DeeperNet: this first line is the description that ``minicnn models`` lists.'''
        return DeeperNet(num_classes=num_classes, **options)
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..nn.module import Module


@dataclass(frozen=True)
class Paper:
    """Where an architecture comes from. ``lecture`` is its line in the lecture, e.g. ``"L2.2"``."""

    title: str
    authors: str
    year: int
    url: str
    lecture: str


#: Top-1 and top-5 error in per cent as published (None: not published), and where and how they were measured.
Score = tuple[float | None, float | None, str]


#: The usual names of variants: the network of the paper, and the one that published weights fit.
BOTH_NAMES = ("paper", "torchvision")


@dataclass(frozen=True)
class ModelEntry:
    """One model that ``create_model`` can build.

    ``variants`` starts with the paper's and ends with the one that published weights fit.
    ``num_classes`` and ``input_size`` (the side of a square image) are those of the paper's experiments.
    """

    name: str
    builder: Callable[..., Module]
    paper: Paper
    score: Score
    variants: tuple[str, ...]
    num_classes: int
    input_size: int

    @property
    def description(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    def variant_called(self, name: str | None) -> str:
        """The variant called ``name``, the paper's for None; a model with a single variant accepts both usual names.

        Raises ValueError for a variant that the model does not have.
        """
        if name is None or (len(self.variants) == 1 and name in BOTH_NAMES):
            return self.variants[0]
        if name not in self.variants:
            raise ValueError(f"{self.name} has no variant {name!r}; it has {', '.join(map(repr, self.variants))}")
        return name

    @property
    def public_variant(self) -> str:
        """The variant that published weights fit."""
        return self.variants[-1]


_ENTRIES: dict[str, ModelEntry] = {}

Builder = TypeVar("Builder", bound=Callable[..., Module])


def register(
    paper: Paper,
    errors: Mapping[str, Score] | None = None,
    *,
    variants: tuple[str, ...] = ("paper",),
    input_size: int = 224,
) -> Callable[[Builder], Builder]:
    """Decorator that adds a builder to the list of models under its own name.

    ``errors`` holds the published scores of the paper's models, by name. The builder takes ``num_classes``, with the
    paper's number as its default, ``in_channels``, and, if there is more than one variant, ``variant``, which its
    model keeps as an attribute. Raises ValueError if the name is taken.
    """

    def enter(builder: Builder) -> Builder:
        name = builder.__name__
        if name in _ENTRIES:
            if _file_name(builder) == _file_name(_ENTRIES[name].builder):
                return builder
            other = _ENTRIES[name].builder.__module__
            raise ValueError(f"two models are called {name!r}: in {other} and in {builder.__module__}")
        num_classes = inspect.signature(builder).parameters["num_classes"].default
        score = (errors or {}).get(name, (None, None, ""))
        _ENTRIES[name] = ModelEntry(name, builder, paper, score, variants, num_classes, input_size)
        return builder

    return enter


def _file_name(builder: Callable[..., Any]) -> str:
    return os.path.basename(inspect.unwrap(builder).__code__.co_filename)


def _natural(name: str) -> list[str | int]:
    """Sorts resnet18 before resnet101."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def list_models() -> list[str]:
    """The names that ``create_model`` knows, in reading order (``resnet18`` before ``resnet101``)."""
    return sorted(_ENTRIES, key=_natural)


def suggestion(name: str) -> str:
    """``"; did you mean 'resnet18'?"`` for the model name nearest to ``name``; empty if no name is near."""
    spelled = {known.replace("_", ""): known for known in list_models()}
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    near = difflib.get_close_matches(wanted, spelled, n=len(spelled))
    if not near:
        return ""

    def likeness(known: str) -> tuple[float, int]:  # resnet21: resnet20, not resnet32
        return difflib.SequenceMatcher(None, known, wanted).ratio(), len(os.path.commonprefix([known, wanted]))

    return f"; did you mean {spelled[max(near, key=likeness)]!r}?"


def model_entry(name: str) -> ModelEntry:
    """The entry of one model in the list. Raises ValueError, with the nearest name, for an unknown one."""
    if not isinstance(name, str) or name not in _ENTRIES:
        raise ValueError(f"no model is called {name!r}{suggestion(str(name))} (list_models() names them all)")
    return _ENTRIES[name]
