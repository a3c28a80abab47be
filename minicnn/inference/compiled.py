"""``compile`` and what it returns: a model that is recorded at its first call and then runs without the tape."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any
from weakref import WeakSet

import numpy as np

from .. import backend
from ..grad_mode import SWITCHES, no_grad
from ..nn import Module
from ..tensor import Tensor, float32, float64
from .run import Packs, Plan
from .state import State, state_of
from .trace import Leaf, mapped, trace

MOST_PLANS = 32  # shapes of inputs; a plan is small, but somebody may feed it pictures of all sizes

Key = tuple[tuple[int, ...], Any]  # an input's shape and dtype


class CompiledModel:
    """A model made ready for inference by ``compile``. Call it like the model; ``.model`` is the model itself.

    ``.plans`` are the plans in use, by the input's shape and dtype: ``print(compiled.plans[x.shape, x.dtype])``.
    """

    def __init__(self, model: Module) -> None:
        self.model = model
        self._lock = threading.RLock()
        _models.add(self)
        self._build: _Build | None = None  # exchanged as a whole, so that no other thread sees half of one
        self._rests: dict[Key, _Rest] = {}  # what is not compiled
        self._changing: dict[Key, int] = {}  # how often recording it found the model changed
        self._warned = False

    @property
    def plans(self) -> dict[Key, Plan]:
        """The plans in use."""
        return {} if self._build is None else dict(self._build.plans)

    def __call__(self, x: Tensor) -> Any:
        """What ``model(x)`` returns under ``no_grad``.

        Raises:
            RuntimeError: if the model, or a module of it, is in training mode.
        """
        state = state_of(self.model)
        if state.training is not None:
            where = f"its module {state.training!r}" if state.training else "it"
            raise RuntimeError(
                f"a compiled {type(self.model).__name__} runs in evaluation mode only, and {where} is in training "
                "mode: call model.eval() first"
            )
        if state.hooked or not _compilable(x):
            return self._plainly(x)
        key = x.shape, x.dtype
        if key in self._rests and self._rests[key].goes_on():
            return self._plainly(x)
        plan = self._find(key, state)
        return self._prepare(key, x) if plan is None else plan(x.read())

    def __repr__(self) -> str:
        return f"compile({self.model!r})"

    def _plainly(self, x: Tensor) -> Any:
        with no_grad():
            return _detached(self.model(x))

    def _find(self, key: Key, state: State) -> Plan | None:
        build = self._build
        return build.plans.get(key) if build is not None and build.holds(state) else None

    def _prepare(self, key: Key, x: Tensor) -> Any:
        """Record the model for inputs like ``x``; what it makes of ``x``."""
        with self._lock:
            state = state_of(self.model)  # another thread may have been here
            plan = self._find(key, state)
            if plan is not None:
                return plan(x.read())
            array, build = x.read(), self._build
            if build is None or not build.holds(state):
                build = _Build()
            returned, graph, reason = trace(self.model, x)
            after = state_of(self.model)
            if after.marks != state.marks:
                self._changing[key] = self._changing.get(key, 0) + 1
                if self._changing[key] < 2:  # perhaps only at its first call
                    return _detached(returned)
                graph, reason = None, reason or "its forward changes the model"
            elif id(array) in state.arrays:
                graph, reason = None, "its input is one of its own tensors"
            if graph is None:
                self._give_up(key, reason)
                return _detached(returned)
            plan = Plan(graph, backend.get(x.device), build.packs)
            build.enter(key, plan, after, [leaf for leaf in graph.leaves if id(leaf.array) not in after.arrays])
            self._build = build
        return plan(array)

    def _give_up(self, key: Key, reason: str) -> None:
        self._rests.setdefault(key, _Rest()).begin()
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{type(self.model).__name__} is not compiled for inputs of shape {key[0]}, because {reason}; "
                "it runs as it is",
                stacklevel=4,
            )


_models: WeakSet[CompiledModel] = WeakSet()


def _unlock() -> None:
    """In a forked process: the thread that was recording, if there was one, is not here."""
    for model in _models:
        model._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class _Rest:
    """Calls for which a model is left as it is, before it is recorded again: each time four times as many.

    For it may have been another thread that wrote weights or drew random numbers while the forward ran.
    """

    def __init__(self) -> None:
        self.length, self.left = 1, 0

    def begin(self) -> None:
        self.length *= 4
        self.left = self.length

    def goes_on(self) -> bool:
        self.left -= 1
        return self.left >= 0


class _Build:
    """What has been made of a model in one state: plans by the input's shape and dtype, and the filters they share."""

    def __init__(self) -> None:
        self.plans: dict[Key, Plan] = {}
        self.packs: Packs = {}
        self.state: State | None = None
        self.leaves: dict[Key, list[Leaf]] = {}  # tensors that the model uses and that are not among its own

    def holds(self, state: State) -> bool:
        """Whether nothing has been written or exchanged since."""
        if self.state is None or not self.state.equals(state):
            return False
        return not any(leaf.touched() for leaves in list(self.leaves.values()) for leaf in leaves)

    def enter(self, key: Key, plan: Plan, state: State, leaves: list[Leaf]) -> None:
        """Add a plan, and forget the oldest of too many."""
        self.state = state
        if len(self.plans) >= MOST_PLANS:
            oldest = next(iter(self.plans))
            del self.plans[oldest], self.leaves[oldest]
        self.plans[key], self.leaves[key] = plan, leaves
        for leaf in (leaf for known in self.leaves.values() for leaf in known):
            leaf.lend()  # recording may have taken raw arrays, and has not written into them


def compile(model: Module) -> CompiledModel:
    """The model made ready for inference, as ``torch.compile``: the same results, in less time. See this package's top.

    Raises:
        TypeError: for what is no ``nn.Module``.
    """
    if not isinstance(model, Module):
        raise TypeError(f"compile: expected an nn.Module, got {type(model).__name__}")
    return CompiledModel(model)


def _compilable(x: Any) -> bool:
    """Whether there is something to be won, and nobody has asked to see the operations one by one."""
    if not isinstance(x, Tensor) or x.device.type != "cpu" or x.dtype not in (float32, float64) or not x.numel():
        return False
    if not SWITCHES.deferral or SWITCHES.anomaly:  # so it is inside a model that is being recorded, too
        return False
    primitives: Any = backend.get(x.device)
    return primitives.name == "cpu" and not primitives.plain and type(x.read()) is np.ndarray


def _detached(returned: Any) -> Any:
    try:
        return mapped(lambda tensor: tensor.detach() if tensor.requires_grad else tensor, returned, Tensor)
    except TypeError:  # something of the model's own, and there it stays
        return returned
