"""Fused operations: each replaces several recorded calls, forward and backward.

They are written like operations (``ops/``), and take the arguments of the operations that they replace, one after the
other. A kernel of the backend computes, by name: ``ctx.kernels["norm"]``. ``rules.py`` says which calls a class here
may replace; ``backend/reference/fused.py`` has readable kernels.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from ..backend.reference.fused import Given, Line
from ..ops.normalization import Running, moving


class FusedNorm:
    """act(batch_norm(x) + residual); activation and residual are optional."""

    activation: str | None = None

    @staticmethod
    def forward(
        ctx: Any, x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float,
        residual: Any = None,
    ) -> Any:  # fmt: skip
        """See ``ops.normalization.BatchNorm``."""
        running = Running(running_mean, running_var, x.size // x.shape[1], momentum)
        y, mean, _, inv_std = moving(ctx, running, ctx.kernels["norm"], x, weight, bias, eps, residual, ctx.activation)
        # The bias is copied: eager does not save it, so a later write into it must have no effect.
        ctx.save_for_backward(x, mean, inv_std, weight, None if bias is None else bias.copy(), residual)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients along all arguments."""
        x, *line, residual = ctx.saved_tensors
        added = {} if ctx.before is None else {"before": ctx.before}
        dx, d_weight, d_bias, d_residual = ctx.kernels["norm_grad"](
            dy, x, Line(*line), residual, ctx.activation, **added
        )
        return dx, d_weight, d_bias, None, None, None, None, d_residual


class FusedFixedNorm:
    """The same with given statistics."""

    activation: str | None = None

    @staticmethod
    def forward(
        ctx: Any, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float, residual: Any = None
    ) -> Any:
        """See ``ops.normalization.FixedNorm``."""
        given, differentiable = Given(mean, variance, weight, bias, eps), True in ctx.needs_input_grad
        if ctx.backend.statistics_in_kernels and not differentiable:
            return ctx.kernels["fixed_norm"](x, given, residual, ctx.activation)
        line = given.as_line(ctx.backend.xp)
        if differentiable:
            kept = line._replace(mean=mean.copy(), bias=None if bias is None else bias.copy())
            ctx.save_for_backward(x, *kept, residual)
        return ctx.kernels["fixed_norm"](x, line, residual, ctx.activation)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients along all arguments."""
        x, *line, residual = ctx.saved_tensors
        dx, d_weight, d_bias, d_residual = ctx.kernels["fixed_norm_grad"](dy, x, Line(*line), residual, ctx.activation)
        return dx, d_weight, d_bias, None, None, None, d_residual


class FusedConv2d:
    """relu(x * w + b): each sum starts from the bias and ends with the optional ReLU.

    In backward, the gradient at x is added to one that has already arrived (``ctx.before``) while it is written.
    """

    activation: str | None = None
    adds = 0  # the argument at which ``before`` is

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, window: Any, groups: int) -> Any:
        """See ``ops.conv.Conv2d``."""
        y = ctx.kernels["conv2d"](x, weight, window, groups, bias, activation=ctx.activation)
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        ctx.save_for_backward(
            x if wants_weight else None, weight if wants_x else None, None if ctx.activation is None else y
        )
        ctx.x_shape, ctx.weight_shape, ctx.window, ctx.groups = x.shape, weight.shape, window, groups
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients along all arguments."""
        x, weight, y = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        d_bias = None
        if y is not None:
            dy, d_bias = ctx.kernels["relu_bias_grad"](dy, y)
        elif wants_bias:
            d_bias = ctx.kernels["channel_sums"](dy)
        geometry = ctx.window, ctx.groups
        return (
            ctx.kernels["conv2d_input_grad"](dy, weight, ctx.x_shape, *geometry, residual=ctx.before)
            if wants_x
            else None,
            ctx.backend.conv2d_weight_grad(dy, x, ctx.weight_shape, *geometry) if wants_weight else None,
            d_bias if wants_bias else None,
            None,
            None,
        )


