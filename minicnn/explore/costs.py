"""What each step costs: the same recording on a backend that only computes shapes, as ``nn.summary`` counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

import numpy as np

from .. import backend
from ..backend.shapes import ShapesBackend, shape_array
from ..devices import CPU
from ..nn import Module
from ..nn.summary import FLOAT32_BYTES, Row, follow_windows
from ..tensors import Tensor
from .recording import record
from .steps import Recording


def costs(model: Module, input_shape: tuple[int, ...]) -> tuple[Recording, list[Row]]:
    """What ``model`` does with an image of ``input_shape`` (C, H, W), and a row of ``nn.summary`` for each step.

    Nothing is computed but shapes. The rows have multiply-adds, bytes, receptive fields and strides, by the conventions
    of ``nn.summary``; but there only layers have bytes, and here every step has, an addition too.
    """
    counter = backend.load("shapes")
    assert isinstance(counter, ShapesBackend)
    first = next(model.parameters(), None)
    image = shape_array((1, *input_shape), np.float32 if first is None else first.dtype)
    with _on_cpu(model), backend.use("shapes"):
        recording = record(model, Tensor.wrap(image), counter=counter)
    rows = [
        Row(
            step.module,
            step.kind,
            (1, *step.shape),
            step.parameters,
            step.multiply_adds,
            prod(step.shape) * FLOAT32_BYTES,
            node=None if step.edge is None else step.edge[0],
        )
        for step in recording.steps
    ]
    follow_windows(rows)
    return recording, rows


@contextmanager
def _on_cpu(model: Module) -> Iterator[None]:
    """The model in main memory, where shapes are computed; afterwards on its device again."""
    places = {parameter.device for parameter in model.parameters()} - {CPU}
    try:
        if places:
            model.cpu()
        yield
    finally:
        for place in places:
            model.to(place)
