"""Matrix products: ``matmul`` and the fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn.autograd import Function
from minicnn.ops.broadcast import unbroadcast

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.ops.matrix import matmul


class MatMul(Function):
    """C = A @ B: (..., n, m) from (..., n, k) and (..., k, m), in their dtype.

    The matrices lie in the last two axes, and the axes before them broadcast. Each gradient has its argument's shape;
    where none is wanted (``ctx.needs_input_grad``) ``None`` will do.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        raise NotImplementedError("hw1.6 MatMul.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        raise NotImplementedError("hw1.6 MatMul.backward: not written yet, see assignments/hw1_autograd/README.md")


class Linear(Function):
    """Y = X @ W^T + b over the last axis of X: (..., out) from (..., in), (out, in) and (out,).

    ``bias`` may be None. There may be any number of axes before the last, also none. The gradients have the shapes of
    x, weight and bias; where none is wanted (``ctx.needs_input_grad``) ``None`` will do.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any) -> Any:
        ctx.save_for_backward(x, weight)
        y = ctx.backend.matmul(x, weight.T)  # (..., out) = (..., in) @ (in, out)
        return y if bias is None else y + bias

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.6 Linear.backward: not written yet, see assignments/hw1_autograd/README.md")
