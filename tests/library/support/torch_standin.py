"""Run torchvision's published model files with another package in ``torch``'s place.

The source is read from the installed torchvision and executed as it is; torchvision itself is not imported.
What a model file wants from the rest of torchvision (weights' metadata, usage logging) is a few lines here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# What the model files import from PyTorch.
TORCH_MODULES = ("nn", "nn.functional", "nn.init", "jit", "utils", "utils.checkpoint")


def model_source(name: str) -> str:
    """The text of torchvision's ``models/<name>.py``; skips the calling test without torchvision."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        pytest.skip("runs torchvision's own model files, and torchvision is not installed here")
    return (Path(spec.origin).parent / "models" / f"{name}.py").read_text(encoding="utf-8")


def run_model_file(name: str, torch: ModuleType) -> ModuleType:
    """Torchvision's model file ``name`` as a module in which ``import torch`` gave the package ``torch``."""
    return run(model_source(name), torch, f"torchvision_{name}")


def run(source: str, torch: ModuleType, name: str = "lecture") -> ModuleType:
    """Execute ``source`` with ``torch`` in PyTorch's place, and return the module it makes."""
    package = f"{name}_with_{torch.__name__}"
    module = ModuleType(f"{package}.models.{name}")
    module.__package__ = f"{package}.models"
    with _modules({**_in_place_of_torch(torch), **_rest_of_torchvision(package)}):
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module


def _in_place_of_torch(torch: ModuleType) -> dict[str, ModuleType]:
    modules = {"torch": torch}
    for name in TORCH_MODULES:
        modules[f"torch.{name}"] = importlib.import_module(f"{torch.__name__}.{name}")
    return modules


@contextmanager
def _modules(replacements: dict[str, ModuleType]) -> Iterator[None]:
    """Let imports find ``replacements``, and of PyTorch nothing else."""
    hidden = {name: sys.modules[name] for name in list(sys.modules) if name.partition(".")[0] == "torch"}
    for name in hidden:
        del sys.modules[name]
    sys.modules.update(replacements)
    try:
        yield
    finally:
        for name in replacements:
            del sys.modules[name]
        sys.modules.update(hidden)


class _Weights:
    """Where to download what: kept, never used."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields


class _WeightsEnum:
    """No weights can be asked for: the builders are called without."""

    @classmethod
    def verify(cls, weights: None) -> None:
        assert weights is None


def _decorator(*args: Any, **kwargs: Any) -> Any:
    return lambda function: function


def _rest_of_torchvision(package: str) -> dict[str, ModuleType]:
    contents: dict[str, dict[str, Any]] = {
        "transforms._presets": {"ImageClassification": object},
        "utils": {"_log_api_usage_once": lambda model: None},
        "models._api": {"register_model": _decorator, "Weights": _Weights, "WeightsEnum": _WeightsEnum},
        "models._meta": {"_IMAGENET_CATEGORIES": ()},
        "models._utils": {"handle_legacy_interface": _decorator, "_ovewrite_named_param": dict.__setitem__},
    }
    modules = {}
    for name, members in contents.items():
        module = ModuleType(f"{package}.{name}")
        module.__dict__.update(members)
        modules[module.__name__] = module
    return modules
