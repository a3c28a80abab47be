"""Activations: the non-linearities between the layers, elementwise on arrays of any shape, in the dtype of x."""

from __future__ import annotations

from typing import Any

from ..autograd import Function
from ..tensors import Tensor
from .elementwise import as_float


class ReLU(Function):
    """y = max(x, 0); the cotangent passes where x > 0 [Nair and Hinton, 2010; AlexNet, section 3.1]."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ctx.backend.xp.maximum(x, 0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return ctx.backend.xp.where(y <= 0, 0, dy)


class LeakyReLU(Function):
    """y = x where x > 0, slope * x elsewhere. The gradient at 0 is slope times the cotangent; ``slope`` gets none."""

    @staticmethod
    def forward(ctx: Any, x: Any, slope: float) -> Any:
        ctx.slope = slope
        ctx.save_for_backward(x)
        return ctx.backend.xp.where(x > 0, x, x * slope)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ctx.backend.xp.where(x > 0, dy, dy * ctx.slope), None


class Sigmoid(Function):
    """y = 1 / (1 + exp(-x)), right for an x of any size, and so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = logistic(ctx.backend.xp, x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return dy * y * (1 - y)  # e^-x / (1 + e^-x)^2 = y (1 - y)


class SiLU(Function):
    """y = x s(x) with s the sigmoid, EfficientNet's activation [Elfwing et al., 2017; "swish"] (lecture L2.3.3).

    Right for an x of any size, and so is the gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * logistic(ctx.backend.xp, x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        s = logistic(ctx.backend.xp, x)
        return dy * s * (1 + x * (1 - s))  # the product rule: s + x s (1 - s)


class Tanh(Function):
    """y = tanh x, right for an x of any size, and so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ctx.backend.xp.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (y,) = ctx.saved_tensors
        return dy * (1 - y * y)  # dy/dx = 1 / cosh^2 x = 1 - tanh^2 x


def logistic(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)) without overflow: ``exp`` only ever sees -|x|."""
    small = xp.exp(-abs(x))
    return xp.where(x >= 0, 1, small) / (1 + small)


def relu(input: Tensor) -> Tensor:
    """``max(input, 0)``; the gradient at 0 is 0."""
    return ReLU.apply(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``input`` where positive, ``negative_slope * input`` elsewhere."""
    return LeakyReLU.apply(input, negative_slope)


class Hardtanh(Function):
    """y = x held between two bounds; the cotangent passes strictly between them."""

    @staticmethod
    def forward(ctx: Any, x: Any, low: float, high: float) -> Any:
        ctx.bounds = low, high
        ctx.save_for_backward(x)
        return ctx.backend.xp.clip(x, low, high)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        return ctx.backend.xp.where((x > low) & (x < high), dy, 0), None, None


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``input`` held within ``[min_val, max_val]``; the gradient is 0 on the bounds."""
    return Hardtanh.apply(input, min_val, max_val)


def relu6(input: Tensor) -> Tensor:
    """``input`` held within [0, 6]; the gradient is 0 on the bounds."""
    return hardtanh(input, 0.0, 6.0)


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``, exact for inputs of any size."""
    return Sigmoid.apply(as_float(input))


def hardsigmoid(input: Tensor) -> Tensor:
    """``clamp(input / 6 + 1/2, 0, 1)``: the sigmoid in straight lines."""
    return hardtanh(input, -3.0, 3.0) / 6 + 0.5


def hardswish(input: Tensor) -> Tensor:
    """``input * hardsigmoid(input)``."""
    return input * hardsigmoid(input)


def silu(input: Tensor) -> Tensor:
    """``input * sigmoid(input)``, EfficientNet's activation (lecture line L2.3.3)."""
    return SiLU.apply(input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return Tanh.apply(as_float(input))
