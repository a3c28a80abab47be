"""The forward of any network, recorded as a graph: what ran, in which module, on what, and at which line of code.

The network runs once, as it is. The tape reports every operation to the ``Recorder``, and hooks report where a layer
begins and ends. So a *step* of the graph is

* one call of a *layer*, a module of ``minicnn.nn`` with no modules inside, with all operations that it needs; or
* one call of a function (``relu(x)``, ``x + y``, ``x.flatten(1)``) that stands in the ``forward`` of another module.

An edge leads from the step that made a tensor to each step that reads it. Tensors that do not come from the network's
input, such as weights, are no steps.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd import enable_grad, scope
from ..autograd.function import gradient_edge
from ..autograd.modes import SWITCHES
from ..hooks import RemovableHandle
from ..nn import Module
from ..nn.summary import evaluating
from ..ops.shape import Reshape
from ..tensors import Tensor
from .names import kind_of_call, label
from .source import Call, calling
from .steps import INPUT, Recording, Step

MARK = "_step"  # the attribute of a tensor that says where it comes from

Seen = Callable[[Step, Tensor], None]


def record(model: Module, image: Tensor, seen: Seen | None = None, counter: Any = None) -> Recording:
    """Run ``model`` on ``image``, in evaluation mode and on the tape, and return what ran.

    The parameters do not require gradients meanwhile: the tape leads to the image alone. Afterwards the model is as
    before, also after an error.

    Args:
        image: (1, C, H, W).
        seen: called with each step and its output as soon as that is there; again with the same step if more of it
            follows. What is in the output may be overwritten by later steps.
        counter: has ``multiply_adds``, which grow while operations run.

    Raises:
        ValueError: if the network returns no tensor that it has computed from the image, or the image itself.
    """
    recorder = _Recorder(model, seen or (lambda step, output: None), counter)
    image = image.detach().requires_grad_()
    recorder.mark(image, INPUT)
    with evaluating(model), _frozen(model), recorder.attached(), enable_grad():
        returned = model(image)
    output = next(_tensors(returned), None)
    origin = None if output is None else recorder.origin(output)
    if origin == INPUT:
        raise ValueError("expected a network that computes something from the image, got one that returns the image")
    if output is None or origin is None:
        raise ValueError(
            f"expected a network whose output is computed from the image by minicnn's operations, got one that returns "
            f"{'such a tensor nowhere' if output is None else 'a tensor from elsewhere'}: {type(returned).__name__}"
        )
    return Recording(recorder.steps, image, output, origin, recorder.codes)


def _tensors(returned: Any) -> Iterator[Tensor]:
    """The tensors in what a module returns, from the first on."""
    if isinstance(returned, Tensor):
        yield returned
    elif isinstance(returned, (tuple, list, dict)):
        for item in returned.values() if isinstance(returned, dict) else returned:
            yield from _tensors(item)


@contextmanager
def _frozen(model: Module) -> Iterator[None]:
    """No parameter requires a gradient inside the block."""
    thawed = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.is_leaf]
    try:
        for parameter in thawed:
            parameter.requires_grad = False
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad = True


def is_layer(module: Module) -> bool:
    """Whether it is a layer of ``minicnn.nn``, whose inside is not shown."""
    return not module._modules and type(module).forward.__module__.startswith("minicnn.nn.")


class _Recorder:
    """What the tape and the hooks report to while the network runs."""

    def __init__(self, model: Module, seen: Seen, counter: Any) -> None:
        self.model, self.seen, self.counter = model, seen, counter
        self.steps: list[Step] = []
        self.codes: dict[str, Counter[Any]] = {}
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._parameters = {id(parameter): parameter.numel() for parameter in model.parameters()}
        self._counted = 0 if counter is None else counter.multiply_adds
        self._used: set[int] = set()  # the parameters that steps have used
        self._behind: dict[int, set[int]] = {}  # by the id of a tensor made of parameters alone: which ones
        self._kept: list[Tensor] = []  # those tensors, so that no id is given twice
        self._arrays: dict[int, tuple[weakref.ref[Any], int]] = {}  # by the id of an array: itself, and its step
        self._layer: Step | None = None  # the layer that runs
        self._frame: Any = None  # of the function call that the last step is; another one is another step
        self._name = ""  # of that function

    # ---- where a tensor comes from -------------------------------------------------------------------------------

    def mark(self, tensor: Tensor, step: int) -> None:
        """Note that ``tensor`` comes from ``step``."""
        setattr(tensor, MARK, step)
        if isinstance(tensor.array, np.ndarray):  # other tensors may be made on the array without an operation
            self._arrays[id(tensor.array)] = weakref.ref(tensor.array), step

    def origin(self, tensor: Tensor) -> int | None:
        """The step that made ``tensor``; None for one that is not computed from the network's input."""
        step = getattr(tensor, MARK, None)
        if step is not None:
            return step
        array, step = self._arrays.get(id(tensor.array), (lambda: None, None))
        return step if array() is tensor.array else None

    # ---- what is reported ----------------------------------------------------------------------------------------

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listen to the tape and to every layer inside the block."""
        handles: list[RemovableHandle] = []
        before = SWITCHES.recorder
        try:
            for module in self.model.modules():
                if is_layer(module):
                    handles.append(module.register_forward_pre_hook(self._enter))
                    handles.append(module.register_forward_hook(self._leave))
            SWITCHES.recorder = self
            yield
        finally:
            SWITCHES.recorder = before
            for handle in handles:
                handle.remove()
            self._frame = self._layer = None

    def record(self, ctx: Any, args: Any, options: Any, outputs: tuple[Tensor, ...]) -> None:
        """The tape: an operation has run."""
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        origins = [self.origin(tensor) for tensor in tensors]
        parameters = {id(tensor) for tensor in tensors if id(tensor) in self._parameters}
        parameters.update(*(self._behind.get(id(tensor), ()) for tensor in tensors))
        if all(origin is None for origin in origins):  # it prepares weights
            if parameters:
                self._kept += outputs
                self._behind.update((id(output), parameters) for output in outputs)
            return
        step = self._layer
        if step is None:
            step = self._step_of(calling(sys._getframe(1)))
        step.operations.append((type(ctx).__name__, getattr(ctx, "window", None)))
        step.inputs = list(dict.fromkeys([*step.inputs, *(at for at in origins if at not in (None, step.id))]))
        self._use(step, parameters)
        written = [tensor for tensor in tensors if id(tensor.array) in ctx._dirty]
        for tensor in (*outputs, *written):
            self.mark(tensor, step.id)
        if step is not self._layer:
            step.kind = kind_of_call(self._name, [name for name, _ in step.operations])
            self._shown(step, outputs[0], written[0] if written else outputs[0])

    def _step_of(self, call: Call) -> Step:
        """The step of a function call: the last one, if it is the same call."""
        if call.frame is not None and call.frame is self._frame:
            return self.steps[-1]
        running = scope.stack()
        known = [module for module in running if id(module) in self._paths]
        step = Step(len(self.steps), self._paths[id(known[-1])] if known else "", "", line=call.line)
        self._note(step, call)
        self._frame, self._name = call.frame, call.name
        return step

    def _note(self, step: Step, call: Call) -> None:
        self.steps.append(step)
        path = self._paths.get(id(call.owner))
        if path is not None:
            self.codes.setdefault(path, Counter())[call.code] += 1

    def _enter(self, module: Module, args: Any) -> None:
        self._frame = None
        self._layer = Step(len(self.steps), self._paths[id(module)], type(module).__name__, layer=module)

    def _leave(self, module: Module, args: Any, output: Any) -> Any:
        step = self._layer
        assert step is not None
        first = next(_tensors(output), None)
        if not step.operations and first is not None and self.origin(first) is not None:
            output = first = Reshape.apply(first, first.shape)  # it has passed its input on: a tensor of its own
        self._layer = None
        if not step.operations or first is None:
            return output
        call = calling(sys._getframe(0))
        step.line = call.line
        self._note(step, call)
        self._use(step, {id(parameter) for parameter in module.parameters(recurse=False)})
        self.mark(first, step.id)
        self._shown(step, first, first)
        return output

    def _use(self, step: Step, parameters: set[int]) -> None:
        """``step`` uses these parameters, and what has been computed since the last one is its own."""
        new = parameters - self._used
        self._used |= new
        step.parameters += sum(self._parameters[parameter] for parameter in new if parameter in self._parameters)
        if self.counter is not None:
            step.multiply_adds += self.counter.multiply_adds - self._counted
            self._counted = self.counter.multiply_adds

    def _shown(self, step: Step, output: Tensor, holder: Tensor) -> None:
        """``holder`` is the tensor that the network goes on with: after a write in place, the one written into."""
        step.batched = output.shape[:1] == (1,)
        step.shape = output.shape[1:] if step.batched else output.shape
        step.edge = gradient_edge(output) if output.requires_grad else None
        step.label = label(step, output)
        self.seen(step, holder)
