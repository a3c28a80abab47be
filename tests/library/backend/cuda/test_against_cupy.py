"""The stand-in beside the real CuPy, which loads without a GPU and can say how it wants to be called."""

from __future__ import annotations

import inspect
import itertools
from operator import attrgetter
from typing import Any

import numpy as np
import pytest

from tests.library.support.cuda.fakecupy import FakeCupy, cupyx
from tests.library.support.cuda.surface import SURFACE, signature_of


@pytest.fixture(scope="module")
def cupy():
    """The real one."""
    reason = "compares with CuPy itself where it is installed, with ml_dtypes"
    cupy = pytest.importorskip("cupy", reason=reason)
    pytest.importorskip("ml_dtypes", reason=reason)
    if cupy.__version__ != SURFACE["version"]:
        pytest.skip(f"what is written down is of CuPy {SURFACE['version']}, and this is {cupy.__version__}")
    return cupy


def test_what_is_written_down_is_what_cupy_has(cupy):
    from tests.library.support.cuda.record_surface import recorded

    found = recorded()
    without_libraries = {name: found["others"].get(name, how) for name, how in SURFACE["others"].items()}
    assert found | {"others": without_libraries} == SURFACE
    assert {name.rpartition(".")[0] for name in set(SURFACE["others"]) - set(found["others"])} <= {"cuda.cublas"}


@pytest.mark.parametrize("name", SURFACE["others"])
def test_what_the_standin_implements_is_called_like_cupys(name):
    """It may have fewer parameters, but each of them is where CuPy's is."""
    root = cupyx if name.startswith("cupyx.") else FakeCupy()
    function = attrgetter(name.removeprefix("cupyx."))(root)
    assert_fits(inspect.signature(function), signature_of(SURFACE["others"][name]))


OWN = [name for name in vars(FakeCupy) if not SURFACE["functions"].get(name, "*").startswith("*")]


@pytest.mark.parametrize("name", OWN)
def test_the_functions_of_its_own_are_called_like_cupys(name):
    assert_fits(inspect.signature(getattr(FakeCupy(), name)), signature_of(SURFACE["functions"][name]))


DTYPES = ("bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64")
NUMBERS = (True, 2, 1.5, np.float32(2.5), np.float64(3.5))
# Of bytes or of bfloat16 they give another dtype than NumPy's; minicnn uses none of them.
OF_THEIR_OWN = {"degrees", "divmod", "i0", "ldexp", "radians", "sinc"}


@pytest.mark.filterwarnings("ignore")
def test_ufuncs_give_the_dtypes_that_cupy_gives(cupy):
    """For every ufunc and every pair of dtypes and plain numbers; where CuPy refuses, so does the stand-in."""
    fake = FakeCupy()
    ours = {dtype: fake.asarray(np.ones(1, dtype)) for dtype in DTYPES}
    with cupy.cuda.using_allocator(on_the_host(cupy)):
        real = {dtype: cupy.ndarray((1,), dtype) for dtype in DTYPES}
    real |= {number: cupy._core._scalar.CScalar(number) for number in NUMBERS}
    checked, differing = 0, set()
    for name in SURFACE["ufuncs"]:
        ufunc, resolve = getattr(fake, name), getattr(cupy, name)._ops.guess_routine
        for given in itertools.product([*DTYPES, *NUMBERS], repeat=getattr(cupy, name).nin):
            if not any(isinstance(one, str) for one in given):
                continue
            got = dtypes_of(ufunc, *(ours.get(one, one) for one in given))
            if got is not None:  # NumPy has fewer loops
                checked += 1
                want = dtypes_of(resolve, name, {}, [real[one] for one in given], None, None)
                differing |= {name} if got != want else set()
    assert checked > 3000
    assert differing <= OF_THEIR_OWN


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions_give_the_dtypes_that_cupy_gives(cupy, dtype):
    with cupy.cuda.using_allocator(on_the_host(cupy)):
        real = cupy.ndarray((1,), dtype)
    ours = FakeCupy().asarray(np.ones(1, dtype))
    sums, extremes = cupy._core._routines_math, cupy._core._routines_statistics
    reductions = {"sum": sums.sum_auto_dtype, "prod": sums.prod_auto_dtype, "max": extremes.amax, "min": extremes.amin}
    for name, reduction in reductions.items():
        got = dtypes_of(getattr(ours, name))
        assert got == dtypes_of(reduction._ops.guess_routine, name, {}, [real], None, None), name


def on_the_host(cupy: Any) -> Any:
    """An allocator for arrays that are never computed with."""

    def allocate(size: int) -> Any:
        memory = np.zeros(max(size, 1), np.uint8)
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(memory.ctypes.data, size, memory, 0), 0)

    return allocate


def dtypes_of(function: Any, *args: Any) -> list[str] | None:
    """Of its results, or of those of the loop that it returns; ``None`` where it refuses."""
    try:
        found = function(*args)
    except TypeError:
        return None
    found = getattr(found, "out_types", found)
    return [str(getattr(one, "dtype", one)) for one in (found if isinstance(found, tuple) else [found])]


def assert_fits(ours: inspect.Signature, real: inspect.Signature) -> None:
    places = list(real.parameters)
    for place, (name, parameter) in enumerate((n, p) for n, p in ours.parameters.items() if n != "self"):
        assert name in places, f"{name} is no parameter of {real}"
        by_position = parameter.kind is not parameter.KEYWORD_ONLY
        assert not by_position or places.index(name) == place, f"{name} is elsewhere in {real}"
        assert (parameter.default is parameter.empty) >= (real.parameters[name].default is parameter.empty)
