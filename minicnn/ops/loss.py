"""Losses: cross entropy from logits, and the simpler ones."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Function
from ..autograd.checks import common_device
from ..errors import ShapeError
from ..tensors import Tensor
from .elementwise import where


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
        TypeError: for labels that are no integers.
        IndexError: for a label outside 0 .. C - 1. (On a GPU the loss is NaN.)
        DeviceError: if the tensors are not all on one device.
        ValueError: for another reduction, a smoothing outside [0, 1], or an ``ignore_index`` beside probabilities.

    Where the weights of the counted examples add up to 0 the mean is 0 / 0 = NaN, and so are their gradients.
    """
    _check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected a number between 0 and 1, got {label_smoothing}")
    channel, class_weight = _classes("cross_entropy", input, target, weight)
    classes = input.shape[channel]
    outer = (*input.shape[:channel], *input.shape[channel + 1 :])
    xp = backend.get(input.device).xp
    if target.is_floating_point():
        if target.shape != input.shape:
            raise ShapeError(f"cross_entropy: expected class probabilities {input.shape}, got {target.shape}")
        if ignore_index >= 0:
            raise ValueError(f"cross_entropy: probabilities have no label to ignore, got ignore_index={ignore_index}")
        smoothed = xp.moveaxis(target.array, channel, -1).reshape(-1, classes).astype(input.dtype)
        targets = ((1 - label_smoothing) * smoothed + label_smoothing / classes) * class_weight
        counted, norm = None, len(targets)
    else:
        labels, counted, example_weight = _labels("cross_entropy", input, target, outer, class_weight, ignore_index)
        targets = xp.zeros((len(labels), classes), class_weight.dtype)
        targets[xp.arange(len(labels)), labels] = (1 - label_smoothing) * example_weight
        if label_smoothing:
            targets += label_smoothing / classes * class_weight * counted[:, None]
        norm = example_weight.sum()
    rows = input.movedim(channel, -1).reshape(math.prod(outer), classes)  # (M, C)
    losses = SoftmaxCrossEntropy.apply(rows, Tensor.wrap(targets, input.device))
    return _reduce(losses.reshape(outer), reduction, counted, norm)


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

    Raises:
        as ``cross_entropy``.
    """
    _check_reduction(reduction)
    channel, class_weight = _classes("nll_loss", input, target, weight)
    outer = (*input.shape[:channel], *input.shape[channel + 1 :])
    labels, counted, example_weight = _labels("nll_loss", input, target, outer, class_weight, ignore_index)
    xp = backend.get(input.device).xp
    rows = input.movedim(channel, -1).reshape(len(labels), input.shape[channel])  # (M, C)
    positions, labels, example_weight = (
        Tensor.wrap(x, input.device) for x in (xp.arange(len(labels)), labels, example_weight)
    )
    losses = -rows[positions, labels] * example_weight
    return _reduce(losses.reshape(outer), reduction, counted, example_weight.array.sum())


def _classes(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> tuple[int, Any]:
    """Which axis of ``input`` the classes are, and their weights (C,)."""
    place = common_device(name, [x for x in (input, target, weight) if x is not None])
    channel = 0 if input.ndim == 1 else 1
    if input.ndim == 0 or input.shape[channel] == 0:
        raise ShapeError(f"{name}: expected scores (N, C) or (C,) of at least one class, got shape {input.shape}")
    classes = input.shape[channel]
    xp = backend.get(place).xp
    class_weight = xp.ones(classes, input.dtype) if weight is None else weight.array.astype(input.dtype)
    if class_weight.shape != (classes,):
        raise ShapeError(f"{name}: expected a weight of shape ({classes},), got {class_weight.shape}")
    return channel, class_weight


def _labels(
    name: str, input: Tensor, target: Tensor, outer: tuple[int, ...], class_weight: Any, ignore_index: int
) -> tuple[Any, Any, Any]:
    """Checked labels (M,), 0 for those to ignore, which of them count (M,), and their weights (M,)."""
    if target.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer labels, got {target.dtype}")
    if target.shape != outer:
        raise ShapeError(f"{name}: expected labels of shape {outer} for logits {input.shape}, got {target.shape}")
    xp, classes = backend.get(input.device).xp, len(class_weight)
    labels = target.array.reshape(-1).astype("int64")
    counted = labels != ignore_index
    wrong = counted & ((labels < 0) | (labels >= classes))
    if isinstance(labels, np.ndarray):
        if wrong.any():
            raise IndexError(f"{name}: expected labels between 0 and {classes - 1}, got {labels[wrong][0]}")
        known = xp.where(counted, labels, 0)
        return known, counted, class_weight[known] * counted
    # to look at labels on a GPU would stop it: a wrong one makes the loss NaN
    known = xp.where(counted & ~wrong, labels, 0)
    return known, counted, xp.where(wrong, xp.nan, class_weight[known] * counted).astype(class_weight.dtype)


def _reduce(losses: Tensor, reduction: str, counted: Any, norm: Any) -> Tensor:
    """The losses of the examples, their sum, or that over ``norm``; 0 / 0 reaches the ``counted`` examples only."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if counted is not None:
        losses = where(Tensor.wrap(counted.reshape(losses.shape), losses.device), losses, 0)
    return losses.sum() / (norm if isinstance(norm, int) else Tensor.wrap(norm, losses.device))


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared difference; shapes that differ are broadcast with a warning, because that is seldom meant."""
    return _elementwise("mse_loss", (input - target) ** 2, input, target, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute difference; shapes that differ are broadcast with a warning, because that is seldom meant."""
    return _elementwise("l1_loss", (input - target).abs(), input, target, reduction)


def _elementwise(name: str, losses: Tensor, input: Tensor, target: Tensor, reduction: str) -> Tensor:
    _check_reduction(reduction)
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: an input of shape {input.shape} and a target of shape {target.shape} are broadcast to "
            f"{losses.shape}: this is likely a mistake",
            stacklevel=4,  # the caller of the loss, outside its guard
        )
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


def _check_reduction(reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
