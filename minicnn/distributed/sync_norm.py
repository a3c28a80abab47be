"""Batch norm over the batches of all ranks: with few images a rank, its own statistics would be noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Function
from ..autograd.modes import SWITCHES
from ..errors import ShapeError
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..nn.norm import _BatchNorm
from ..ops.normalization import Running
from ..tensors import Tensor
from . import group


class SyncBatchNorm(_BatchNorm):
    __doc__ = f"""(N, C, ...), statistics over the batches of all ranks and all axes but C.

    PyTorch has it as ``nn.SyncBatchNorm``. In evaluation, and without a process group, it is plain batch norm. In
    training every rank has to call it, even with an empty batch, and it is not compiled.

    {_BatchNorm.__doc__}"""
    expected_input = "2-D to 5-D (N, C, ...)"
    expected_ndims = (2, 3, 4, 5)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not group.is_initialized() or group.get_world_size() == 1:
            return super().forward(input)
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise ShapeError(f"expected (N, {self.num_features}, ...), got shape {tuple(input.shape)}")
        if SWITCHES.recorder is not None:
            SWITCHES.recorder.give_up("it synchronises batch norm")
        updating, momentum = self.track_running_stats, self.momentum
        if updating and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / self.num_batches_tracked.item()
        parts = (self.running_mean, self.running_var) if updating else (None, None)
        running = (None if part is None else part.detach() for part in parts)
        return _Normalise.apply(input, self.weight, self.bias, *running, momentum, self.eps)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module) -> Module:
        """``module`` with every batch norm in it replaced by a synchronised one that has the same tensors."""
        if isinstance(module, (BatchNorm1d, BatchNorm2d)):
            made = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
            made._parameters.update(module._parameters)
            made._buffers.update(module._buffers)
            made.training = module.training
            return made
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = cls.convert_sync_batchnorm(child)
        return module


class _Normalise(Function):
    """As ``ops.norm.BatchNorm``, with the sums over all images of all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
    ) -> Any:
        xp, channels, wide = ctx.backend.xp, x.shape[1], _wide(x)
        axes, lined_up = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
        # Of this rank: how many values, their mean, and the sum of their squared distances from it.
        own = xp.zeros((3, channels))
        count = x.size // channels
        if count:
            mean = x.mean(axis=axes, dtype=wide)
            own[0], own[1] = count, mean
            own[2] = ((x - mean.reshape(lined_up)) ** 2).sum(axis=axes)
        # Of all ranks (Chan et al. 1979): the squares around the common mean are those around each rank's own, and for
        # each of its values the square of the distance between the two means.
        counts, means, squares = _gathered(own, ctx).swapaxes(0, 1)  # (ranks, C) each
        total = int(counts[:, 0].sum())
        if total < 2:
            raise ShapeError(f"expected more than one value per channel over all ranks, got {total}")
        mean = (counts * means).sum(axis=0) / total
        variance = (squares + counts * (means - mean) ** 2).sum(axis=0) / total
        mean, variance = mean.astype(x.dtype), variance.astype(x.dtype)
        inv_std = 1 / xp.sqrt(variance + eps)
        Running(running_mean, running_var, total, momentum).move(mean, variance)
        ctx.mark_dirty(running_mean, running_var)
        ctx.save_for_backward(x, weight, mean, inv_std)
        ctx.total = total
        y = (x - mean.reshape(lined_up)) * (inv_std if weight is None else weight * inv_std).reshape(lined_up)
        return y if bias is None else y + bias.reshape(lined_up)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight, mean, inv_std = ctx.saved_tensors
        axes, lined_up = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
        x_hat = (x - mean.reshape(lined_up)) * inv_std.reshape(lined_up)
        sums = dy.sum(axis=axes, dtype=_wide(x)), (dy * x_hat).sum(axis=axes, dtype=_wide(x))
        own = ctx.backend.xp.stack(sums)  # (2, C)
        d_bias, d_weight = (_gathered(own, ctx).sum(axis=0) / ctx.total).astype(x.dtype)
        own = own.astype(x.dtype)
        # As in one process, where all images are in one batch; weight and bias are averaged over the ranks later.
        scale = inv_std if weight is None else weight * inv_std
        dx = (dy - d_bias.reshape(lined_up) - x_hat * d_weight.reshape(lined_up)) * scale.reshape(lined_up)
        return dx, own[1] if weight is not None else None, own[0] if ctx.needs_input_grad[2] else None, *[None] * 4


def _wide(x: Any) -> Any:
    """The dtype of sums: those of squares are beyond float16, and MPI knows no floats of 16 bits."""
    return np.float32 if x.dtype.itemsize == 2 else x.dtype


def _gathered(own: Any, ctx: Any) -> Any:
    """The arrays of all ranks, one after the other: summed in this order, so that all ranks get the same bits."""
    gathered, work = group.for_device(ctx.device).all_gather(own)
    work.wait()
    return gathered
