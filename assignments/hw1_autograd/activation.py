"""Activations: the non-linearities between the layers, elementwise on arrays of any shape, in the dtype of x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn.autograd import Function

if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them
    from minicnn.ops.activation import logistic, tanh


class ReLU(Function):
    """y = max(x, 0); the cotangent passes where x > 0 [Nair and Hinton, 2010; AlexNet, section 3.1]."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = ctx.backend.xp.maximum(x, 0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.4 ReLU.backward: not written yet, see assignments/hw1_autograd/README.md")


class LeakyReLU(Function):
    """y = x where x > 0, slope * x elsewhere. The gradient at 0 is slope times the cotangent; ``slope`` gets none."""

    @staticmethod
    def forward(ctx: Any, x: Any, slope: float) -> Any:
        raise NotImplementedError("hw1.4 LeakyReLU.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.4 LeakyReLU.backward: not written yet, see assignments/hw1_autograd/README.md")


class Sigmoid(Function):
    """y = 1 / (1 + exp(-x)), right for an x of any size, and so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = logistic(ctx.backend.xp, x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.3 Sigmoid.backward: not written yet, see assignments/hw1_autograd/README.md")


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
        raise NotImplementedError("hw1.3 SiLU.backward: not written yet, see assignments/hw1_autograd/README.md")


class Tanh(Function):
    """y = tanh x, right for an x of any size, and so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        raise NotImplementedError("hw1.3 Tanh.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        raise NotImplementedError("hw1.3 Tanh.backward: not written yet, see assignments/hw1_autograd/README.md")
