"""Inference mode: a model recorded once, with its operations joined, its weights packed and its memory planned.

    model = models.resnet18(weights="resnet18.pth").eval()
    fast = minicnn.compile(model)
    logits = fast(images)  # what model(images) gives under no_grad

The first call for each shape and dtype of the input runs the model's own ``forward`` and records it (``trace.py``).
Batch norms go into the filters before them, sums and ReLUs into the loop that writes a convolution's result
(``fuse.py``), filters are packed once for all shapes, and every value is dropped after its last use (``run.py``).
Further calls run no line of the model.

The results are those of the model in evaluation mode without gradients, to rounding: 1e-4 relative in float32. They
never require grad, whatever the input does.

A change of the model is noticed at the next call, and it is recorded anew: tensors written or replaced, also through
``.data`` and ``.numpy()`` when they are asked for after the last recording; modules exchanged; a module's numbers,
flags and strings changed. While there are forward hooks, the model runs as it is.

It also runs as it is, with one warning, where a recording would not hold: a ``forward`` that looks at the numbers it
computes (``if x.mean() > 0``, ``.item()``, ``.numpy()``), draws random numbers, or changes the model. And without a
warning where there is nothing to be won: on a GPU, with another backend than ``cpu``, for other dtypes than float32
and float64, inside ``detect_anomaly`` and ``no_deferral``.

What cannot be noticed, so that the recording stays: numbers that ``forward`` takes from outside the model, such as a
global variable, the time, or Python's and NumPy's own random numbers; what is inside a list or dictionary of the
model, unless its length changes; writes into an array that was taken out of the model before it was recorded; and
operations that ``forward`` leaves to other threads. Side effects, such as printing a shape, happen while recording.
"""

from __future__ import annotations

from .model import CompiledModel, compile

__all__ = ["CompiledModel", "compile"]
