"""The fully connected layer, and the layers that compute nothing."""

from __future__ import annotations

from typing import Any

from .. import creation, ops
from ..devices import Place
from ..dtypes import DType
from ..tensors import Tensor
from . import functional as F
from . import init
from .arguments import integer
from .module import Module
from .parameter import Parameter


class Linear(Module):
    """y = x W^T + b on the last dimension: (..., in_features) -> (..., out_features).

    ``weight`` is (out_features, in_features), ``bias`` (out_features,) or None.

    Raises:
        ShapeError: when called on an input whose last dimension is not ``in_features``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Place | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("in_features", in_features, 0)
        self.out_features = integer("out_features", out_features, 0)
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(creation.zeros(shape, dtype=dtype, device=device))
        self.bias: Parameter  # or None; the type is that of PyTorch
        if bias:
            self.bias = Parameter(creation.zeros(shape[:1], dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform in +-1 / sqrt(in_features)."""
        init.default_affine_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """Return the input unchanged; takes and ignores any arguments, so that it can replace any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Join the dimensions from ``start_dim`` to ``end_dim``: by default (N, C, H, W) -> (N, C*H*W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split dimension ``dim`` into ``unflattened_size``, the inverse of ``Flatten``; one length may be -1.

    Raises:
        ShapeError: when called on an input whose dimension ``dim`` has another number of elements.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return ops.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
