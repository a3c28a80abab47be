"""Models by name, with their weights: which variant a weights file is for, and why it does not fit."""

from __future__ import annotations

import operator
import os
import warnings
from contextlib import nullcontext
from typing import Any

from .. import nn
from ..nn.state import StateMismatch
from ..serialization import load_state_dict
from .card import Card
from .misfit import misfit
from .registry import ModelEntry, model_entry


def _positive(argument: str, value: Any) -> int:
    """``value`` as a positive int. Raises ValueError, which names the argument and its value."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{argument} (={value!r}) must be a positive integer")
    return number


def create_model(
    name: str,
    num_classes: int | None = None,
    variant: str | None = None,
    in_channels: int = 3,
    weights: str | os.PathLike[str] | None = None,
    init: bool = True,
    **options: Any,
) -> nn.Module:
    """Build a model by name.

    Args:
        name: one of ``list_models()``.
        num_classes: width of the last layer. None: the paper's, 1000 for ImageNet networks, 10 for CIFAR's.
        variant: ``"paper"``, or ``"torchvision"`` for the network that published weights fit; for many models the two
            are the same.
            None: the paper's; with ``weights``, the variant of the file, if it comes from
            ``minicnn train`` and says so, or else the published one. The two can have equal keys and shapes
            (ResNet-50), and the results of the wrong one would be silently wrong.
        in_channels: channels of the image, 1 for grey.
        weights: a file that ``minicnn.load`` reads, whose keys and shapes must be the model's.
        init: False does not draw the parameters, if the caller loads all of them.
        options: passed on to the architecture, e.g. ``zero_init_residual=True``.

    Raises ValueError for an unknown name (with the nearest one), a variant that the model does not have, a
    ``num_classes`` or ``in_channels`` that is not a positive integer, and weights that do not fit; and
    ``minicnn.load``'s errors for a file that it cannot read. Warns if ``variant`` is not that of the weights.
    """
    entry = model_entry(name)
    if num_classes is not None:
        num_classes = _positive("num_classes", num_classes)
    weights_variant = entry.variants[0] if weights is None else _variant_of(weights, entry)
    variant = entry.variant_called(variant or weights_variant)
    if len(entry.variants) > 1:
        options["variant"] = variant
    arguments = {
        "num_classes": entry.num_classes if num_classes is None else num_classes,
        "in_channels": _positive("in_channels", in_channels),
        **options,
    }
    if weights is None:
        with nullcontext() if init else nn.init.skip():
            return entry.builder(**arguments)
    if variant != weights_variant:
        warnings.warn(
            f"{os.fspath(weights)!r} goes into the {variant!r} variant of {name}, but holds weights of the "
            f"{weights_variant!r} variant: the results will be silently wrong",
            stacklevel=2,
        )
    state = load_state_dict(weights)
    with nn.init.skip():
        model = entry.builder(**arguments)
    try:
        model.load_state_dict(state)
    except StateMismatch as error:
        reason = misfit(error, arguments["num_classes"], arguments["in_channels"])
        raise ValueError(f"the weights in {os.fspath(weights)!r} do not fit {name}: {reason}\n{error}") from error
    return model


def _variant_of(weights: str | os.PathLike[str], entry: ModelEntry) -> str:
    """The variant of a weights file: the one in the card of a training run, or else the published one."""
    return Card.read(weights).variant or entry.public_variant
