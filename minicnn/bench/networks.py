"""How long a network takes for one batch, in inference and in a training step, and what memory that needs.

GFLOP/s count a multiply-add as two operations, those of ``minicnn.nn.summary`` (convolutions and matrix products), and
a training step as three forward passes: the gradients at inputs and at weights cost one forward pass each. The first
layer needs no gradient at its input, and auxiliary classifiers are not counted, so the count is not quite exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minicnn

from ..autograd import no_grad
from ..creation import tensor
from ..models import create_model, model_entry
from ..models.googlenet import auxiliary_loss
from ..nn import Module
from ..nn.summary import multiply_adds
from ..optim import SGD
from ..random import manual_seed
from ..tensors import Tensor
from .measuring import forget_peak, give_memory_back, median_time, peak_bytes, resident_bytes

VARIANT = "torchvision"  # as in comparisons with PyTorch
FORWARD_PASSES = {"inference": 1, "training": 3}  # the cost of one step


class Measured(NamedTuple):
    """One network in one setting. ``step_bytes`` is what a step needs beyond network, optimiser and images."""

    model: str
    work: str
    batch: int
    size: int
    seconds: float
    multiply_adds: int
    step_bytes: int | None
    total_bytes: int | None

    @property
    def images_per_second(self) -> float:
        """Images per second, in inference or training."""
        return self.batch / self.seconds

    @property
    def flops(self) -> float:
        """Operations per second, counted as this module says."""
        return 2 * self.multiply_adds / self.seconds


def images_and_labels(batch: int, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, 3, H, W) in float32 and labels (N,), always the same."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 3, size, size), dtype=np.float32), rng.integers(0, classes, batch)


def inference(model: Module, images: Tensor) -> Callable[[], np.ndarray]:
    """A function that computes the logits of ``images``, by ``minicnn.compile`` if this version has it."""
    compile_model: Callable[[Module], Callable[[Tensor], Tensor]] = getattr(minicnn, "compile", lambda module: module)
    run = compile_model(model.eval())

    def infer() -> np.ndarray:
        with no_grad():
            return run(images).numpy()

    return infer


def training(model: Module, images: Tensor, labels: Tensor, compiled: bool = False) -> Callable[[], float]:
    """A function that makes one step of training (SGD with momentum and weight decay) and returns the loss.

    ``compiled``: the forward runs by ``minicnn.compile``.
    """
    optimizer = SGD(model.train().parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    run: Callable[[Tensor], Any] = minicnn.compile(model) if compiled else model

    def step() -> float:
        optimizer.zero_grad()
        loss = auxiliary_loss(run(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def measure(name: str, work: str, batch: int, size: int | None = None, seconds: float = 1.0) -> Measured:
    """Time one network.

    Args:
        name: one of ``list_models()``.
        work: ``"inference"`` or ``"training"``.
        batch: images per step.
        size: side of an image; None is the model's own.
        seconds: how long to measure, after steps that warm up.
    """
    entry = model_entry(name)
    size = size or entry.input_size
    give_memory_back()
    manual_seed(0)
    model = create_model(name, variant=VARIANT)
    images, labels = map(tensor, images_and_labels(batch, size, entry.num_classes))
    count = FORWARD_PASSES[work] * batch * multiply_adds(model, (3, size, size))
    built = resident_bytes()
    run = inference(model, images) if work == "inference" else training(model, images, labels)
    run()  # compiles
    give_memory_back()
    known = forget_peak()
    run()  # allocates the memory that the timed steps use
    elapsed = median_time(run, seconds)
    peak = peak_bytes() if known else None
    step = None if peak is None or built is None else max(0, peak - built)
    return Measured(name, work, batch, size, elapsed, count, step, peak)
