"""The classes of a classifier: their scores for the image, their names, and which one is asked for."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tensors import Tensor
from .numbers import short

TOP = 5


class Classes:
    """What the network says about its classes.

    Attributes:
        scores: (classes,) in float64; None for a network that does not return (1, classes).
        labels: the names; None if there are none, or another number of them.
        chosen: the class that is asked for, by its number or its name, or else the likeliest. Digits in a text are a
            number if no class is called so.
    """

    def __init__(self, output: Tensor, labels: Sequence[str] | None, target: int | str | None) -> None:
        self.scores: np.ndarray | None = None
        if output.ndim == 2 and output.shape[0] == 1 and output.shape[1] > 1:
            self.scores = output.detach().cpu().numpy()[0].astype(np.float64)
        count = 0 if self.scores is None else len(self.scores)
        self.labels = list(map(str, labels)) if labels is not None and len(labels) == count else None
        self.chosen: int | None = self._index(target, count)
        if self.scores is not None and self.chosen is None:
            self.chosen = int(np.where(np.isnan(self.scores), -np.inf, self.scores).argmax())

    @property
    def finite(self) -> bool:
        """Whether all scores are, as far as there are any."""
        return self.scores is None or bool(np.isfinite(self.scores).all())

    def label(self, index: int) -> str:
        """The name of a class."""
        return f"class {index}" if self.labels is None else self.labels[index]

    def prediction(self) -> list[dict[str, Any]]:
        """The likeliest classes, with the softmax of their scores; none if there are no finite scores."""
        if self.scores is None or not self.finite:
            return []
        shares = np.exp(self.scores - self.scores.max())
        shares /= shares.sum()
        ranks = np.argsort(-self.scores, kind="stable")[:TOP].tolist()
        return [{"index": at, "label": self.label(at), "probability": short(shares[at])} for at in ranks]

    def _index(self, target: int | str | None, count: int) -> int | None:
        if target is None:
            return None
        if hasattr(target, "__index__"):  # NumPy's whole numbers too
            target = operator.index(target)
        if not count:
            raise ValueError(f"no class {target!r}: the network does not return one number for each class")
        names = self.labels or ()
        found = [index for index, label in enumerate(names) if label.casefold() == str(target).casefold()]
        if isinstance(target, int) or (target.isdecimal() and not found):
            if not 0 <= int(target) < count:
                raise ValueError(f"expected a class from 0 to {count - 1}, got {target}")
            return int(target)
        if not found:
            raise ValueError(f"no class is called {target!r}{_near(target, names)}")
        if len(found) > 1:
            raise ValueError(f"{len(found)} classes are called {target!r}: give a number, {_either(found)}")
        return found[0]


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


def _near(target: str, labels: Sequence[str]) -> str:
    """``"; did you mean 'daisy'?"`` for the name that has ``target`` in it, or is written like it."""
    folded = {label.casefold(): label for label in labels}
    within = [key for key in folded if target.casefold() in key]
    near = within or difflib.get_close_matches(target.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
