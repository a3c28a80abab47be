"""Dropout [Hinton et al., 2012]: switch units off at random, in training only."""

from __future__ import annotations

from typing import Any

from .. import random
from ..autograd import Function
from ..tensors import Tensor
from .elementwise import as_float


class Dropout(Function):
    """y = x * mask with mask 0 or 1 / (1 - p), so that the expectation of y is x."""

    @staticmethod
    def forward(ctx: Any, x: Any, p: float, mask_shape: tuple[int, ...], generator: Any) -> Any:
        mask = ctx.backend.dropout_mask(mask_shape, p, x.dtype, generator)
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (mask,) = ctx.saved_tensors
        return dy * mask, None, None, None


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: random.Generator | None = None,
) -> Tensor:
    """Set each element to 0 with probability ``p`` and scale the others by 1 / (1 - p); in evaluation, nothing.

    Integers become floats, because of the scale.

    Args:
        inplace: accepted for PyTorch's sake; the result is computed out of place.
        generator: where the randomness comes from, the seeded default one if not given.

    Raises:
        ValueError: if ``p`` is no probability.
    """
    return _drop(input, p, training, input.shape, generator)


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    generator: random.Generator | None = None,
) -> Tensor:
    """``dropout`` of whole channels: (N, C, H, W) loses each of its N * C planes with probability ``p``."""
    return _drop(input, p, training, (*input.shape[:2], *[1] * (input.ndim - 2)), generator)


def stochastic_depth(
    input: Tensor, p: float, mode: str = "row", training: bool = True, generator: random.Generator | None = None
) -> Tensor:
    """Leave out a whole residual branch with probability ``p`` [Huang et al., ECCV 2016], as ``torchvision.ops``'s.

    Args:
        mode: ``"row"`` decides for each image, ``"batch"`` once for all. What stays is scaled by 1 / (1 - p).
    """
    if mode not in ("row", "batch"):
        raise ValueError(f"stochastic_depth: expected mode 'row' or 'batch', got {mode!r}")
    images = input.shape[0] if mode == "row" else 1
    return _drop(input, p, training, (images, *[1] * (input.ndim - 1)), generator)


def _drop(
    input: Tensor, p: float, training: bool, mask_shape: tuple[int, ...], generator: random.Generator | None
) -> Tensor:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: expected a probability between 0 and 1, got p={p}")
    if not training or p == 0:
        return input
    return Dropout.apply(as_float(input), p, mask_shape, random.resolve(generator))