class FusedLinear:
    """relu(x w^T + b); the ReLU is optional."""

    activation: str | None = None

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any) -> Any:
        """See ``ops.matrix.Linear``."""
        y = ctx.kernels["linear"](x, weight, bias, activation=ctx.activation)
        ctx.save_for_backward(x, weight, None if ctx.activation is None else y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients along all arguments."""
        x, weight, y = ctx.saved_tensors
        if y is not None:
            dy = ctx.backend.xp.where(y <= 0, 0, dy)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        return (
            ctx.backend.matmul(dy, weight) if wants_x else None,
            ctx.backend.matmul(dy.T, x) if wants_weight else None,
            dy.sum(axis=0) if wants_bias else None,
        )


class Gate:
    """Images (N, C, H, W) times one number per channel (N, C, 1, 1)."""

    @staticmethod
    def forward(ctx: Any, x: Any, gate: Any) -> Any:
        """See ``ops.arithmetic.Mul``."""
        ctx.gate_first = gate.size > x.size
        x, gate = (gate, x) if ctx.gate_first else (x, gate)
        ctx.save_for_backward(x, gate)
        return ctx.kernels["scale_channels"](x, gate)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradients of both factors."""
        dx, dgate = ctx.kernels["scale_channels_grad"](dy, *ctx.saved_tensors)
        return (dgate, dx) if ctx.gate_first else (dx, dgate)


class MaxPoolTaps:
    """The largest pixel of each window; its place in the window is kept in one byte."""

    @staticmethod
    def forward(ctx: Any, x: Any, window: Any, out_size: Any) -> Any:
        """See ``ops.pooling.MaxPool2d``; the indices are not used."""
        y, taps = ctx.kernels["max_pool_taps"](x, window, out_size)
        ctx.x_shape, ctx.window = x.shape, window
        ctx.save_for_backward(taps)
        return y, None

    @staticmethod
    def backward(ctx: Any, dy: Any, _: Any) -> Any:
        """The gradient at x."""
        (taps,) = ctx.saved_tensors
        return ctx.kernels["max_pool_taps_grad"](dy, taps, ctx.x_shape, ctx.window), None, None


class CatChannels:
    """Images end to end along the channels."""

    @staticmethod
    def forward(ctx: Any, *xs: Any, axis: int) -> Any:
        """See ``ops.joining.Cat``."""
        ctx.channels = [x.shape[1] for x in xs]
        return ctx.kernels["cat_channels"](xs)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradient of each: a part of dy, in place."""
        ends = list(accumulate(ctx.channels))
        return tuple(dy[:, end - count : end] for end, count in zip(ends, ctx.channels, strict=True))


class Reserve:
    """Images like x, with room for so many channels."""

    @staticmethod
    def forward(ctx: Any, x: Any, channels: int) -> Any:
        """Images (N, channels, H, W) of any content."""
        n, _, height, width = x.shape
        return ctx.kernels["empty_images"](n, channels, height, width, x.dtype)


class Grow:
    """Images joined along the channels: the first channels of ``room``, in which ``earlier`` are there already."""

    @staticmethod
    def forward(ctx: Any, room: Any, earlier: Any, *xs: Any) -> Any:
        """The channels of ``earlier`` and of ``xs``, of which only these are copied."""
        ctx.channels = [0 if earlier is None else earlier.shape[1], *(x.shape[1] for x in xs)]
        ends = list(accumulate(ctx.channels))
        for start, end, x in zip(ends, ends[1:], xs, strict=False):
            room[:, start:end] = x
        return room[:, : ends[-1]]

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradient of each: a part of dy, in place."""
        return None, *CatChannels.backward(ctx, dy)


class PointwiseReLU:
    """max(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        """See ``ops.activation.ReLU``."""
        y = ctx.kernels["relu"](x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradient at x."""
        return ctx.kernels["relu_grad"](dy, *ctx.saved_tensors)


class PointwiseSiLU:
    """x times its sigmoid."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        """See ``ops.activation.SiLU``."""
        ctx.save_for_backward(x)
        return ctx.kernels["silu"](x)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        """The gradient at x."""
        return ctx.kernels["silu_grad"](dy, *ctx.saved_tensors)


class PointwiseAdd:
    """a + b of one shape."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        """See ``ops.arithmetic.Add``."""
        return ctx.kernels["add"](a, b)

    @staticmethod
    def backward(ctx: Any, dc: Any) -> Any:
        """The gradients of both."""
        return dc, dc


class Count:
    """counter += number, in place."""

    @staticmethod
    def forward(ctx: Any, counter: Any, number: Any, target: Any) -> tuple[()]:
        """``target`` is the counter itself."""
        target += number
        return ()


class Fold:
    """The filters of a convolution, with the norms after it folded in, and packed. They depend on leaves alone.

    A norm with given statistics is the map ``scale y + shift`` per channel. Computed in float64.
    """

    @staticmethod
    def forward(ctx: Any, weight: Any, bias: Any, window: Any, groups: int, *norm: Any) -> Any:
        """What ``kernels["pack"]`` returns: a function of x, the residual, and the activation."""
        if not norm:
            return ctx.kernels["pack"](weight, window, groups, bias, lambda: weight)
        scale, shift = line_of(ctx.backend.xp, *norm)
        bias = (shift if bias is None else bias * scale + shift).astype(weight.dtype)

        def folded() -> Any:
            return (weight * scale[:, None, None, None]).astype(weight.dtype)

        return ctx.kernels["pack"](folded(), window, groups, bias, folded)


class PackedConv2d:
    """act(x * w + b + residual) with filters from ``Fold``."""

    activation: str | None = None

    @staticmethod
    def forward(ctx: Any, x: Any, packed: Any, residual: Any = None) -> Any:
        """The result of the convolution and all that was folded into it."""
        return packed(x, residual, activation=ctx.activation)


def line_of(xp: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float) -> tuple[Any, Any]:
    """A norm with given statistics as scale and shift (C,), float64."""
    scale = 1 / xp.sqrt(variance.astype("float64") + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias
