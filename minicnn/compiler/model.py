"""``compile`` and what it returns: a model that is recorded once for each kind of call, and then runs by a plan."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any, TypeVar, cast

import numpy as np

from .. import backend, random, replay
from ..amp.casting import recast
from ..autograd.modes import SWITCHES
from ..nn import Module
from ..tensors import Tensor
from .plan import Plan
from .record import record
from .state import State, state_of

MOST_PLANS = 32  # a plan is small, but images may have many sizes

Key = tuple[Any, ...]
Compiled = TypeVar("Compiled", bound=Module)

# While one thread records, the tensors' class is watched: one recording at a time.
_recording = threading.RLock()


def _unlock() -> None:
    """In a forked process, release the lock: the thread that was recording does not exist here."""
    global _recording
    _recording = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class CompiledModel:
    """A model as ``compile`` returns it. Call it like the model; ``.model`` is the model itself.

    What else a model has (``parameters()``, ``state_dict()``, ``training``, ...) is that model's. ``.plans`` are the
    plans in use: ``print(*compiled.plans.values())``.
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self._plans: dict[Key, Plan] = {}
        self._kept: dict[Key, list[Any]] = {}
        self._rests: dict[Key, _Rest] = {}  # the kinds of calls that are not compiled
        self._changing: dict[Key, int] = {}  # how often the model had changed while it was recorded
        self._prepared: dict[Any, Any] = {}
        self._warned = False
        self._state: State | None = None  # at the last call

    @property
    def plans(self) -> dict[Key, Plan]:
        """The plans in use."""
        return dict(self._plans)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "model":  # while it is copied or unpickled
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.model, name)

    def train(self, mode: bool = True) -> CompiledModel:
        """Put the model into training mode, or out of it; returns this compiled model."""
        self.model.train(mode)
        return self

    def eval(self) -> CompiledModel:
        """Put the model into evaluation mode; returns this compiled model."""
        return self.train(False)

    def __call__(self, *inputs: Tensor, **options: Any) -> Any:
        """What ``model(*inputs, **options)`` returns. With options it is not compiled."""
        state = self._state
        if state is None or not state.holds():
            state = self._state = state_of(self.model)
        if options:
            self._say("is not compiled for arguments by name", stacklevel=3)
        if options or state.hooked or not _compilable(inputs):
            return self._eager(*inputs, **options)
        key = _key(inputs, state)
        for rest in (self._rests.get(key), self._rests.get(key[:-1])):
            if rest is not None and rest.goes_on():
                return self._eager(*inputs)
        plan = self._plans.get(key)
        if plan is None or not plan.holds():
            return self._prepare(key, inputs, state)
        return plan(inputs)

    def __repr__(self) -> str:
        return f"compile({self.model!r})"

    def _eager(self, *inputs: Tensor, **options: Any) -> Any:
        if replay.recording():
            raise RuntimeError(
                "a compiled model that runs eagerly cannot be captured in a CUDA graph: what forward does in Python "
                "would not be done again"
            )
        return self.model(*inputs, **options)

    def _prepare(self, key: Key, inputs: tuple[Tensor, ...], state: State) -> Any:
        """Record the model for inputs like these, and return its result for ``inputs``."""
        if replay.recording():
            raise RuntimeError("a compiled model's first call cannot be captured in a CUDA graph: call it before")
        with _recording:
            plan = self._plans.get(key)
            if plan is not None and plan.holds():  # another thread has made it meanwhile
                return plan(inputs)
            arrays = [x.array for x in inputs]
            before = _Before(state)
            with recast(SWITCHES.autocast):  # a plan that took one of them would not see the parameter change
                returned, graph, reason = record(lambda: self.model(*inputs), inputs, state.tensors)
            if state_of(self.model).marks != state.marks:
                kind = key[:-1]  # without the state, which differs each time
                self._changing[kind] = self._changing.get(kind, 0) + 1
                if self._changing[kind] < 2:  # it may change only at its first call
                    return returned
                key, graph, reason = kind, None, "its forward changes the model"
            elif any(tensor.array is array for tensor in state.tensors for array in arrays):
                graph, reason = None, "its input is one of its own tensors"
            elif len({id(array) for array in arrays}) < len(arrays):
                graph, reason = None, "two of its inputs are the same"
            if graph is None:
                self._give_up(key, inputs, state, reason)
                return returned
            plan = Plan(graph, backend.get(inputs[0]._device), self._prepared)
            self._enter(key, plan, state)
            if not before.restore(plan):
                return returned
            del returned  # and with it the tape of the recording
            returned = plan(inputs)
            plan.primitives.release_memory()  # a recording takes more than a run of the plan
            return returned

    def _enter(self, key: Key, plan: Plan, state: State) -> None:
        """Add a plan, and drop the oldest if there are too many."""
        if len(self._plans) >= MOST_PLANS:
            oldest = next(iter(self._plans))
            del self._plans[oldest], self._kept[oldest]
        self._plans[key], self._kept[key] = plan, state.kept

    def _give_up(self, key: Key, inputs: tuple[Tensor, ...], state: State, reason: str) -> None:
        self._rests.setdefault(key, _Rest(state.kept)).begin()
        shapes = ", ".join(str(x.shape) for x in inputs)
        self._say(f"is not compiled for inputs of shape {shapes}, because {reason}", stacklevel=5)

    def _say(self, what: str, stacklevel: int) -> None:
        """Warn that the model runs eagerly, once."""
        if not self._warned:
            self._warned = True
            warnings.warn(f"{type(self.model).__name__} {what}; it runs eagerly", stacklevel=stacklevel)


