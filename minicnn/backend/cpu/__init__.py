"""The CPU backend: convolution, and all that goes through memory, compiled by Numba. ``README.md`` is the way in.

Equal to ``reference``, and tested to be. What is small, or of another dtype than float32 and float64, is computed by
``reference``: NumPy is done before a thread has woken up, and nothing has to be compiled. Numba is imported at the
first call that needs it.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from ..reference import ReferenceBackend
from ..reference.deformable import spread_nan

SMALL = 1 << 14  # numbers, or eight multiply-adds each

#: Whether large 3x3 convolutions in float32 may be computed in Winograd's form: ``winograd.py`` says what that changes.
allow_winograd = True


# Work per primitive: from its arguments, how many numbers it goes through, or multiply-adds over eight.
def _numbers(x: Any, *_: Any) -> int:
    return x.size


def _pool_grad(dy: Any, x_shape: Any, *_: Any) -> int:
    return prod(x_shape)


def _max_pool_grad(dy: Any, indices: Any, x_shape: Any, window: Any) -> int:
    return prod(x_shape)


def _numbers_of_all(xs: Any, *_: Any) -> int:
    return sum(x.size for x in xs)


def _forward(x: Any, weight: Any, window: Any, *_: Any) -> int:
    return x.shape[0] * prod(window.output_size(x.shape[2:])) * weight.size >> 3


def _input_grad(dy: Any, weight: Any, *_: Any) -> int:
    return dy.size // max(len(weight), 1) * weight.size >> 3


def _weight_grad(dy: Any, x: Any, weight_shape: Any, *_: Any) -> int:
    return dy.size // max(weight_shape[0], 1) * prod(weight_shape) >> 3


def _matmul(a: Any, b: Any) -> int:
    return a.size * b.shape[-1] >> 3


#: Primitive -> the module here that has it, and how much work it is.
COMPILED: dict[str, tuple[str, Callable[..., int]]] = {
    "matmul": ("matmul", _matmul),
    "conv2d": ("conv", _forward),
    "conv2d_input_grad": ("conv", _input_grad),
    "conv2d_weight_grad": ("weight_grad", _weight_grad),
    "max_pool2d": ("pooling", _numbers),
    "max_pool2d_grad": ("pooling", _max_pool_grad),
    "avg_pool2d": ("pooling", _numbers),
    "avg_pool2d_grad": ("pooling", _pool_grad),
    "adaptive_avg_pool2d": ("pooling", _numbers),
    "adaptive_avg_pool2d_grad": ("pooling", _pool_grad),
    "batch_norm": ("norm", _numbers),
    "batch_norm_grad": ("norm", _numbers),
    "scale_and_shift": ("norm", _numbers),
    "sgd_step": ("optimizer", _numbers_of_all),
    "adam_step": ("optimizer", _numbers_of_all),
}
FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


class _Modes(threading.local):
    plain = False


_modes = _Modes()


class CpuBackend(ReferenceBackend):
    """The reference backend with its slow primitives compiled. ``plain``: only those that it has no version of."""

    name = "cpu"

    @property
    def plain(self) -> bool:
        """Whether the functions of ``reference`` compute, in this thread."""
        return _modes.plain

    @property
    def xp(self) -> Any:  # type: ignore[override]
        """NumPy, with some functions computed on all threads: see ``arrays.py``."""
        if self.plain:
            return np
        from .arrays import xp

        return xp

    @property
    def fused(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The kernels for compiled models."""
        return _kernels() if usable() else ReferenceBackend.fused

    @property
    def least_work(self) -> int:  # type: ignore[override]
        """Work on fewer numbers than this is done sooner by NumPy."""
        return SMALL

    @staticmethod
    def release_memory() -> None:
        """Give what is free in the pool back to the system."""
        from . import memory

        memory.release()

    @staticmethod
    def deform_im2col(x: Any, offset: Any, mask: Any, window: Any, offset_groups: int) -> Any:
        """Deformable sampling, compiled."""
        from . import compiling, deformable

        with compiling.LOCK:
            columns = deformable.deform_im2col(x, offset, mask, window, offset_groups)
        return spread_nan(np, columns, offset, offset_groups)

    @staticmethod
    def deform_im2col_grad(*args: Any) -> Any:
        """The chain rule through deformable sampling, compiled."""
        from . import compiling, deformable

        with compiling.LOCK:
            return deformable.deform_im2col_grad(*args)


def worth_it(work: int, args: tuple[Any, ...]) -> bool:
    """Whether to use compiled code: only for enough work, all in float32 or all in float64."""
    if work < SMALL:
        return False
    arrays = chain.from_iterable(value if isinstance(value, list) else (value,) for value in args)
    dtypes = {value.dtype for value in arrays if isinstance(value, np.ndarray) and value.dtype.kind == "f"}
    return len(dtypes) == 1 and dtypes <= FLOATS and usable()


@cache
def usable() -> bool:
    """Whether compiled code works on this host. Where it does not, one warning says so, and NumPy computes."""
    try:
        from .matmul import product

        a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(12, dtype=np.float32).reshape(3, 4)
        if not np.array_equal(product(a, b), np.matmul(a, b)):
            raise ArithmeticError("a product of small matrices came out wrong")
    except Exception as error:
        warnings.warn(
            f"the kernels for the CPU do not work on this host, so NumPy computes: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


@cache
def _kernels() -> Mapping[str, Any]:
    from .kernels import FUSED

    return MappingProxyType(FUSED)


def _choosing(name: str, module: str, work: Callable[..., int]) -> Callable[..., Any]:
    """The primitive ``name``: compiled where that pays, else the reference's."""
    plain = getattr(ReferenceBackend, name)
    compiled = cache(lambda: getattr(importlib.import_module(f".{module}", __name__), name))

    def primitive(self: CpuBackend, *args: Any, **options: Any) -> Any:
        if self.plain or not worth_it(work(*args), args):
            return plain(*args, **options)
        return compiled()(*args, **options)

    primitive.__name__, primitive.__doc__ = name, plain.__doc__
    return primitive


for _name, (_module, _work) in COMPILED.items():
    setattr(CpuBackend, _name, _choosing(_name, _module, _work))


@contextmanager
def plain() -> Iterator[None]:
    """Inside, the functions of ``reference`` compute: for students' own versions of them."""
    before, _modes.plain = _modes.plain, True
    try:
        yield
    finally:
        _modes.plain = before


@contextmanager
def small_work(least: int) -> Iterator[None]:
    """Inside, work on fewer than ``least`` numbers counts as small: 0 compiles everything, for tests."""
    global SMALL
    before, SMALL = SMALL, least
    try:
        yield
    finally:
        SMALL = before
