"""Writing into a tensor: every in-place method, on the tape or beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import random
from ..deferral import Pending
from ..errors import AutogradError, ShapeError
from ..grad_mode import SWITCHES, is_grad_enabled
from ..tensor import Tensor
from .guards import check_kind
from .integers import CATEGORY


def rewrite(target: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """``target <- compute(target)`` in target's own memory, recorded where a gradient is wanted.

    ``compute`` is given a stand-in with the old values and the old history, so what it saves stays valid.

    Raises:
        AutogradError: for a leaf that requires grad or a view of one, outside ``no_grad``.
        ShapeError: if the result no longer fits into target.
        TypeError: if it would lose its kind: floats in integers, numbers in bools.
    """
    recording = is_grad_enabled()
    if recording and target.requires_grad and target.version.of_leaf:
        what = "a leaf" if target.is_leaf else "a view of a leaf"
        raise AutogradError(
            f"in-place write into {what} that requires grad: its gradient would belong to a value that is gone. "
            "Wrap it in `with minicnn.no_grad():`, or compute out of place"
        )
    pending = isinstance(target._array, Pending)  # then there is no memory yet that others might see
    if not pending:
        target.version.settle()
    old = Tensor.wrap(target._array.copy() if recording and not pending else target._array, target.device)
    old.grad_fn, old.output_index, old._requires_grad = target.grad_fn, target.output_index, target._requires_grad
    if SWITCHES.recorder is not None:
        SWITCHES.recorder.stands_for(old, target)
    result = compute(old)
    if result.shape != target.shape:
        raise ShapeError(f"in place: a result of shape {result.shape} does not fit into a tensor of {target.shape}")
    if CATEGORY[result.dtype.kind] > CATEGORY[target.dtype.kind]:
        raise TypeError(f"in place: a {result.dtype} result cannot be written into a {target.dtype} tensor")
    if SWITCHES.recorder is not None:
        SWITCHES.recorder.overwrite(target, old, result)
    if not pending:
        target._array[...] = result.read()
    elif isinstance(result._array, Pending):
        target._array = result._array
    else:
        target._array = result._array.astype(target.dtype)  # a copy: the tape may have saved the other
    if result.grad_fn is not None and result.grad_fn is not target.grad_fn:
        if target.grad_fn is not None and target._retains_grad:
            result.grad_fn.retain[result.output_index] = target.grad_fn.retain.pop(target.output_index)
        target.grad_fn, target.output_index, target._requires_grad = result.grad_fn, result.output_index, True
        target.mark_written(recorded=True)
    else:
        target.mark_written()
    return target


def in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place method that goes with an out-of-place function: ``add_`` with ``add``."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return rewrite(self, lambda old: function(old, *args, **kwargs))

    method.__name__ = f"{function.__name__.rstrip('_')}_"
    method.__doc__ = f"In-place ``{function.__name__.rstrip('_')}``: writes into this tensor and returns it."
    return method


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0."""
    return fill_(self, 0)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to ``value``."""
    self[...] = value
    return self


def copy_(self: Tensor, source: Any, non_blocking: bool = False) -> Tensor:
    """Take over the values of ``source``, which is broadcast and converted."""
    self[...] = source
    return self


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, generator: random.Generator | None = None) -> Tensor:
    """Draw every element from the normal distribution."""
    draws = _draw(self, random.resolve(generator).standard_normal)
    draws *= std
    draws += mean
    self[...] = draws
    return self


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, generator: random.Generator | None = None) -> Tensor:
    """Draw every element uniformly from [low, high)."""
    draws = _draw(self, random.resolve(generator).random)
    draws *= high - low
    draws += low
    self[...] = draws
    return self


def bernoulli_(self: Tensor, p: float = 0.5, generator: random.Generator | None = None) -> Tensor:
    """Set every element to 1 with probability ``p``, else to 0."""
    self[...] = random.resolve(generator).random(self.shape) < p
    return self


def _draw(self: Tensor, sample: Callable[..., Any]) -> Any:
    check_kind("a random draw", self)
    dtype = self.dtype if self.dtype.itemsize >= 4 else "float32"
    return sample(self.shape, dtype=dtype)
