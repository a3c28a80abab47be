"""The lecture's architectures, one file each; ``create_model`` builds any of them by name.

Every module of this package is imported here and registers its own builders, so a new architecture is one new
file. A builder is an attribute of this package, as in torchvision: ``minicnn.models.resnet18()``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from .backbone import features
from .card import Card
from .hub import create_model
from .prediction import Classifier, Guess, Prediction, load_classifier, predict
from .preprocessing import preprocessing
from .registry import (
    ModelEntry,
    Paper,
    list_models,
    model_entry,
    register,
    suggestion,
)

__all__ = [
    "Card",
    "Classifier",
    "Guess",
    "ModelEntry",
    "Paper",
    "Prediction",
    "create_model",
    "features",
    "list_models",
    "load_classifier",
    "model_entry",
    "predict",
    "preprocessing",
    "register",
    "suggestion",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

# After the imports, so that a builder replaces a module of the same name (``alexnet``).
globals().update({name: model_entry(name).builder for name in list_models()})


def __getattr__(name: str) -> Any:
    if name in list_models():  # registered later, outside this package
        return model_entry(name).builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{suggestion(name)}")
