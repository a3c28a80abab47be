"""The card in a weights file: what a user who has only the weights must know.

``minicnn train`` writes it as the metadata that ``.safetensors`` and ``.npz`` files can hold: one entry, the JSON
text of the fields below. Files from other programs have no card.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..data.drawings import Style
from ..data.transforms import ImageClassification
from ..errors import FileFormatError
from ..serialization import load_metadata

KEY = "minicnn"  # of the metadata's entry; the order of several entries would not be fixed


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the weights are for; None if the file does not say.

    Attributes:
        model: the name for ``create_model``.
        variant: of the model; None also if the model has only one.
        classes: their names, in the order of the logits.
        input_shape: (C, H, W) of one image.
        resize: the size to which an image of another size is scaled before its centre is cut out: the shorter side, or
            [height, width].
        mean, std: per channel, in [0, 1].
        ground, extent: how the images are drawn, if they are (``data.drawings.Style``).
    """

    model: str | None = None
    variant: str | None = None
    classes: tuple[str, ...] | None = None
    input_shape: tuple[int, ...] | None = None
    resize: int | tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    ground: float | None = None
    extent: float | None = None

    def metadata(self) -> dict[str, str]:
        """The card as the argument of ``save(..., metadata=...)``."""
        return {KEY: json.dumps(asdict(self))}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Card:
        """The card in a file; an empty card if there is none.

        Raises:
            FileFormatError: for a file that is damaged, or a card with wrong entries.
            OSError: if the file does not exist or cannot be read.
        """
        text = load_metadata(path).get(KEY, "{}")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise FileFormatError(f"{os.fsdecode(path)}: expected a JSON object as its card, got {_short(text)}")
        known: dict[str, Any] = {}
        for name in (field.name for field in fields(cls)):
            value = content.get(name)
            if value is not None and not CHECKS[name](value):
                raise FileFormatError(f"{os.fsdecode(path)}: its card has {_short(value)} as {name}")
            known[name] = tuple(value) if isinstance(value, list) else value
        card = cls(**known)
        channels = {len(card.mean or ()), len(card.std or ()), *(card.input_shape or (0,))[:1]} - {0}
        if len(channels) > 1:
            raise FileFormatError(f"{os.fsdecode(path)}: its card has input_shape, mean and std of different channels")
        return card

    def transform(self) -> ImageClassification | None:
        """The transform from a picture to the network's input; None if the card does not say."""
        if self.input_shape is None or self.mean is None or self.std is None:
            return None
        crop = self.input_shape[1:]
        return ImageClassification(crop, crop if self.resize is None else self.resize, self.mean, self.std)

    def style(self) -> Style | None:
        """How the images are drawn; None if they are no drawings of one channel, or the card does not say."""
        if self.ground is None or self.extent is None or self.mean is None or len(self.mean) != 1:
            return None
        return Style(self.ground, self.extent, ink=abs(self.mean[0] - self.ground))


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _list_of(kind: type | tuple[type, ...], holds: Callable[[Any], bool] = lambda item: True) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) > 0
            and all(isinstance(item, kind) and not isinstance(item, bool) and holds(item) for item in value)
        )

    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_SIDE


LEAST_EXTENT = 0.1  # below, cutting out what is drawn would enlarge the picture without need
LARGEST_SIDE = 1 << 14  # of an image in a card: a damaged number must not use up all memory

CHECKS: dict[str, Callable[[Any], bool]] = {
    "model": _is_text,
    "variant": _is_text,
    "classes": _list_of(str),
    "input_shape": lambda value: _list_of(int, _is_size)(value) and len(value) == 3,
    "resize": lambda value: _is_size(value) or (_list_of(int, _is_size)(value) and len(value) == 2),
    "mean": _list_of((int, float), lambda number: abs(number) < 1e6),
    "std": _list_of((int, float), lambda number: 0 < number < 1e6),
    "ground": _is_share,
    "extent": lambda value: _is_share(value) and value >= LEAST_EXTENT,
}


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
