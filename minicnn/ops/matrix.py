"""Matrix products: ``matmul`` and the fully connected layer."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..errors import ShapeError
from ..tensors import Tensor
from .broadcast import result_type, unbroadcast


class MatMul(Function):
    """C = A @ B: (..., n, m) from (..., n, k) and (..., k, m), in their dtype.

    The matrices lie in the last two axes, and the axes before them broadcast. Each gradient has its argument's shape;
    where none is wanted (``ctx.needs_input_grad``) ``None`` will do.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return ctx.backend.matmul(a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        a, b = ctx.saved_tensors
        matmul = ctx.backend.matmul
        wants_a, wants_b = ctx.needs_input_grad
        # dA = dC @ B^T and dB = A^T @ dC
        return (
            unbroadcast(matmul(dc, b.swapaxes(-1, -2)), a.shape) if wants_a else None,
            unbroadcast(matmul(a.swapaxes(-1, -2), dc), b.shape) if wants_b else None,
        )


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
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        rows = dy.reshape(-1, weight.shape[0])  # (M, out): dX = dY @ W, dW = dY^T @ X, db = sum dY
        return (
            ctx.backend.matmul(dy, weight) if wants_x else None,
            # (out, in) = (out, M) @ (M, in)
            ctx.backend.matmul(rows.T, x.reshape(-1, weight.shape[1])) if wants_weight else None,
            rows.sum(axis=0) if wants_bias else None,
        )


def matmul(input: Tensor, other: Any) -> Tensor:
    """The matrix product over the last two dimensions; leading ones broadcast, a vector counts as a row or a column.

    Raises:
        ShapeError: if the inner lengths differ.
    """
    other = other if isinstance(other, Tensor) else Tensor(other)
    if input.ndim == 0 or other.ndim == 0:
        raise ShapeError(f"matmul: expected at least 1 dimension each, got shapes {input.shape} and {other.shape}")
    a = input.unsqueeze(0) if input.ndim == 1 else input
    b = other.unsqueeze(1) if other.ndim == 1 else other
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"matmul: inner lengths {a.shape[-1]} and {b.shape[-2]} differ: {input.shape} @ {other.shape}")
    for n, m in zip(reversed(a.shape[:-2]), reversed(b.shape[:-2]), strict=False):
        if n != m and 1 not in (n, m):
            raise ShapeError(f"matmul: the leading dimensions of {input.shape} and {other.shape} do not broadcast")
    dtype = result_type(a, b)
    c = MatMul.apply(a.to(dtype), b.to(dtype))
    if input.ndim == 1:
        c = c.squeeze(-2)
    return c.squeeze(-1) if other.ndim == 1 else c


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The fully connected layer ``input @ weight.T + bias``.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,) or ``None``.

    Returns:
        (..., out_features).

    Raises:
        ShapeError: if the last dimension of ``input`` is not in_features.
    """
    if weight.ndim != 2:
        raise ShapeError(f"expected a weight (out_features, in_features), got shape {weight.shape}")
    if input.ndim == 0 or input.shape[-1] != weight.shape[1]:
        got = input.shape[-1] if input.ndim else "a single number"
        raise ShapeError(f"expected {weight.shape[1]} input features, got {got} (input shape {input.shape})")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"expected a bias of shape {weight.shape[:1]}, got {bias.shape}")
    check_dtypes(input, weight, bias)
    if weight.numel() == 0:  # no features, or none out: nothing tells how many rows there are
        y = matmul(input, weight.t())
        return y if bias is None else y + bias
    return Linear.apply(input, weight, bias)


def check_dtypes(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise a ``ShapeError`` unless input, weight and bias have one dtype: nothing is converted silently."""
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and x.dtype != input.dtype:
            raise ShapeError(
                f"expected input and {name} of one dtype, got {input.dtype} and {x.dtype}: "
                "convert with .float() or .double()"
            )
