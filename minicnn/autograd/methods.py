"""The methods of ``Tensor`` for gradients: ``requires_grad``, ``grad``, ``backward``, ``detach`` ..."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..errors import AutogradError
from ..hooks import RemovableHandle
from ..replay import note_write
from ..tensors import Tensor
from . import checks
from .backward import backward as run_backward
from .function import gradient_edge
from .memory import memory_of, share_memory


class Methods:
    """The members that ``attach`` gives to ``Tensor``; ``self`` is the tensor."""

    @property
    def requires_grad(self: Any) -> bool:
        """Whether operations on this tensor are recorded, so that ``backward`` computes its gradient."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self: Any, value: bool) -> None:
        if value and not self.is_floating_point():
            raise AutogradError(f"only floating point tensors can require gradients, got {self.dtype}")
        if not value and self.grad_fn is not None:
            raise AutogradError("requires_grad can only be switched off on a leaf: use .detach()")
        self._requires_grad = bool(value)
        memory_of(self).of_leaf = self._requires_grad and self.grad_fn is None

    def requires_grad_(self: Any, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` in place and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self: Any) -> bool:
        """Whether no recorded operation made this tensor; only leaves keep their ``.grad``."""
        return self.grad_fn is None

    @property
    def grad(self: Any) -> Tensor | None:
        """The gradient that ``backward`` has accumulated so far."""
        if self._grad is None and self.grad_fn is not None and not self._retains_grad:
            checks.warn_of_missing_grad(self.grad_fn)
        return self._grad

    @grad.setter
    def grad(self: Any, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f".grad must be a Tensor or None, got {type(value).__name__}")
            if value.shape != self.shape:
                raise ValueError(f".grad must have the tensor's shape {self.shape}, got {value.shape}")
            checks.common_device(".grad", [self, value])
        self._grad = value

    @property
    def retains_grad(self: Any) -> bool:
        """Whether ``retain_grad()`` was called on this non-leaf tensor."""
        return self._retains_grad

    def retain_grad(self: Any) -> None:
        """Keep ``.grad`` of this non-leaf tensor after ``backward()``; a leaf keeps it anyway."""
        if not self._requires_grad:
            raise AutogradError("retain_grad() needs a tensor that requires grad")
        if self.grad_fn is not None and not self._retains_grad:
            self._retains_grad = True
            self.grad_fn.retain[self.output_index] = weakref.ref(self)

    def register_hook(self: Any, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` whenever this tensor's gradient has been computed; a returned tensor replaces it."""
        if not self._requires_grad:
            raise AutogradError("register_hook() needs a tensor that requires grad")
        node, index = gradient_edge(self)
        if self.grad_fn is None:
            self._hooked_accumulator = node  # a leaf keeps the node alive that has its hooks
        return RemovableHandle(node.hooks.setdefault(index, {}), hook)

    def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` whenever ``backward`` has added to the ``.grad`` of this leaf, before it goes on."""
        if not self._requires_grad or self.grad_fn is not None:
            raise AutogradError("register_post_accumulate_grad_hook() needs a leaf that requires grad")
        self.post_accumulate_hooks = self.post_accumulate_hooks or {}
        return RemovableHandle(self.post_accumulate_hooks, hook)

    def backward(
        self: Any, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add d(self)/d(leaf), weighted by ``gradient``, to every leaf's ``.grad``: see ``autograd.backward``."""
        run_backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph, inputs=inputs)

    def detach(self: Any) -> Tensor:
        """A tensor on the same memory that is not on the tape."""
        out = Tensor.wrap(self.array, self._device)
        share_memory(out, self)
        out.recorded_writes = self.recorded_writes
        return out

    def detach_(self: Any) -> Tensor:
        """Take this tensor itself off the tape."""
        self.grad_fn, self._requires_grad, self._retains_grad = None, False, False
        return self

    @property
    def data(self: Any) -> Tensor:
        """A detached tensor on the same memory whose writes backward does not notice."""
        return Tensor.wrap(self.exposed_array(), self._device)

    @data.setter
    def data(self: Any, value: Any) -> None:
        value = value if isinstance(value, Tensor) else Tensor(value)
        self.array, self._device = value.exposed_array(), value._device
        self.memory, self.recorded_writes = None, 0
        memory_of(self).of_leaf = self._requires_grad and self.grad_fn is None

    def mark_written(self: Any) -> None:
        """Tell the tape that this tensor's memory was written into, after a write into ``.array``."""
        memory = memory_of(self)
        memory.writes += 1
        note_write(memory)


def attach() -> None:
    """Give ``Tensor`` the members above."""
    for name, member in vars(Methods).items():
        if not name.startswith("__"):
            setattr(Tensor, name, member)
