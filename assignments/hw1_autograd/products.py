"""``* / ** %``, with broadcasting; forward and chain rule side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function
from minicnn.ops.broadcast import unbroadcast


class Mul(Function):
    """c = a * b, elementwise.

    ``a`` and ``b`` are arrays whose shapes broadcast, or one of them is a Python number, which leaves the dtype of the
    other as it is. ``dc`` has the shape of ``c``; backward returns a tuple of gradients in the shapes of ``a`` and
    ``b``. Where none is wanted (``ctx.needs_input_grad``) ``None`` will do.
    """

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        # np.shape(a) is right for a Python number too.
        raise NotImplementedError("hw1.2 Mul.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        # unbroadcast(gradient, shape) is minicnn's own here, so this task does not wait for hw1.1.
        raise NotImplementedError("hw1.2 Mul.backward: not written yet, see assignments/hw1_autograd/README.md")


class Div(Function):
    """c = a / b, elementwise; arguments and gradients as those of ``Mul``. Dividing by 0 gives infinity or NaN."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        raise NotImplementedError("hw1.2 Div.forward: not written yet, see assignments/hw1_autograd/README.md")

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        raise NotImplementedError("hw1.2 Div.backward: not written yet, see assignments/hw1_autograd/README.md")
