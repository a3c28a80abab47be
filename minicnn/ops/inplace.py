"""Writing into a tensor: every in-place method, on the tape or beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

from .. import random
from ..autograd import Function, is_grad_enabled
from ..autograd.memory import memory_of
from ..errors import AutogradError, ShapeError
from ..tensors import Tensor
from .broadcast import Operand
from .guards import check_kind, guard
from .integers import CATEGORY
from .shape import clone

Out = TypeVar("Out", bound=Callable[..., Tensor])


class Overwrite(Function):
    """target <- result, in target's own memory. Its old values are gone, so the cotangent goes to ``result`` alone."""

    @staticmethod
    def forward(ctx: Any, target: Any, result: Any) -> Any:
        target[...] = result
        ctx.mark_dirty(target)
        return target

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return None, dy


def rewrite(target: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """``target <- compute(target)`` in target's own memory, recorded where a gradient is wanted.

    Where it is recorded, ``compute`` is given a copy with the old values and the old history, so what it saves stays
    valid. (Of integers nothing is saved: they have no gradient.)

    Raises:
        AutogradError: for a leaf that requires grad or a view of one, outside ``no_grad``.
        ShapeError: if the result no longer fits into target.
        TypeError: if it would lose its kind: floats in integers, numbers in bools.
    """
    memory = memory_of(target)
    if is_grad_enabled() and target.requires_grad and memory.of_leaf:
        what = "a leaf" if target.is_leaf else "a view of a leaf"
        raise AutogradError(
            f"in-place write into {what} that requires grad: its gradient would belong to a value that is gone. "
            "Wrap it in `with minicnn.no_grad():`, or compute out of place"
        )
    result = compute(clone(target) if is_grad_enabled() and target.is_floating_point() else target)
    if result.shape != target.shape:
        raise ShapeError(f"in place: a result of shape {result.shape} does not fit into a tensor of {target.shape}")
    if CATEGORY[result.dtype.kind] > CATEGORY[target.dtype.kind]:
        raise TypeError(f"in place: a {result.dtype} result cannot be written into a {target.dtype} tensor")
    written = Overwrite.apply(target, result)
    if written.grad_fn is not None:
        if target.grad_fn is not None and target._retains_grad:
            written.grad_fn.retain[written.output_index] = target.grad_fn.retain.pop(target.output_index)
        target.grad_fn, target.output_index, target._requires_grad = written.grad_fn, written.output_index, True
        memory.recorded += 1
        target.recorded_writes = memory.recorded
    return target


def in_place(function: Out) -> Out:
    """The in-place method that goes with an out-of-place function: ``add_`` with ``add``."""
    compute = guard(function)

    def method(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        return rewrite(self, lambda old: compute(old, *args, **kwargs))

    method.__name__ = f"{compute.__name__.rstrip('_')}_"
    method.__doc__ = f"In-place ``{compute.__name__.rstrip('_')}``: writes into this tensor and returns it."
    return cast(Out, update_wrapper(method, compute, assigned=(), updated=()))  # its arguments, for help() and the docs


def zero_(self: Tensor) -> Tensor:
    """Set every element to 0."""
    return fill_(self, 0)


def fill_(self: Tensor, value: Operand) -> Tensor:
    """Set every element to ``value``."""
    self[...] = value
    return self


def copy_(self: Tensor, source: Operand, non_blocking: bool = False) -> Tensor:
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
