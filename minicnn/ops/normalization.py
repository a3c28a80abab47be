"""Normalisation: batch norm, group norm, and AlexNet's local response normalisation.

A batch is normalised by its own mean and variance. An image that is to be classified later has no batch around it, so
Algorithm 2 of Ioffe and Szegedy (2015) takes averages over training, the running statistics. They are exponential
averages, as PyTorch's: after each batch the old value counts ``1 - momentum``, the new one ``momentum``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import backend
from ..autograd import Function
from ..errors import ShapeError
from ..tensors import Tensor


class BatchNorm(Function):
    """Normalise each channel with the batch's own statistics [Ioffe and Szegedy, 2015]; backward goes through them.

    The running statistics, where they are kept, move towards the batch's in place.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
    ) -> Any:
        running = Running(running_mean, running_var, x.size // x.shape[1], momentum)
        y, mean, _, inv_std = moving(ctx, running, ctx.backend.batch_norm, x, weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, inv_std)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight, mean, inv_std = ctx.saved_tensors
        gradients = ctx.backend.batch_norm_grad(dy, x, weight, mean, inv_std)
        wanted = ctx.needs_input_grad[:3]
        return (*(g if want else None for g, want in zip(gradients, wanted, strict=True)), None, None, None, None)


def updated_mean(running: Any, batch: Any, momentum: float) -> Any:
    """A running statistic after one more batch; for the mean that is all.

    Args:
        running: the statistic until now (C,). It is not written into.
        batch: that of the batch (C,).
        momentum: the weight of the batch, from 0 to 1.

    Returns:
        (C,), dtype of running.
    """
    return (1 - momentum) * running + momentum * batch


def updated_variance(running: Any, variance: Any, count: int, momentum: float) -> Any:
    """The running variance after one more batch.

    A batch is normalised by its biased variance, an average over its ``count`` values. What is remembered is to hold
    for all images, and is the unbiased estimate, over ``count - 1``.

    Args:
        running: the running variance until now (C,). It is not written into.
        variance: the batch's biased variance (C,).
        count: the number of values in each channel of the batch, at least 2.
        momentum: the weight of the batch, from 0 to 1.

    Returns:
        (C,), dtype of running.
    """
    return updated_mean(running, variance * (count / (count - 1)), momentum)


@dataclass(frozen=True)
class Running:
    """Running statistics (C,), ``None`` where they are not kept, and how a batch of ``count`` values moves them."""

    mean: Any
    var: Any
    count: int
    momentum: float

    @property
    def unbiased(self) -> float:
        """What makes of the batch's variance an unbiased estimate."""
        return 1.0 if self.var is None else self.count / (self.count - 1)

    def move(self, mean: Any, variance: Any) -> None:
        """Move towards those of the batch, in place."""
        if self.mean is not None:
            self.mean[...] = updated_mean(self.mean, mean, self.momentum)
        if self.var is not None:
            self.var[...] = updated_variance(self.var, variance, self.count, self.momentum)


def moving(ctx: Any, running: Running, norm: Callable[..., Any], *args: Any) -> Any:
    """``norm(*args)``, which is (y, mean, variance, ...); meanwhile, or afterwards, ``running`` moves."""
    ctx.mark_dirty(running.mean, running.var)
    if ctx.backend.statistics_in_kernels:
        return norm(*args, running=running)
    y, mean, variance, inv_std = norm(*args)
    running.move(mean, variance)
    return y, mean, variance, inv_std


class FixedNorm(Function):
    """Normalise each channel with given statistics: y = (x - mean) * inv_std * weight + bias, a line per channel."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float) -> Any:
        inv_std = 1 / ctx.backend.xp.sqrt(variance + eps)
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight, mean, inv_std)
        scale = inv_std if weight is None else weight * inv_std
        shift = -mean * scale if bias is None else bias - mean * scale
        return ctx.backend.scale_and_shift(x, scale, shift)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight, mean, inv_std = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        lined_up = (-1, *[1] * (dy.ndim - 2))  # (C,) -> (C, 1, 1)
        axes = (0, *range(2, dy.ndim))
        scale = inv_std if weight is None else weight * inv_std
        dx = dy * scale.reshape(lined_up) if wants_x else None
        dweight = (dy * (x - mean.reshape(lined_up))).sum(axis=axes) * inv_std if wants_weight else None
        return dx, dweight, dy.sum(axis=axes) if wants_bias else None, None, None, None


class LocalResponseNorm(Function):
    """y = x / s^beta with s = k + alpha/n * (sum of x^2 over n neighbouring channels) [AlexNet, section 3.3].

    Each x stands in the sums of its neighbours too, which is where the second term of dx comes from.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
        s = k + alpha / size * _channel_sums(ctx.backend.xp, x * x, size // 2, (size - 1) // 2)
        ctx.save_for_backward(x, s)
        ctx.options = size, alpha, beta
        return x * s**-beta

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, s = ctx.saved_tensors
        size, alpha, beta = ctx.options
        through_sums = _channel_sums(ctx.backend.xp, dy * x * s ** (-beta - 1), (size - 1) // 2, size // 2)
        dx = dy * s**-beta - 2 * alpha * beta / size * x * through_sums
        return dx, None, None, None, None


def _channel_sums(xp: Any, x: Any, before: int, after: int) -> Any:
    """For each channel, the sum over the ``before`` channels below it, itself, and the ``after`` above it."""
    padded = xp.pad(x, ((0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)))
    channels = x.shape[1]
    total = padded[:, :channels].copy()
    for step in range(1, before + after + 1):
        total += padded[:, step : step + channels]
    return total


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation, as ``torch.nn.functional.batch_norm``.

    In training each channel is normalised by the batch's mean and biased variance, and the running statistics move
    towards them in place: ``running = (1 - momentum) * running + momentum * batch``, the variance unbiased.
    Otherwise the running statistics are used as they are.

    Args:
        input: (N, C) or (N, C, ...).
        running_mean, running_var, weight, bias: (C,) each; the last two may be ``None``, and in training all four.

    A channel of equal values has variance 0: what is promised is ``bias`` and a gradient of 0 at the input, both but
    for rounding errors times 1 / sqrt(eps).

    Raises:
        ShapeError: if the channels do not fit, and in training with a single value per channel, whose variance says
            nothing.
        ValueError: in evaluation without running statistics.
    """
    if input.ndim < 2:
        raise ShapeError(f"expected (N, C) or (N, C, ...), got shape {input.shape}")
    channels = input.shape[1]
    parts = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, part in parts.items():
        if part is not None and part.shape != (channels,):
            raise ShapeError(f"expected {part.numel()} channels ({name} has shape {part.shape}), got {channels}")
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: evaluation (training=False) needs running_mean and running_var")
        return FixedNorm.apply(input, weight, bias, running_mean.detach(), running_var.detach(), eps)
    count = input.numel() // channels if channels else 0
    if count == 1:
        raise ShapeError(f"expected more than one value per channel to normalise in training, got shape {input.shape}")
    if count == 0:  # there are no statistics, and nothing to normalise
        nothing = Tensor.wrap(backend.get(input.device).xp.zeros(channels, input.dtype), input.device)
        return FixedNorm.apply(input, weight, bias, nothing, nothing, eps)
    running = (None if part is None else part.detach() for part in (running_mean, running_var))
    return BatchNorm.apply(input, weight, bias, *running, momentum, eps)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise groups of channels within each image [Wu and He, 2018]: batch norm with every group its own channel.

    Args:
        input: (N, C, ...).
        weight, bias: (C,) or ``None``.

    Raises:
        ShapeError: if ``num_groups`` does not divide C, and for a single image with one value per channel and one
            channel per group. Elsewhere a group of one value, like one of equal values, is its own mean: the result is
            ``bias``.
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(f"expected channels divisible by num_groups={num_groups}, got shape {input.shape}")
    if input.numel() == num_groups == input.shape[1]:
        raise ShapeError(f"expected more than one value to normalise, got shape {input.shape} in {num_groups} groups")
    y = input
    if input.numel():
        grouped = input.reshape(1, input.shape[0] * num_groups, -1)
        y = BatchNorm.apply(grouped, None, None, None, None, 0.0, eps).reshape(input.shape)
    lined_up = (-1, *[1] * (input.ndim - 2))
    if weight is not None:
        y = y * weight.reshape(lined_up)
    return y if bias is None else y + bias.reshape(lined_up)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by the energy of ``size`` neighbouring channels, as ``torch.nn.functional.local_response_norm``.

    ``alpha`` is divided by ``size`` as in PyTorch; AlexNet's own alpha (section 3.3) is not, so its 1e-4 over n = 5
    channels is 5e-4 here.

    Args:
        input: (N, C, ...), at least three dimensions.
    """
    if input.ndim < 3:
        raise ShapeError(f"expected at least 3 dimensions (N, C, ...), got shape {input.shape}")
    if size < 1:
        raise ValueError(f"size: expected at least one channel, got {size}")
    return LocalResponseNorm.apply(input, size, alpha, beta, k)
