"""The compiler: a model is recorded once, and then run by a plan, in training and in inference.

    model = minicnn.compile(models.resnet18())
    loss = cross_entropy(model(images), targets)  # one node on the tape
    loss.backward()

A call returns what ``model(images)`` returns, up to rounding (1e-4 relative in float32). Gradients, running statistics
and random numbers are also those of eager. ``docs/compiler.md`` follows a residual block from its code to its plan, and
``README.md`` says in which order to read this package.

The first call of each kind runs the model's own ``forward`` and records it. Two calls are of one kind if they have the
same shapes, dtypes and devices, and the same mode: training or evaluation, with or without gradients, with the same
parameters frozen, the same modules and the same settings of all modules. Parameters are inputs of a plan, so an
optimiser's step or a loaded checkpoint does not change it. Without gradients, filters are packed, with the norms after
them folded in; after a write into a parameter they are packed again.

If a recording would not be valid for other inputs, the model runs eagerly, with one warning: when ``forward`` reads the
numbers that it computes (``if x.mean() > 0``, ``.item()``, ``.numpy()``), draws random numbers outside an operation, or
changes the model. It runs eagerly without a warning inside ``detect_anomaly``, with a forward hook on a module, for
empty inputs, for integers, and inside ``cpu.plain``, where the functions of ``backend/reference`` compute.

The recording stays in use where a change cannot be noticed: of numbers that ``forward`` takes from outside the model,
such as a global variable, the time, or Python's and NumPy's own random numbers; of the contents of a list or dictionary
of the model, unless its length changes; and, without gradients, of an array that was taken out of the model before it
was recorded. Nor are operations noticed that ``forward`` runs in other threads. Side effects, such as printing a shape,
happen only while recording.
"""

from __future__ import annotations

from .model import CompiledModel, compile

__all__ = ["CompiledModel", "compile"]
