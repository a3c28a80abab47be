"""minicnn: convolutional networks from scratch on NumPy, spelled like PyTorch.

``import minicnn as torch`` runs the lecture's own code. To read this package, begin with ``docs/evening.md``.
"""

from __future__ import annotations

from . import interrupt  # before all others: Ctrl-C may come while they are imported

# isort: split
import importlib
from typing import TYPE_CHECKING, Any

from . import autograd, backend, nn, ops, random
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
    is_tensor,
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
from .devices import device
from .dtypes import (
    bfloat16,
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
from .dtypes import bool_ as bool
from .ops import *  # noqa: F403  (the functional form of every Tensor method; ops/__init__.py lists them)
from .printing import set_printoptions
from .random import Generator, manual_seed
from .sharing import from_dlpack
from .tensors import Tensor

if TYPE_CHECKING:
    from . import amp, cuda, data, jit, models, onnx, optim, utils
    from .amp import autocast, get_autocast_dtype, is_autocast_enabled
    from .compiler import compile
    from .models.resnet import residual_add
    from .nn.summary import summary
    from .serialization import load, save

__version__ = "0.1.0"

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
inference_mode = no_grad


# Imported when they are first used, so that ``import minicnn`` stays quick: name -> module that has it.
_LAZY = {name: f".{name}" for name in ("amp", "cuda", "data", "jit", "models", "onnx", "optim", "utils")}
_LAZY |= {"load": ".serialization", "save": ".serialization", "summary": ".nn.summary", "compile": ".compiler"}
_LAZY |= dict.fromkeys(("autocast", "get_autocast_dtype", "is_autocast_enabled"), ".amp")
_LAZY["residual_add"] = ".models.resnet"


if not TYPE_CHECKING:  # to a type checker no other name exists

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
        module = importlib.import_module(_LAZY[name], __name__)
        value = module if _LAZY[name] == f".{name}" else getattr(module, name)
        globals()[name] = value
        return value


# fmt: off
__all__ = [  # and the functional form of every Tensor method
    "Generator", "Tensor", "allclose", "amp", "arange", "as_tensor", "autocast", "autograd", "backend", "bernoulli",
    "bfloat16", "bool", "compile", "cuda", "data", "detect_anomaly", "device", "double", "empty", "empty_like",
    "enable_grad", "equal", "eye", "float", "float16", "float32", "float64", "from_dlpack", "from_numpy", "full",
    "full_like", "get_autocast_dtype", "get_default_dtype", "half", "inference_mode", "int", "int16", "int32", "int64",
    "int8", "is_autocast_enabled", "is_grad_enabled", "is_tensor", "isclose", "jit", "linspace", "load", "long",
    "manual_seed", "models", "nn", "no_grad", "ones", "ones_like", "onnx", "optim", "rand", "rand_like", "randint",
    "randn", "randn_like", "random", "randperm", "residual_add", "save", "set_default_dtype", "set_grad_enabled",
    "set_printoptions", "short", "summary", "tensor", "uint8", "utils", "zeros", "zeros_like",
]
# fmt: on
__all__ += ops.__all__


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
