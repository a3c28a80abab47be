"""Normalisation layers: over the batch, over groups of channels, over neighbouring channels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import creation
from ..devices import Place
from ..dtypes import DType
from ..errors import ShapeError
from ..tensors import Tensor
from . import functional as F
from . import init
from .arguments import divisible, integer
from .module import Module
from .parameter import Parameter


class _Affine(Module):
    """A learned scale and shift per channel, which start as 1 and 0, or None if they are not wanted."""

    # The types are those of a layer that has them, as in PyTorch: most have, and ``init.ones_(norm.weight)`` is right.
    weight: Parameter
    bias: Parameter

    def _make_affine(self, channels: int, affine: bool, bias: bool, **factory: Any) -> None:
        self.affine = affine
        self.register_parameter("weight", Parameter(creation.ones(channels, **factory)) if affine else None)
        has_bias = affine and bias
        self.register_parameter("bias", Parameter(creation.zeros(channels, **factory)) if has_bias else None)

    def _reset_affine(self) -> None:
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _BatchNorm(_Affine):
    """Batch normalisation: y = (x - mean) / sqrt(var + eps) * weight + bias, per channel.

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", ICML 2015. In training, mean and (biased) variance are the batch's, and the running statistics
    are updated: running = (1 - momentum) running + momentum batch, with the unbiased variance of the batch. In
    evaluation the running statistics are used.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: weight of the newest batch; None averages all batches equally.
        affine: whether there are ``weight`` and ``bias`` (``bias=False``: only ``weight``).
        track_running_stats: False keeps no running statistics and always uses the batch's.
    """

    # It is missing in files from before PyTorch 0.4.1.
    optional_state = frozenset({"num_batches_tracked"})
    expected_input: ClassVar[str]
    expected_ndims: ClassVar[tuple[int, ...]]

    running_mean: Tensor  # these three may be None too
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Place | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = integer("num_features", num_features, 1)
        self.eps = eps
        self.momentum = momentum
        self._make_affine(self.num_features, affine, bias, dtype=dtype, device=device)
        self.track_running_stats = track_running_stats
        channels, tracked = self.num_features, track_running_stats
        mean = creation.zeros(channels, dtype=dtype, device=device) if tracked else None
        var = creation.ones(channels, dtype=dtype, device=device) if tracked else None
        count = creation.zeros((), dtype=np.dtype(np.int64), device=device) if tracked else None
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Reset the running statistics: mean 0, variance 1, count 0."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                init.constant_(buffer, value)

    def reset_parameters(self) -> None:
        """Reset the running statistics, and weight and bias."""
        self.reset_running_stats()
        self._reset_affine()

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.expected_ndims:
            raise ShapeError(f"expected a {self.expected_input} input, got shape {tuple(input.shape)}")
        updating = self.training and self.track_running_stats
        keeping = self.running_mean is not None and (updating or not self.training)
        momentum = self.momentum
        if updating and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / self.num_batches_tracked.item()
        return F.batch_norm(
            input,
            self.running_mean if keeping else None,
            self.running_var if keeping else None,
            self.weight,
            self.bias,
            training=self.training or not keeping,
            momentum=0.0 if momentum is None else momentum,
            eps=self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"(N, C) or (N, C, L), statistics over all but C.\n\n    {_BatchNorm.__doc__}"
    expected_input = "2-D (N, C) or 3-D (N, C, L)"
    expected_ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"(N, C, H, W), statistics over N, H and W.\n\n    {_BatchNorm.__doc__}"
    expected_input = "4-D (N, C, H, W)"
    expected_ndims = (4,)


class GroupNorm(_Affine):
    """Normalise every image over groups of channels: ``(N, C, *)`` with C a multiple of ``num_groups``.

    Wu and He, "Group normalization", ECCV 2018. The same in training and evaluation, whatever the batch.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-05,
        affine: bool = True,
        device: Place | None = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = integer("num_groups", num_groups, 1)
        self.num_channels = integer("num_channels", num_channels, 1)
        divisible(num_channels=self.num_channels, num_groups=self.num_groups)
        self.eps = eps
        self._make_affine(self.num_channels, affine, bias, dtype=dtype, device=device)

    def reset_parameters(self) -> None:
        """Set the scale to 1 and the shift to 0."""
        self._reset_affine()

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """Divide every value by a function of its neighbours along the channels: AlexNet's, GoogLeNet's (L2.1).

    y_c = x_c / (k + alpha / size * sum over the ``size`` channels around c of x^2)^beta: Krizhevsky et al.,
    "ImageNet classification with deep convolutional neural networks", NIPS 2012, section 3.3. The paper does
    not divide alpha by size: its alpha=1e-4 at n=5 is alpha=5e-4 here and in PyTorch.
    """

    def __init__(self, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = integer("size", size, 1)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
