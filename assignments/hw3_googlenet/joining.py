"""Joining tensors and taking them apart: concatenate, stack, split.

An inception module (lecture line L2.1.1) and a dense block (L2.3.1) are held together by ``cat``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Function


class Cat(Function):
    """Tensors end to end along an axis: each gets its own stretch of the cotangent (lecture lines L2.1.1, L2.3.1)."""

    @staticmethod
    def forward(ctx: Any, *xs: Any, axis: int) -> Any:
        """Lay the arrays ``xs`` end to end, in the order given.

        Args:
            ctx: keeps what ``backward`` needs; ``ctx.backend.xp`` is NumPy, or CuPy on a GPU.
            xs: one array or more, of equal shapes but for their length along ``axis``, which may be 0.
            axis: counted from the front, 0 to ndim - 1.

        Returns:
            An array as long along ``axis`` as all of ``xs`` together.
        """
        raise NotImplementedError("hw3.1 Cat.forward: not written yet, see assignments/hw3_googlenet/README.md")

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients at ``xs``, given ``dy``, the gradient at the output and of its shape.

        Returns:
            A tuple with one array for each of ``xs``, in their order and of their shapes.
        """
        # Where in dy does each of xs lie? Keep in forward what you need to know that.
        raise NotImplementedError("hw3.1 Cat.backward: not written yet, see assignments/hw3_googlenet/README.md")
