"""Every differentiable operation, one family per file: forward and chain rule on one screen.

Functions take and return Tensors and have PyTorch's names and signatures; importing this package also attaches them
to ``Tensor`` as methods and operators (``methods.py``).
"""

from __future__ import annotations

from types import FunctionType

from .activation import (
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    relu,
    relu6,
    sigmoid,
    silu,
    tanh,
)
from .arithmetic import (
    add,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    div,
    eq,
    floor_divide,
    ge,
    gt,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    mul,
    ne,
    neg,
    pow,
    remainder,
    sub,
)
from .conv import conv2d, pointwise_conv2d
from .deformable import deform_conv2d
from .dropout import dropout, dropout2d, stochastic_depth
from .elementwise import (
    abs_ as abs,
)
from .elementwise import (
    ceil,
    clamp,
    cos,
    exp,
    floor,
    isfinite,
    isinf,
    isnan,
    log,
    maximum,
    minimum,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    where,
)
from .elementwise import round_ as round
from .guards import guard
from .indexing import gather, index_select, masked_fill
from .joining import cat, chunk, narrow, split, stack, unbind
from .loss import cross_entropy, l1_loss, mse_loss, nll_loss
from .matrix import linear, matmul
from .methods import attach
from .normalization import batch_norm, group_norm, local_response_norm
from .pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from .probability import log_softmax, softmax
from .reduction import (
    all_ as all,
)
from .reduction import (
    amax,
    amin,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from .reduction import any_ as any
from .shape import (
    expand,
    flatten,
    flip,
    movedim,
    pad,
    permute,
    repeat,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
)
from .sorting import argsort, sort, topk

globals().update({name: guard(value) for name, value in globals().items() if isinstance(value, FunctionType)})
mm = bmm = matmul

attach()

# fmt: off
__all__ = [  # the functions, not the modules that they are written in
    "abs", "adaptive_avg_pool2d", "add", "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "avg_pool2d",
    "batch_norm", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "bmm", "cat", "ceil", "chunk", "clamp", "conv2d", "cos", "cross_entropy", "cumsum", "deform_conv2d",
    "div", "dropout", "dropout2d", "eq", "exp", "expand", "flatten", "flip", "floor", "floor_divide", "gather", "ge",
    "group_norm", "gt", "hardsigmoid", "hardswish", "hardtanh", "index_select", "isfinite", "isinf", "isnan",
    "l1_loss", "le", "leaky_relu", "linear", "local_response_norm", "log", "log_softmax", "logical_and", "logical_not",
    "logical_or", "logsumexp", "lt", "masked_fill", "matmul", "max", "max_pool2d", "maximum", "mean", "min", "minimum",
    "mm", "movedim", "mse_loss", "mul", "narrow", "ne", "neg", "nll_loss", "norm", "pad", "permute",
    "pointwise_conv2d", "pow", "prod", "relu", "relu6", "remainder", "repeat", "reshape", "round",
    "rsqrt", "sigmoid", "sign", "silu", "sin", "softmax", "sort", "split", "sqrt", "square", "squeeze", "stack", "std",
    "stochastic_depth", "sub", "sum", "t", "tanh", "topk", "transpose", "unbind", "unflatten", "unsqueeze", "var",
    "where",
]
# fmt: on
