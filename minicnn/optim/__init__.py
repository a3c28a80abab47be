"""Optimisers and learning-rate schedules, with PyTorch's names and results."""

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]


def __dir__() -> list[str]:
    return __all__
