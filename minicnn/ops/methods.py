"""Which functions are methods and operators of ``Tensor``: a class to read and for type checkers, a copy at run time.

A type checker takes ``Tensor`` to inherit from ``Methods``, and a function in a class body for a method: so an editor
knows of each method the signature and the text of its function. At run time ``attach`` gives the members to ``Tensor``
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from ..autograd.methods import Methods as Gradients
from ..dtypes import bool_, float16, float32, float64, int32, int64
from ..tensors import Tensor
from . import (
    activation,
    arithmetic,
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
from .broadcast import Operand
from .conversion import Conversions
from .guards import guard
from .inplace import in_place

Kind = TypeVar("Kind", bound=Tensor)


def _reversed(function: Callable[[Operand, Operand], Tensor]) -> Callable[[Tensor, Operand], Tensor]:
    return lambda self, other: function(other, self)


def _in_place(function: Callable[[Operand, Operand], Tensor]) -> Callable[[Kind, Operand], Kind]:
    return in_place(function)  # type: ignore[return-value]  # a Parameter stays one


def _rmatmul(self: Tensor, other: Any) -> Tensor:
    return Operators.__matmul__(Tensor(other), self)


def _where(self: Tensor, condition: Operand, other: Operand) -> Tensor:
    """This tensor where ``condition`` (bool) holds, ``other`` elsewhere."""
    return elementwise.where(condition if isinstance(condition, Tensor) else Tensor(condition), self, other)


def _clamp_min(self: Tensor, min: float | Tensor) -> Tensor:
    """``clamp`` from below."""
    return elementwise.clamp(self, min=min)


def _clamp_max(self: Tensor, max: float | Tensor) -> Tensor:
    """``clamp`` from above."""
    return elementwise.clamp(self, max=max)


class Operators(Conversions):
    """The operators. They are defined for what is no tensor too, so that nothing checks their arguments before."""

    __add__ = arithmetic.add
    __radd__ = _reversed(arithmetic.add)
    __iadd__ = _in_place(arithmetic.add)
    __sub__ = arithmetic.sub
    __rsub__ = _reversed(arithmetic.sub)
    __isub__ = _in_place(arithmetic.sub)
    __mul__ = arithmetic.mul
    __rmul__ = _reversed(arithmetic.mul)
    __imul__ = _in_place(arithmetic.mul)
    __truediv__ = arithmetic.div
    __rtruediv__ = _reversed(arithmetic.div)
    __itruediv__ = _in_place(arithmetic.div)
    __floordiv__ = arithmetic.floor_divide
    __rfloordiv__ = _reversed(arithmetic.floor_divide)
    __ifloordiv__ = _in_place(arithmetic.floor_divide)
    __mod__ = arithmetic.remainder
    __rmod__ = _reversed(arithmetic.remainder)
    __imod__ = _in_place(arithmetic.remainder)
    __pow__ = guard(arithmetic.pow)
    __rpow__ = _reversed(guard(arithmetic.pow))
    __ipow__ = _in_place(arithmetic.pow)
    __matmul__ = guard(matrix.matmul)
    __rmatmul__ = _rmatmul
    __neg__ = arithmetic.neg
    __abs__ = guard(elementwise.abs_)
    __lt__ = arithmetic.lt
    __le__ = arithmetic.le
    __gt__ = arithmetic.gt
    __ge__ = arithmetic.ge
    __and__ = __rand__ = arithmetic.bitwise_and
    __iand__ = _in_place(arithmetic.bitwise_and)
    __or__ = __ror__ = arithmetic.bitwise_or
    __ior__ = _in_place(arithmetic.bitwise_or)
    __xor__ = __rxor__ = arithmetic.bitwise_xor
    __ixor__ = _in_place(arithmetic.bitwise_xor)
    __lshift__ = arithmetic.bitwise_left_shift
    __ilshift__ = _in_place(arithmetic.bitwise_left_shift)
    __rshift__ = arithmetic.bitwise_right_shift
    __irshift__ = _in_place(arithmetic.bitwise_right_shift)
    __invert__ = arithmetic.bitwise_not
    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem

    # Not by assignment: a type checker would keep the ``bool`` that these two give to every object.
    def __eq__(self: Any, other: Any) -> Tensor:  # type: ignore[override]
        return arithmetic.eq(self, other)

    def __ne__(self: Any, other: Any) -> Tensor:  # type: ignore[override]
        return arithmetic.ne(self, other)


class Methods(Gradients, Operators):
    """The methods, under PyTorch's names. ``attach`` guards them, as ``minicnn.ops`` guards the functions."""

    add = arithmetic.add
    add_ = in_place(arithmetic.add)
    sub = arithmetic.sub
    sub_ = in_place(arithmetic.sub)
    neg = arithmetic.neg
    neg_ = in_place(arithmetic.neg)
    mul = arithmetic.mul
    mul_ = in_place(arithmetic.mul)
    div = arithmetic.div
    div_ = in_place(arithmetic.div)
    pow = arithmetic.pow
    pow_ = in_place(arithmetic.pow)
    remainder = arithmetic.remainder
    floor_divide = arithmetic.floor_divide
    lt = arithmetic.lt
    le = arithmetic.le
    gt = arithmetic.gt
    ge = arithmetic.ge
    eq = arithmetic.eq
    ne = arithmetic.ne
    bitwise_and = arithmetic.bitwise_and
    bitwise_or = arithmetic.bitwise_or
    bitwise_xor = arithmetic.bitwise_xor
    bitwise_not = arithmetic.bitwise_not
    bitwise_left_shift = arithmetic.bitwise_left_shift
    bitwise_right_shift = arithmetic.bitwise_right_shift
    logical_and = arithmetic.logical_and
    logical_or = arithmetic.logical_or
    logical_not = arithmetic.logical_not
    multiply = arithmetic.mul
    divide = arithmetic.div

    exp = elementwise.exp
    exp_ = in_place(elementwise.exp)
    log = elementwise.log
    log_ = in_place(elementwise.log)
    sqrt = elementwise.sqrt
    sqrt_ = in_place(elementwise.sqrt)
    rsqrt = elementwise.rsqrt
    square = elementwise.square
    sin = elementwise.sin
    cos = elementwise.cos
    abs = elementwise.abs_
    abs_ = in_place(elementwise.abs_)
    round = elementwise.round_
    round_ = in_place(elementwise.round_)
    sign = elementwise.sign
    floor = elementwise.floor
    floor_ = in_place(elementwise.floor)
    ceil = elementwise.ceil
    ceil_ = in_place(elementwise.ceil)
    clamp = elementwise.clamp
    clamp_ = in_place(elementwise.clamp)
    maximum = elementwise.maximum
    minimum = elementwise.minimum
    isnan = elementwise.isnan
    isinf = elementwise.isinf
    isfinite = elementwise.isfinite
    clip = elementwise.clamp
    clamp_min = _clamp_min
    clamp_max = _clamp_max
    where = _where

    relu = activation.relu
    relu_ = in_place(activation.relu)
    sigmoid = activation.sigmoid
    sigmoid_ = in_place(activation.sigmoid)
    tanh = activation.tanh
    tanh_ = in_place(activation.tanh)

    softmax = probability.softmax
    log_softmax = probability.log_softmax

    sum = reduction.sum
    mean = reduction.mean
    var = reduction.var
    std = reduction.std
    amax = reduction.amax
    amin = reduction.amin
    max = reduction.max
    min = reduction.min
    argmax = reduction.argmax
    argmin = reduction.argmin
    prod = reduction.prod
    cumsum = reduction.cumsum
    logsumexp = reduction.logsumexp
    norm = reduction.norm
    all = reduction.all_
    any = reduction.any_

    sort = sorting.sort
    argsort = sorting.argsort
    topk = sorting.topk

    reshape = shape.reshape
    view = shape.view
    view_as = shape.view_as
    flatten = shape.flatten
    unflatten = shape.unflatten
    permute = shape.permute
    transpose = shape.transpose
    t = shape.t
    movedim = shape.movedim
    squeeze = shape.squeeze
    unsqueeze = shape.unsqueeze
    expand = shape.expand
    expand_as = shape.expand_as
    repeat = shape.repeat
    flip = shape.flip
    clone = shape.clone
    contiguous = shape.contiguous
    to = shape.to
    type = shape.to

    split = joining.split
    chunk = joining.chunk
    unbind = joining.unbind
    narrow = joining.narrow

    gather = indexing.gather
    index_select = indexing.index_select
    masked_fill = indexing.masked_fill
    masked_fill_ = in_place(indexing.masked_fill)

    matmul = matrix.matmul
    mm = bmm = dot = matrix.matmul

    zero_ = inplace.zero_
    fill_ = inplace.fill_
    copy_ = inplace.copy_
    normal_ = inplace.normal_
    uniform_ = inplace.uniform_
    bernoulli_ = inplace.bernoulli_

    @property
    def T(self: Any) -> Tensor:  # noqa: N802  (PyTorch's name)
        """The dimensions in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self: Any) -> Tensor:  # noqa: N802
        """The last two dimensions swapped: the transpose of each matrix of a batch."""
        return self.transpose(-1, -2)

    def type_as(self: Any, other: Tensor) -> Tensor:
        """The elements in the dtype and on the device of ``other``."""
        return self.to(other)

    def double(self: Any) -> Tensor:
        """The elements as float64."""
        return self.to(float64)

    def float(self: Any) -> Tensor:
        """The elements as float32."""
        return self.to(float32)

    def half(self: Any) -> Tensor:
        """The elements as float16."""
        return self.to(float16)

    def bfloat16(self: Any) -> Tensor:
        """The elements as bfloat16."""
        return self.to("bfloat16")

    def long(self: Any) -> Tensor:
        """The elements as int64."""
        return self.to(int64)

    def int(self: Any) -> Tensor:
        """The elements as int32."""
        return self.to(int32)

    def bool(self: Any) -> Tensor:
        """Where the elements are not 0."""
        return self.to(bool_)


def attach() -> None:
    """Give ``Tensor`` its methods and operators."""
    for members in (Conversions, Operators, Methods):
        for name, member in vars(members).items():
            if isinstance(member, FunctionType):
                setattr(Tensor, name, guard(member) if members is Methods else member)
            elif isinstance(member, property):
                setattr(Tensor, name, member)
