"""Which functions are methods and operators of ``Tensor``: tables, and one function that attaches them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import float32, float64, int32, int64
from ..tensors import Tensor
from . import (
    activation,
    arithmetic,
    conversion,
    elementwise,
    indexing,
    inplace,
    joining,
    matrix,
    probability,
    reduction,
    shape,
    sorting,
)
from .guards import guard

_SAME_NAME: dict[Any, str] = {
    arithmetic: "add sub neg mul div pow remainder floor_divide lt le gt ge eq ne bitwise_and bitwise_or bitwise_xor "
    "bitwise_not bitwise_left_shift bitwise_right_shift logical_and logical_or logical_not",
    elementwise: "exp log sqrt rsqrt square sin cos clamp maximum minimum sign isnan isinf isfinite floor ceil",
    activation: "relu sigmoid tanh",
    probability: "softmax log_softmax",
    reduction: "sum mean var std amax amin max min argmax argmin prod cumsum logsumexp norm",
    sorting: "sort argsort topk",
    shape: "reshape view view_as flatten unflatten permute transpose t movedim squeeze unsqueeze expand expand_as "
    "repeat flip clone contiguous to",
    joining: "split chunk unbind narrow",
    indexing: "gather index_select masked_fill",
    matrix: "matmul",
    inplace: "zero_ fill_ copy_ normal_ uniform_ bernoulli_",
}

METHODS: dict[str, Callable] = {
    **{name: guard(getattr(module, name)) for module, names in _SAME_NAME.items() for name in names.split()},
    "abs": guard(elementwise.abs_),
    "round": guard(elementwise.round_),
    "all": reduction.all_,
    "any": reduction.any_,
    "where": lambda self, condition, other: elementwise.where(condition, self, other),
    "clip": elementwise.clamp,
    "clamp_min": lambda self, min: elementwise.clamp(self, min=min),
    "clamp_max": lambda self, max: elementwise.clamp(self, max=max),
    "multiply": arithmetic.mul,
    "divide": arithmetic.div,
    **dict.fromkeys(("mm", "bmm", "dot"), guard(matrix.matmul)),
    "type": shape.to,
    "type_as": lambda self, other: self.to(other),
    "double": lambda self: self.to(float64),
    "float": lambda self: self.to(float32),
    "half": lambda self: self.to(np.float16),
    "long": lambda self: self.to(int64),
    "int": lambda self: self.to(int32),
    "bool": lambda self: self.to(np.bool_),
}

_IN_PLACE_OPERATORS = "add sub mul truediv floordiv mod pow and or xor lshift rshift"
_IN_PLACE = "add sub mul div pow neg exp log sqrt abs clamp relu sigmoid tanh masked_fill floor ceil round"

OPERATORS: dict[str, Callable] = {
    "__add__": arithmetic.add,
    "__radd__": lambda self, other: arithmetic.add(other, self),
    "__sub__": arithmetic.sub,
    "__rsub__": lambda self, other: arithmetic.sub(other, self),
    "__mul__": arithmetic.mul,
    "__rmul__": lambda self, other: arithmetic.mul(other, self),
    "__truediv__": arithmetic.div,
    "__rtruediv__": lambda self, other: arithmetic.div(other, self),
    "__pow__": arithmetic.pow,
    "__rpow__": lambda self, other: arithmetic.pow(other, self),
    "__matmul__": guard(matrix.matmul),
    "__rmatmul__": lambda self, other: matrix.matmul(Tensor(other), self),
    "__neg__": arithmetic.neg,
    "__abs__": guard(elementwise.abs_),
    "__lt__": arithmetic.lt,
    "__le__": arithmetic.le,
    "__gt__": arithmetic.gt,
    "__ge__": arithmetic.ge,
    "__eq__": arithmetic.eq,
    "__ne__": arithmetic.ne,
    "__mod__": arithmetic.remainder,
    "__rmod__": lambda self, other: arithmetic.remainder(other, self),
    "__floordiv__": arithmetic.floor_divide,
    "__rfloordiv__": lambda self, other: arithmetic.floor_divide(other, self),
    "__and__": arithmetic.bitwise_and,
    "__rand__": arithmetic.bitwise_and,
    "__or__": arithmetic.bitwise_or,
    "__ror__": arithmetic.bitwise_or,
    "__xor__": arithmetic.bitwise_xor,
    "__rxor__": arithmetic.bitwise_xor,
    "__lshift__": arithmetic.bitwise_left_shift,
    "__rshift__": arithmetic.bitwise_right_shift,
    "__invert__": arithmetic.bitwise_not,
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
}
OPERATORS |= {f"__i{name}__": inplace.in_place(OPERATORS[f"__{name}__"]) for name in _IN_PLACE_OPERATORS.split()}


def attach() -> None:
    """Give ``Tensor`` its methods and operators."""
    in_place = {f"{name}_": inplace.in_place(METHODS[name]) for name in _IN_PLACE.split()}
    views = {
        "T": property(lambda self: self.permute(*reversed(range(self.ndim)))),
        "mT": property(lambda self: self.transpose(-1, -2)),
    }
    conversions = {
        name: member
        for name, member in vars(conversion.Conversions).items()
        if callable(member) or isinstance(member, property)
    }
    for name, function in {**METHODS, **OPERATORS, **conversions, **in_place, **views}.items():
        setattr(Tensor, name, function)
