"""Deformable convolution as one step: eager minicnn computes it as a sampling and a product of matrices."""

from __future__ import annotations

from ..ops.arithmetic import Add
from ..ops.deformable import DeformIm2col
from ..ops.matrix import MatMul
from ..ops.shape import Permute, Reshape
from .trace import Step


class DeformConv2d:
    """``ops.deformable.sample_and_convolve``, as a step of a trace."""


PARTS = [DeformIm2col, Reshape, Reshape, MatMul, Reshape, Permute]  # its lines, in order
BIAS = [Reshape, Add]


def joined(steps: list[Step]) -> list[Step]:
    """``steps`` with each deformable convolution as one of them."""
    found: list[Step] = []
    index = 0
    while index < len(steps):
        length = _length(steps, index)
        found.append(_joined(steps[index : index + length]) if length else steps[index])
        index += length or 1
    return found


def _length(steps: list[Step], start: int) -> int:
    """How many steps from ``start`` on are one deformable convolution; 0 if none."""
    kinds = [step.operation for step in steps[start : start + len(PARTS) + len(BIAS)]]
    if kinds[: len(PARTS)] != PARTS:
        return 0
    if kinds[len(PARTS) :] == BIAS:
        shift, added = steps[start + len(PARTS) : start + len(PARTS) + len(BIAS)]
        images = steps[start + len(PARTS) - 1].outputs[0]
        if added.args == (images, shift.outputs[0]) and shift.args[0].shape == images.shape[1:2]:
            return len(kinds)
    return len(PARTS)


def _joined(steps: list[Step]) -> Step:
    sampling, _, filters, product, *rest = steps
    x, offset, mask, window, offset_groups = sampling.args
    bias = steps[len(PARTS)].args[0] if len(steps) > len(PARTS) else None
    groups = product.outputs[0].shape[0]
    args = (x, offset, filters.args[0], bias, mask, window, groups, offset_groups)
    return Step(DeformConv2d, args, {}, rest[-1].outputs, sampling.path)