class _Before:
    """The values that a recording may change, to restore them so that the plan can run instead: then the result of a
    call has the same bits whether the call is the first or not, and so has a resumed training.
    """

    def __init__(self, state: State) -> None:
        self.buffers = {id(tensor): (tensor, tensor.array.copy()) for tensor in state.buffers}
        self.randomness = random.default_generator.get_state()

    def restore(self, plan: Plan) -> bool:
        """Undo the writes recorded in ``plan``; False, with nothing done, if they are not all known."""
        dirty = [leaf.tensor for leaf in plan.leaves if leaf.dirty]
        generators = {id(generator) for call in plan.calls for generator in call.generators}
        if any(id(tensor) not in self.buffers for tensor in dirty):
            return False
        if generators - {id(random.default_generator.numpy)}:
            return False
        for tensor in dirty:
            tensor.array[...] = self.buffers[id(tensor)][1]
        random.default_generator.set_state(self.randomness)
        return True


class _Rest:
    """Counts eager calls until the model is recorded again: four times as many after each failure.

    A recording may fail only because another thread wrote weights or drew random numbers meanwhile.
    """

    def __init__(self, kept: list[Any]) -> None:
        self.length, self.left, self.kept = 1, 0, kept

    def begin(self) -> None:
        self.length *= 4
        self.left = self.length

    def goes_on(self) -> bool:
        self.left -= 1
        return self.left >= 0


def compile(model: Compiled) -> Compiled:
    """The model compiled, as by ``torch.compile``: the same results in less time. See the docstring of this package.

    What is returned is a ``CompiledModel``; it stands for the model everywhere, and so to a type checker it is one.

    Raises:
        TypeError: if ``model`` is not an ``nn.Module``.
    """
    if not isinstance(model, Module):
        raise TypeError(f"compile: expected an nn.Module, got {type(model).__name__}")
    return cast(Compiled, CompiledModel(model))


def _key(inputs: tuple[Tensor, ...], state: State) -> Key:
    """What a plan depends on."""
    kinds = tuple((x.array.shape, x.array.dtype, x._requires_grad, x._device) for x in inputs)
    casting = SWITCHES.autocast and SWITCHES.autocast.key
    return kinds, backend.get(inputs[0]._device).name, SWITCHES.grad_enabled, casting, state.key


def _compilable(inputs: tuple[Any, ...]) -> bool:
    """Whether these are ordinary tensors, and no mode requires that the operations run one by one."""
    if not inputs or SWITCHES.anomaly or SWITCHES.recorder is not None:
        return False
    if not all(isinstance(x, Tensor) and x.numel() and x.is_floating_point() for x in inputs):
        return False
    place = inputs[0]._device
    primitives: Any = backend.get(place)
    if getattr(primitives, "plain", False) or any(x._device != place for x in inputs):
        return False
    return place.type == "cuda" or all(type(x.array) is np.ndarray for x in inputs)
