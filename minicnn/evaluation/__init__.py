"""Tested again, and compared: what a trained network gets right and wrong, how sure it is, and runs side by side.

``evaluate`` measures any classifier on any loader; ``minicnn evaluate`` and ``minicnn compare`` make pages of it.
Start reading at ``measuring.py``. The numbers themselves are functions of arrays, in ``scores.py`` and
``calibration.py``.
"""

from __future__ import annotations

from .calibration import Calibration, calibration
from .comparison import ComparedRun, Comparison, compare
from .measuring import Evaluation, evaluate
from .scores import ClassScores, class_scores, confused_pairs, confusion_matrix, wilson_interval

__all__ = [
    "Calibration",
    "ClassScores",
    "ComparedRun",
    "Comparison",
    "Evaluation",
    "calibration",
    "class_scores",
    "compare",
    "confused_pairs",
    "confusion_matrix",
    "evaluate",
    "wilson_interval",
]


def __dir__() -> list[str]:
    return __all__
