"""The compiler: a model recorded once, and then run by a plan, in training and in inference.

    model = minicnn.compile(models.resnet18())
    loss = cross_entropy(model(images), targets)  # one node on the tape
    loss.backward()

A call gives what ``model(images)`` gives, to rounding: 1e-4 relative in float32. Gradients, running statistics and
random numbers are those of eager too. ``docs/compiler.md`` follows a residual block from its text to its plan, and
``README.md`` is the way through this package.

The first call of each kind runs the model's own ``forward`` and records it. Of one kind are calls with the same shapes,
dtypes and devices, with and without gradients, in the same mode, with the same parameters frozen, the same modules and
the same settings of all modules. Parameters are inputs of a plan: an optimiser's step or a loaded checkpoint changes
nothing about it. Without gradients, filters are packed, with the norms after them folded in, and packed again when a
parameter has been written into.

Eager runs instead, with one warning, where a recording would not hold: a ``forward`` that looks at the numbers it
computes (``if x.mean() > 0``, ``.item()``, ``.numpy()``), draws random numbers outside an operation, or changes the
model. And without a warning inside ``detect_anomaly``, with a forward hook on a module, for empty inputs, for integers,
and where the functions of ``backend/reference`` are to compute (``cpu.plain``).

What cannot be noticed, so that the recording stays: numbers that ``forward`` takes from outside the model, such as a
global variable, the time, or Python's and NumPy's own random numbers; what is inside a list or dictionary of the
model, unless its length changes; without gradients, writes into an array that was taken out of the model before it was
recorded; and operations that ``forward`` leaves to other threads. Side effects, such as printing a shape, happen while
recording.
"""

from __future__ import annotations

from .model import CompiledModel, compile

__all__ = ["CompiledModel", "compile"]
