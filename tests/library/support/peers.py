"""The libraries minicnn is compared with, each imported at the call, or the test skipped with the reason.

    torch = peers.torch()                # in a test, a fixture, or at the top of a test module
    torchvision = peers.torchvision()
    timm = peers.timm()

At the top of a test module a missing peer skips the whole module, inside a test only that test.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import pytest

# The operators whose shapes torchvision registers while it is being imported. Only their names must exist.
TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _import_or_skip(name: str) -> ModuleType:
    """Import the top-level module `name`; where it is missing or broken, skip the calling test or module."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library of the peer does not load
        pytest.skip(f"compares with {name}, which does not import here: {error}", allow_module_level=True)


@cache
def torch() -> ModuleType:
    """PyTorch, held to one thread so that parallel test workers do not fight over the cores."""
    module = _import_or_skip("torch")
    module.set_num_threads(1)
    return module


@cache
def _declare_torchvision_operators() -> Any:
    """Declare torchvision's compiled operators to PyTorch, which forgets them with the returned object."""
    library = torch().library.Library("torchvision", "DEF")
    for schema in TORCHVISION_OPERATORS:
        library.define(schema)
    return library


@cache
def torchvision() -> ModuleType:
    """torchvision, also where its compiled operators do not load beside the installed PyTorch.

    That is the case for a wheel built for another flavour of PyTorch (GPU, CPU): the import then stops with
    "operator torchvision::nms does not exist", although the models are plain Python. With the names declared,
    models and transforms work; only a compiled operator (`nms`, `deform_conv2d`) fails when it is called.
    """
    torch()
    try:
        return _import_or_skip("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        return _import_or_skip("torchvision")


@cache
def timm() -> ModuleType:
    """timm, which imports torchvision; its models need no other package as long as nothing is downloaded."""
    torchvision()
    return _import_or_skip("timm")
