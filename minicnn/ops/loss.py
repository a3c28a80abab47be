"""Losses: cross entropy from logits, and the simpler ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Function
from ..errors import ShapeError
from ..tensor import Tensor


class SoftmaxCrossEntropy(Function):
    """loss_n = -sum_c t_nc log softmax(x_n)_c; dx_n = dloss_n * (softmax(x_n) * sum_c t_nc - t_n)."""

    @staticmethod
    def forward(ctx: Any, logits: Any, targets: Any) -> Any:
        losses, log_probabilities = ctx.backend.softmax_cross_entropy(logits, targets)
        ctx.save_for_backward(log_probabilities, targets)
        return losses

    @staticmethod
    def backward(ctx: Any, dlosses: Any) -> Any:
        log_probabilities, targets = ctx.saved_tensors
        total = targets.sum(axis=1, keepdims=True)
        return dlosses[:, None] * (ctx.backend.xp.exp(log_probabilities) * total - targets), None


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of ``softmax(input)`` against labels, as ``torch.nn.functional.cross_entropy``.

    Args:
        input: logits (N, C), (N, C, d1, ...), or (C,) for one example. Any size: nothing overflows.
        target: class indices (N,), (N, d1, ...) or (), or probabilities of input's shape.
        weight: (C,), a weight for each class.
        ignore_index: examples with this label count for nothing.
        reduction: ``"mean"`` (over the weights of the examples), ``"sum"`` or ``"none"``.
        label_smoothing: this much of each label is spread evenly over all classes [Szegedy et al., 2016].

    Raises:
        ShapeError: if the shapes do not fit.
        IndexError: for a label outside 0 .. C - 1.
        ValueError: for another reduction, or a smoothing outside [0, 1].
    """
    _check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected a number between 0 and 1, got {label_smoothing}")
    if input.ndim == 0:
        raise ShapeError("cross_entropy: expected logits (N, C), got a single number")
    channel = 0 if input.ndim == 1 else 1
    classes = input.shape[channel]
    xp = backend.get(input.device).xp
    class_weight = xp.ones(classes, input.dtype) if weight is None else weight.array.astype(input.dtype)
    if class_weight.shape != (classes,):
        raise ShapeError(f"cross_entropy: expected a weight of shape ({classes},), got {class_weight.shape}")

    outer = (*input.shape[:channel], *input.shape[channel + 1 :])
    rows = input.movedim(channel, -1).reshape(-1, classes)  # (M, C)
    if target.is_floating_point():
        if target.shape != input.shape:
            raise ShapeError(f"cross_entropy: expected class probabilities {input.shape}, got {target.shape}")
        smoothed = xp.moveaxis(target.array, channel, -1).reshape(-1, classes).astype(input.dtype)
        targets = ((1 - label_smoothing) * smoothed + label_smoothing / classes) * class_weight
        norm: Any = len(targets)
    else:
        if target.shape != outer:
            raise ShapeError(
                f"cross_entropy: expected labels of shape {outer} for logits {input.shape}, got {target.shape}"
            )
        targets, norm = _label_targets(xp, target.array.reshape(-1), class_weight, ignore_index, label_smoothing)
    losses = SoftmaxCrossEntropy.apply(rows, Tensor.wrap(targets, input.device))
    if reduction == "none":
        return losses.reshape(outer)
    return _mean(losses, norm) if reduction == "mean" else losses.sum()


def _label_targets(
    xp: Any, labels: Any, class_weight: Any, ignore_index: int, label_smoothing: float
) -> tuple[Any, Any]:
    """Labels (M,) as weighted target rows (M, C), and the sum of the labels' weights."""
    classes = len(class_weight)
    counted = labels != ignore_index
    wrong = counted & ((labels < 0) | (labels >= classes))
    if isinstance(labels, np.ndarray):
        if wrong.any():
            raise IndexError(f"cross_entropy: expected labels between 0 and {classes - 1}, got {labels[wrong][0]}")
        known = xp.where(counted, labels, 0)
        example_weight = class_weight[known] * counted
    else:  # to look at labels on a GPU would stop it: a wrong one makes the loss NaN
        known = xp.where(counted & ~wrong, labels, 0)
        example_weight = xp.where(wrong, xp.nan, class_weight[known] * counted).astype(class_weight.dtype)
    targets = xp.zeros((len(labels), classes), class_weight.dtype)
    targets[xp.arange(len(labels)), known] = (1 - label_smoothing) * example_weight
    if label_smoothing:
        targets += label_smoothing / classes * class_weight * counted[:, None]
    return targets, example_weight.sum()


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of each label: ``cross_entropy`` for logits that are log-probabilities already.

    Args:
        input: log-probabilities (N, C), (N, C, d1, ...) or (C,).
        target: class indices (N,), (N, d1, ...) or ().
    """
    _check_reduction(reduction)
    channel = 0 if input.ndim == 1 else 1
    xp = backend.get(input.device).xp
    classes = input.shape[channel]
    class_weight = xp.ones(classes, input.dtype) if weight is None else weight.array.astype(input.dtype)
    targets, norm = _label_targets(xp, target.array.reshape(-1), class_weight, ignore_index, 0.0)
    rows = input.movedim(channel, -1).reshape(-1, classes)
    chosen = xp.where(target.array.reshape(-1) == ignore_index, 0, target.array.reshape(-1))
    row_weight = targets[xp.arange(len(chosen)), chosen]
    positions = Tensor.wrap(xp.arange(len(chosen)), input.device)
    losses = -rows[positions, Tensor.wrap(chosen, input.device)] * Tensor.wrap(row_weight, input.device)
    if reduction == "none":
        return losses.reshape(target.shape)
    return _mean(losses, norm) if reduction == "mean" else losses.sum()


def _mean(losses: Tensor, norm: Any) -> Tensor:
    """The sum over ``norm``; where nothing counts 0 / 0 = NaN, but with gradient 0, as PyTorch has it."""
    if isinstance(norm, (int, np.generic)):
        return losses.sum() / norm if norm else losses.sum() + math.nan
    xp = backend.get(losses.device).xp  # on a GPU without asking whether there is anything
    divisor = Tensor.wrap(xp.where(norm == 0, 1, norm), losses.device)
    missing = Tensor.wrap(xp.where(norm == 0, xp.nan, 0).astype(losses.dtype), losses.device)
    return losses.sum() / divisor + missing


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared difference."""
    return _reduce((input - target) ** 2, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute difference."""
    return _reduce((input - target).abs(), reduction)


def _reduce(losses: Tensor, reduction: str) -> Tensor:
    _check_reduction(reduction)
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
