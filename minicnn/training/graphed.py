"""The training step as a CUDA graph: the same numbers as step by step, without Python between the kernels."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..autograd import gradient_edge
from ..backend import cuda
from ..compiler import CompiledModel
from ..compiler.state import state_of
from ..cuda import CUDAGraph, graph
from ..cuda import device as on_gpu
from ..devices import as_device
from ..nn import Module
from ..tensors import Tensor
from .ranks import ranks

if TYPE_CHECKING:
    from .loop import Trainer

WARM_UP = 3  # steps before: kernels are compiled, cuDNN's plans chosen, the optimiser's averages made


class GraphedStep:
    """A trainer's ``forward`` and ``update``, captured together once they have run some times on batches of one shape.

    Then ``forward`` does the whole step, and ``update`` nothing. Other batches, and all where a step cannot be captured
    (without cuDNN, without ``minicnn.compile``, with a scaled loss, in a process group), run as the trainer does them.
    If the capture fails, one warning says why.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.refused = False
        self.reset()

    def reset(self) -> None:
        """Capture again, after other steps: something has changed that the graph does not follow."""
        self.graph = CUDAGraph()
        self.before: tuple[list[Any], list[Any]] = [], []  # what must stay as it was when the step was captured
        self.inputs: tuple[Tensor, Tensor] | None = None
        self.outputs: tuple[Tensor, Tensor] | None = None
        self.seen: Counter[Any] = Counter()  # how many batches of each shape
        self.replayed = False

    def begin_epoch(self) -> None:
        """Look whether the step is still the one that was captured."""
        if self.graph.captured and not _same(self.before, _identity(self.trainer)):
            self.reset()

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Trainer.forward``."""
        self.replayed = self._captured(images, targets)
        if not self.replayed:
            self.seen[images.shape, targets.shape] += 1
            logits, loss = self.trainer.forward(images, targets)
            return logits, loss
        assert self.inputs is not None and self.outputs is not None
        for place, batch in zip(self.inputs, (images, targets), strict=True):
            place[...] = batch
        self.graph.replay()
        logits, loss = self.outputs
        return logits.clone(), loss.clone()  # the next replay overwrites them

    def update(self, loss: Tensor, weight: Any) -> None:
        """As ``Trainer.update``."""
        if not self.replayed:
            self.trainer.update(loss, weight)

    def _captured(self, images: Tensor, targets: Tensor) -> bool:
        """Whether the step on such a batch is captured, now or before."""
        if self.refused or not _suits(self.trainer):
            return False
        if self.inputs is None:
            if self.seen[images.shape, targets.shape] < WARM_UP or _hooked(self.trainer.model):
                return False
            self.inputs = images.clone(), targets.clone()
            self.before = _identity(self.trainer)
            try:
                with on_gpu(images.device), graph(self.graph):
                    logits, loss = self.trainer.forward(*self.inputs)
                    self.trainer.update(loss, None)
            except (RuntimeError, MemoryError) as error:  # nothing has been computed
                warnings.warn(f"the training step is not captured ({error}); it runs as before", stacklevel=4)
                self.reset()
                self.refused = True
                return False
            self.outputs = logits, loss.detach()
        pairs = zip(self.inputs, (images, targets), strict=True)
        return all(place.shape == x.shape and place.dtype == x.dtype for place, x in pairs)


def _suits(trainer: Trainer) -> bool:
    """Whether a step of this training may be captured."""
    return (
        as_device(trainer.device).type == "cuda"
        and cuda.convolution == "cudnn"
        and isinstance(trainer.network, CompiledModel)
        and trainer.optimizer.capturable
        and not trainer.scaler.is_enabled()  # it reads whether the gradients are finite
        and ranks() == 1
    )


def _hooked(model: Module) -> bool:
    """Whether there are hooks on gradients, which a graph would not call."""
    return any(
        parameter.post_accumulate_hooks or (parameter.requires_grad and gradient_edge(parameter)[0].hooks)
        for parameter in model.parameters()
    )


def _identity(trainer: Trainer) -> tuple[list[Any], list[Any]]:
    """The settings of a step, to be compared by their values, and the objects that it uses."""
    state, optimizer = state_of(trainer.model), trainer.optimizer
    options = [value for group in optimizer.param_groups for value in group.values() if isinstance(value, bool)]
    arithmetic = cuda.allow_tf32_convolutions, cuda.allow_tf32_matmuls, trainer.autocast
    settings = [state.key, options, arithmetic, trainer.label_smoothing, _hooked(trainer.model)]
    averages = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    return settings, [optimizer, *(tensor.array for tensor in (*state.tensors, *averages))]


def _same(before: tuple[list[Any], list[Any]], now: tuple[list[Any], list[Any]]) -> bool:
    (settings, objects), (settings_now, objects_now) = before, now
    return (
        settings == settings_now
        and len(objects) == len(objects_now)
        and all(a is b for a, b in zip(objects, objects_now, strict=True))
    )
