"""The stand-in beside the real CuPy, which loads without a GPU and can say how it wants to be called."""

from __future__ import annotations

import inspect
from operator import attrgetter

import pytest

from tests.library.support.cuda.fakecupy import FakeCupy, cupyx
from tests.library.support.cuda.surface import SURFACE, signature_of

REASON = "compares with CuPy itself where it is installed, with ml_dtypes"


def test_the_standin_has_what_cupy_has():
    cupy = pytest.importorskip("cupy", reason=REASON)
    pytest.importorskip("ml_dtypes", reason=REASON)
    if cupy.__version__ != SURFACE["version"]:
        pytest.skip(f"what is written down is of CuPy {SURFACE['version']}, and this is {cupy.__version__}")
    from tests.library.support.cuda.record_surface import recorded

    assert recorded() == SURFACE


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


def assert_fits(ours: inspect.Signature, real: inspect.Signature) -> None:
    places = list(real.parameters)
    for place, (name, parameter) in enumerate((n, p) for n, p in ours.parameters.items() if n != "self"):
        assert name in places, f"{name} is no parameter of {real}"
        by_position = parameter.kind is not parameter.KEYWORD_ONLY
        assert not by_position or places.index(name) == place, f"{name} is elsewhere in {real}"
        assert (parameter.default is parameter.empty) >= (real.parameters[name].default is parameter.empty)
