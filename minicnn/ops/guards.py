"""What the public functions take: which of their arguments are tensors, and tensors of which dtypes.

Their signatures say the first, the table ``KINDS`` the second. Both are checked where the functions leave the package
(``guard``), so that the text of an operation is about its mathematics alone. Half precision is too short for sums:
what adds many numbers up (``SUMMING``) is computed in float32, as in PyTorch, and rounded once at the end. A GPU's
kernels for it do this by themselves (``IN_KERNELS``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..autograd.modes import SWITCHES
from ..dtypes import float32
from ..short_floats import FLOATS
from ..tensors import Tensor

# The kinds of dtype that the first argument may have (NumPy's letters), where PyTorch refuses the others.
FLOAT, NUMBER = FLOATS, "iu" + FLOATS
_TAKERS = {
    FLOAT: "relu6 hardtanh leaky_relu silu hardsigmoid hardswish softmax log_softmax norm batch_norm group_norm "
    "local_response_norm avg_pool2d adaptive_avg_pool2d cross_entropy nll_loss deform_conv2d",
    NUMBER: "relu abs sign round floor ceil square argmax argmin topk conv2d linear matmul",
}
KINDS = {name: kinds for kinds, names in _TAKERS.items() for name in names.split()}
EXPECTED = {FLOAT: "a floating point tensor", NUMBER: "a tensor of numbers"}

_SUMMING = (
    "sum mean var std prod cumsum norm logsumexp softmax log_softmax batch_norm group_norm local_response_norm "
    "cross_entropy nll_loss avg_pool2d adaptive_avg_pool2d"
)
SUMMING = frozenset(_SUMMING.split())
IN_KERNELS = frozenset({"avg_pool2d", "adaptive_avg_pool2d", "batch_norm"})
OPERATORS = frozenset({"pow"})  # for numbers too: nothing to check, but autocast has a word about them
_ABSENT = object()

Guarded = TypeVar("Guarded", bound=Callable[..., Any])


def guard(function: Guarded) -> Guarded:
    """``function`` after the checks of this module; itself if its signature names no tensor.

    The guarded function raises ``TypeError``, which names the function and the argument.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    annotated = [(index, name, function.__annotations__.get(name)) for index, name in enumerate(names)]
    tensors = [(index, name, kind) for index, name, kind in annotated if kind in _CHECKS]
    title = function.__name__.rstrip("_")
    if not tensors and title not in OPERATORS:
        return function
    kinds, summing, in_kernels = KINDS.get(title), title in SUMMING, title in IN_KERNELS

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        for index, name, kind in tensors:
            value = args[index] if index < len(args) else kwargs.get(name, _ABSENT)
            if type(value) is not Tensor and value is not _ABSENT:
                _CHECKS[kind](title, name, value)
        if kinds is not None:
            check_kind(title, args[0] if args else kwargs[names[0]], kinds)
        casting = SWITCHES.autocast
        if casting is not None:
            args, kwargs = casting.arguments(title, args, kwargs)
        first: Any = args[0] if args else kwargs.get(names[0])
        if summing and _is_short(first) and not (in_kernels and first.is_cuda) and kwargs.get("dtype") is None:
            first, *rest = args or (kwargs.pop(names[0]),)
            result = function(first.to(float32), *rest, **kwargs).to(first.dtype)
        else:
            result = function(*args, **kwargs)
        return result if casting is None else casting.result(title, result)

    return cast(Guarded, guarded)


def _is_short(tensor: Tensor) -> bool:
    return tensor.dtype.itemsize == 2 and tensor.is_floating_point()


def check_kind(function: str, tensor: Tensor, kinds: str = FLOAT) -> None:
    """Raise a ``TypeError`` unless the dtype of ``tensor`` is of one of ``kinds``."""
    if tensor.dtype.kind not in kinds:
        raise TypeError(f"{function}: expected {EXPECTED[kinds]}, got {tensor.dtype}: convert with .float()")


def _check_tensor(function: str, name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        kind = type(value)
        came = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(f"{function}: expected a Tensor as {name!r}, got {came}: minicnn.tensor() makes one of numbers")


def _check_optional(function: str, name: str, value: Any) -> None:
    if value is not None:
        _check_tensor(function, name, value)


def _check_several(function: str, name: str, value: Any) -> None:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_tensor(function, f"{name}[{index}]", item)


_CHECKS = {"Tensor": _check_tensor, "Tensor | None": _check_optional, "Sequence[Tensor]": _check_several}
