"""minicnn: convolutional networks from scratch on NumPy, spelled like PyTorch.

``import minicnn as torch`` runs the lecture's own code. Start reading at ``tensor.py``, ``autograd.py`` and ``ops/``.
"""

from __future__ import annotations

from . import autograd, backend, cuda, data, jit, models, nn, optim, random, utils
from .autograd import detect_anomaly, enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .creation import (
    allclose,
    arange,
    as_tensor,
    bernoulli,
    empty,
    empty_like,
    equal,
    eye,
    from_numpy,
    full,
    full_like,
    isclose,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .device import device
from .nn.summary import summary
from .ops import *  # noqa: F403  (the functional form of every Tensor method; ops/__init__.py lists them)
from .random import Generator, manual_seed
from .serialization import load, save
from .tensor import (
    Tensor,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from .tensor import bool_ as bool

__version__ = "0.1.0"

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
inference_mode = no_grad


def is_tensor(value: object) -> bool:  # type: ignore[valid-type]
    """Whether ``value`` is a Tensor."""
    return isinstance(value, Tensor)
