"""The addition that ends a residual block: H(x) = F(x) + x (lecture lines L2.2.3 and L2.2.4)."""

from __future__ import annotations

from minicnn.errors import ShapeError
from minicnn.ops.arithmetic import add
from minicnn.ops.joining import stack
from minicnn.tensor import Tensor


def residual_add(branch: Tensor, shortcut: Tensor) -> Tensor:
    """``F(x) + x``, the sum that makes a residual block (lecture line L2.2.3; He et al. 2015, equation 1).

    Unlike ``+`` it refuses to broadcast: a branch and a shortcut of different shapes are a mistake in the block.

    Args:
        branch: F(x), what the layers of the block have learned to add.
        shortcut: x, or its projection; of the same shape.

    Returns:
        A new tensor of that shape. In the backward pass both get the whole cotangent.

    Raises:
        ShapeError: if the shapes differ.
    """
    pair = [branch, shortcut]
    if len({tuple(x.shape) for x in pair}) > 1:
        raise ShapeError("branch and shortcut: " + " against ".join(str(x.shape) for x in pair))
    return stack(pair).sum(0)
