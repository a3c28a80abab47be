"""Sum, mean, variance: many numbers into fewer. The chain rule spreads the cotangent out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn.autograd import Function
from minicnn.ops.axes import count, kept

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.ops.sums import mean, sum


class Sum(Function):
    """y = the sum of x over ``axes``, in the dtype of x.

    ``axes`` is sorted, not negative, and empty only for a single number, of shape (). The axes are left out of y's
    shape, or with ``keepdim`` stay as axes of length 1. The gradient has the shape of x; ``axes`` and ``keepdim`` get
    none.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        raise NotImplementedError("hw1.5 Sum.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.5 Sum.backward: not written yet, see assignments/hw1_autograd/README.md")


class Mean(Function):
    """y = the mean of x over ``axes``; arguments and gradients as those of ``Sum``."""

    @staticmethod
    def forward(ctx: Any, x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
        raise NotImplementedError("hw1.5 Mean.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.5 Mean.backward: not written yet, see assignments/hw1_autograd/README.md")
