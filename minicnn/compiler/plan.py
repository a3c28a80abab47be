"""From a recorded graph to a plan: the calls in the order in which they run, and how long each array is needed.

A run keeps its arrays in one list, ``slots``: the constants among the arguments are in it from the beginning, inputs
and leaves are put in, results are added, and each is dropped after its last use. Everything that does not depend on the
numbers is decided here, once: which slots a call reads, which it writes, and which are free after it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import prod
from operator import itemgetter
from typing import Any, cast

import numpy as np

from ..short_floats import FLOATS
from ..tensors import Tensor
from .growing import share_beginnings
from .record import Call, Graph, Input, Leaf, Returned, Value, mapped, stamp
from .rules import from_leaves, fuse
from .run import Compiled, Context


class Plan:
    """The calls for inputs of one kind. ``print`` it to see how the model is computed.

    Args:
        graph: what was recorded.
        primitives: the backend that computes.
        prepared: values that the plans of one model have computed from its leaves alone, shared among them.
    """

    def __init__(self, graph: Graph, primitives: Any, prepared: dict[Any, Any]) -> None:
        self.primitives = primitives
        self.differentiable = any(r.requires_grad for r in graph.returned)
        self.graph, self.result, self.watched = graph, graph.result, graph.watched
        calls = fuse(graph, primitives, self.differentiable)
        calls = share_beginnings(calls, {r.value for r in graph.returned}, primitives)
        fixed = from_leaves(graph, calls) if not self.differentiable else set()
        self.prepares = [call for call in calls if fixed and call.prepares(fixed)]
        self.calls = [call for call in calls if call not in self.prepares]
        self._number_slots()
        self._choose_results()
        self.steps = [Step(self, index, call) for index, call in enumerate(self.calls)]
        self._plan_memory()
        self.preparation = Preparation(self, prepared)
        self.backward_steps = self._backward_steps() if self.differentiable else []
        self.dirty = [leaf.tensor for leaf in self.leaves if leaf.dirty]

    # ---- building ------------------------------------------------------------------------------------------------

    def _number_slots(self) -> None:
        """A slot for each value, and one for each constant argument."""
        used = {value for call in (*self.prepares, *self.calls) for value in call.reads}
        used |= {r.value for r in self.graph.returned}
        self.inputs = self.graph.inputs
        self.leaves = [leaf for leaf in self.graph.leaves if leaf in used]
        values: list[Value] = [*self.inputs, *self.leaves]
        for call in (*self.prepares, *self.calls):
            values += call.outputs
        self.slot = {value: place for place, value in enumerate(dict.fromkeys(values))}
        self.template: list[Any] = [None] * len(self.slot)

    def slot_of(self, arg: Any) -> int:
        """The slot of an argument."""
        if isinstance(arg, Value):
            return self.slot[arg]
        self.template.append(arg)
        return len(self.template) - 1

    def _choose_results(self) -> None:
        """Choose the values that a run returns: each once, without inputs and leaves."""
        found = dict.fromkeys(
            (r.value, r.requires_grad) for r in self.graph.returned if not isinstance(r.value, (Input, Leaf))
        )
        self.outputs = list(found)
        self.output_slots = [self.slot[value] for value, _ in self.outputs]
        self.place = {key: place for place, key in enumerate(self.outputs)}
        saved = {memory for call in self.calls for memory in call.saves}
        self.saved_leaves = [i for i, value in enumerate((*self.inputs, *self.leaves)) if value.memory in saved]
        self.saved_outputs = [i for i, (value, _) in enumerate(self.outputs) if value.memory in saved]
        # A value that depends on leaves alone is kept for the next run, but the caller may write into a returned one.
        lasting = {value.memory for call in self.prepares for value in call.outputs}
        self.lasting = {self.slot[value] for value, _ in self.outputs if value.memory in lasting}

    def _plan_memory(self) -> None:
        """Decide after which step each value is dropped; leaves stay, because they belong to the model."""
        kept = {value for value, _ in self.outputs} | set(self.leaves)
        kept.update(value for call in self.prepares for value in call.outputs)
        for call, step in zip(reversed(self.calls), reversed(self.steps), strict=True):
            dead = [v for v in (*dict.fromkeys(call.reads), *call.outputs) if v not in kept]
            kept.update(dead)
            step.dead = tuple(self.slot[value] for value in dead)

    def _backward_steps(self) -> list[BackwardStep]:
        """The steps of backward, last call first: only those on the way to a wanted gradient."""
        steps = [BackwardStep(self, step) for step in reversed(self.steps) if any(step.call.differentiable)]
        last = {place: step for step in steps for _, place, _, _ in step.targets}
        for leaf in self.leaves:
            if (place := self.slot[leaf]) in last:
                last[place].completes += ((place, leaf.tensor),)
        return steps

    def holds(self) -> bool:
        """Whether the numbers that the forward has read are still the same."""
        return all(stamp(tensor) == known for tensor, known in self.watched)

    # ---- running -------------------------------------------------------------------------------------------------

    def __call__(self, inputs: tuple[Tensor, ...]) -> Any:
        """What the model returns for ``inputs``."""
        tensors = (*inputs, *(leaf.tensor for leaf in self.leaves))
        if self.differentiable:
            results = Compiled.apply(self, *tensors)
        else:
            with np.errstate(all="ignore"):  # as in ``Function.apply``
                arrays = self.run([tensor.array for tensor in tensors], None)
            place = inputs[0]._device
            results = tuple(Tensor.wrap(array, place) for array in arrays)
        for tensor in self.dirty:
            tensor.mark_written()

        def tensor_of(returned: Returned) -> Tensor:
            value = returned.value
            if isinstance(value, (Input, Leaf)):
                tensor = tensors[self.slot[value]]
                return tensor if returned.itself else tensor.detach()
            return results[self.place[value, returned.requires_grad]]

        return mapped(tensor_of, self.result, Returned)

    def run(self, arrays: list[Any], contexts: list[Any] | None) -> list[Any]:
        """Run the steps on the arrays of inputs and leaves: the results. ``contexts`` collects those for backward."""
        slots = self.template[:]
        slots[: len(arrays)] = arrays
        self.preparation.enter(slots)
        for step in self.steps:
            step.run(slots, contexts)
        return [slots[place].copy() if place in self.lasting else slots[place] for place in self.output_slots]

    def __str__(self) -> str:
        return "\n".join(str(step).rstrip() for step in (*self.preparation.steps, *self.steps))


class Preparation:
    """What a plan without gradients computes from leaves alone, such as packed filters: once, until a leaf changes.

    Args:
        known: what the plans of one model have computed, shared among them.
    """

    def __init__(self, plan: Plan, known: dict[Any, Any]) -> None:
        self.known = known
        self.parts: list[tuple[Step, tuple[Any, ...], list[Leaf]]] = []
        self.values: list[tuple[int, Any]] = []
        self.seen: list[tuple[Leaf, Any]] | None = None
        sources: dict[Value, tuple[Any, list[Leaf]]] = {leaf: (id(leaf.tensor), [leaf]) for leaf in plan.leaves}
        for call in plan.prepares:
            key = (call.operation, *(sources[a][0] if isinstance(a, Value) else _hashable(a) for a in call.args))
            leaves = [leaf for value in call.reads for leaf in sources[value][1]]
            sources.update((value, ((key, place), leaves)) for place, value in enumerate(call.outputs))
            self.parts.append((Step(plan, 0, call), key, leaves))
        self.steps = [step for step, _, _ in self.parts]
        self.leaves = list(dict.fromkeys(leaf for _, _, leaves in self.parts for leaf in leaves))

    def enter(self, slots: list[Any]) -> None:
        """Put the computed values into ``slots``."""
        if self.seen is None or any(stamp(leaf.tensor) != known for leaf, known in self.seen):
            self._make(slots)
        for place, value in self.values:
            slots[place] = value

    def _make(self, slots: list[Any]) -> None:
        values = []
        seen = [(leaf, stamp(leaf.tensor)) for leaf in self.leaves]
        for step, key, leaves in self.parts:
            stamps = [stamp(leaf.tensor) for leaf in leaves]
            if key not in self.known or self.known[key][0] != stamps:
                step.run(slots, None)
                kept = [
                    (leaf.tensor, leaf.tensor.array, leaf.tensor.memory) for leaf in leaves
                ]  # so that no id is given twice
                self.known[key] = stamps, [slots[place] for place in step.outputs], kept
            made = list(zip(step.outputs, self.known[key][1], strict=True))
            for place, value in made:
                slots[place] = value
            values += made
        self.values, self.seen = values, seen


def _hashable(arg: Any) -> Any:
    try:
        hash(arg)
    except TypeError:
        return repr(arg)
    return arg


class Step:
    """One prepared call: ``take`` picks its arguments from the slots."""

    def __init__(self, plan: Plan, index: int, call: Call) -> None:
        self.call, self.index = call, index
        self.forward = call.operation.forward
        self.options = call.options
        self.take = _taker([plan.slot_of(arg) for arg in call.args])
        self.outputs = tuple(plan.slot[value] for value in call.outputs)
        self.output = self.outputs[0] if len(self.outputs) == 1 else None
        self.dead: tuple[int, ...] = ()
        self.context = Context.of(call, plan.primitives)
        self.opaque = any(value.dtype is None for value in call.outputs)  # packed filters
        self.as_array = _as_array(call.outputs, plan.primitives.xp)

    def run(self, slots: list[Any], contexts: list[Any] | None) -> None:
        """Compute the outputs and drop what no later step reads."""
        ctx = self.context()
        result = self.forward(ctx, *self.take(slots), **self.options)
        if type(result) is not tuple:
            slots[self.output] = result if self.opaque else self.as_array(result)  # type: ignore[index]
        else:
            for place, array in zip(self.outputs, result, strict=True):
                slots[place] = self.as_array(array)
        if contexts is not None:
            contexts[self.index] = ctx
        for place in self.dead:
            slots[place] = None

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.call.outputs[0].shape)) if self.call.outputs else ""
        kernels = ", ".join(self.call.kernels) or "its own forward and backward"
        paths = ", ".join(dict.fromkeys(path.partition(".")[2] or path for path, _ in self.call.lines))
        return f"{self.call.name:<32} {shape:<18} {paths:<36} {kernels}"


class BackwardStep:
    """The backward step of one call: from cotangents to the gradients of those inputs whose gradient is wanted."""

    def __init__(self, plan: Plan, step: Step) -> None:
        call = step.call
        self.index, self.outputs, self.output = step.index, step.outputs, step.output
        self.specs = [(value.shape, value.dtype) for value in call.outputs]
        self.backward = call.operation.backward
        self.targets = tuple(
            (position, plan.slot[arg], arg.dtype, _adder(arg, plan.primitives))
            for position, (arg, wanted) in enumerate(zip(call.args, call.needs_input_grad, strict=True))
            if wanted and isinstance(arg, Value)
        )
        self.xp = plan.primitives.xp
        adds = getattr(call.operation, "adds", None)  # the argument whose gradient it adds to an earlier one itself
        self.completes: tuple[tuple[int, Tensor], ...] = ()  # the leaves to which no later step adds a gradient
        self.adds = None if adds is None or not call.needs_input_grad[adds] else plan.slot[call.args[adds]]

    def run(self, contexts: list[Any], gradients: list[Any], keep: bool) -> None:
        """Add this call's gradients to ``gradients``, one entry per slot."""
        if self.output is not None:
            cotangent = gradients[self.output]
            if cotangent is None:
                contexts[self.index] = contexts[self.index] if keep else None
                return
            gradients[self.output] = None
            ctx = contexts[self.index]
            if self.adds is not None:
                ctx.before, gradients[self.adds] = gradients[self.adds], None
            result = self.backward(ctx, cotangent)
            ctx.before = None
        else:
            cotangents = [gradients[place] for place in self.outputs]
            if all(cotangent is None for cotangent in cotangents):
                contexts[self.index] = contexts[self.index] if keep else None
                return
            for place in self.outputs:
                gradients[place] = None
            result = self.backward(contexts[self.index], *map(self._filled, cotangents, self.specs))
        if not keep:
            contexts[self.index] = None
        if type(result) not in (tuple, list):
            result = (result,)
        for position, place, dtype, add in self.targets:
            gradient = result[position]
            if gradient is None:
                continue
            if gradient.dtype != dtype:
                gradient = gradient.astype(dtype)
            before = gradients[place]
            gradients[place] = gradient if before is None else add(before, gradient)

    def _filled(self, cotangent: Any, spec: tuple[tuple[int, ...], Any]) -> Any:
        shape, dtype = spec
        return self.xp.broadcast_to(self.xp.zeros((), dtype), shape) if cotangent is None else cotangent


def _as_array(outputs: tuple[Value, ...], xp: Any) -> Callable[[Any], Any]:
    """What makes an array of a result; in 16 bits where the tape had it so, as ``short_floats.short_results`` says."""
    short = [v.dtype for v in outputs if v.dtype is not None and v.dtype.itemsize == 2 and v.dtype.kind in FLOATS]
    if not short:
        return cast(Callable[[Any], Any], xp.asanyarray)

    def shortened(result: Any) -> Any:
        array = xp.asanyarray(result)
        return array.astype(short[0]) if array.dtype == "float32" else array

    return shortened


def _adder(value: Value, primitives: Any) -> Callable[[Any, Any], Any]:
    """The function that adds two gradients of ``value``."""
    large = prod(value.shape) >= primitives.least_work and value.dtype in ("float32", "float64")
    return primitives.fused.get("add", operator.add) if large else operator.add


def _taker(places: list[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """A function that picks these slots."""
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        (place,) = places
        return lambda slots: (slots[place],)
    return lambda slots: ()
