"""PyTorch's ``torch.nn.functional`` spelling of ``minicnn.ops``.

Most names are the operations themselves. The functions defined here take arguments of PyTorch's that the
operations do not have: ``inplace`` (accepted and computed out of place, see ``activation.py``), ``dim=None``
for softmax.
"""

from __future__ import annotations

from .. import ops
from ..creation import one_hot
from ..dtypes import DType
from ..ops import (
    adaptive_avg_pool2d,
    avg_pool2d,
    batch_norm,
    conv2d,
    cross_entropy,
    deform_conv2d,
    group_norm,
    l1_loss,
    linear,
    local_response_norm,
    max_pool2d,
    mse_loss,
    nll_loss,
    pad,
    sigmoid,
    tanh,
)
from ..tensors import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0)."""
    return ops.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return ops.relu6(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` where positive, ``negative_slope * input`` elsewhere."""
    return ops.leaky_relu(input, negative_slope)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input)."""
    return ops.silu(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` held between ``min_val`` and ``max_val``."""
    return ops.hardtanh(input, min_val, max_val)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(input + 3) / 6."""
    return ops.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * relu6(input + 3) / 6."""
    return ops.hardswish(input)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, zero each value with probability ``p`` and scale the others by 1 / (1 - p)."""
    return ops.dropout(input, p, training)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """``dropout`` of whole channels."""
    return ops.dropout2d(input, p, training)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """Exponentials along ``dim`` scaled to sum to one, computed in ``dtype`` if given."""
    return ops.softmax(input if dtype is None else input.to(dtype=dtype), _softmax_dim(input, dim))


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """The logarithm of ``softmax``."""
    return ops.log_softmax(input if dtype is None else input.to(dtype=dtype), _softmax_dim(input, dim))


def _softmax_dim(input: Tensor, dim: int | None) -> int:
    """PyTorch's choice if ``dim`` is None: the channels of a batch."""
    if dim is not None:
        return dim
    return 0 if input.ndim in (0, 1, 3) else 1


__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "deform_conv2d",
    "dropout",
    "dropout2d",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "l1_loss",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]


def __dir__() -> list[str]:
    return __all__
