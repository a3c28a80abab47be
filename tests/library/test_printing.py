"""The text of a tensor: PyTorch's, character by character."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minicnn
from minicnn import printing


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    yield
    minicnn.set_printoptions(profile="default")


def test_four_digits_and_what_is_not_usual() -> None:
    x = minicnn.tensor([0.12345, 1.0], requires_grad=True)
    assert repr(x) == "tensor([0.1235, 1.0000], requires_grad=True)"
    assert repr((2 * x).detach().double()) == "tensor([0.2469, 2.0000], dtype=float64)"
    assert repr(x.sum()) == f"tensor(1.1235, grad_fn=<{x.sum().grad_fn.name()}>)"
    assert repr(minicnn.tensor([[1, -20], [3, 4]])) == "tensor([[  1, -20],\n        [  3,   4]])"
    assert repr(minicnn.tensor([1.0, float("nan"), -float("inf"), -0.0])) == "tensor([1., nan, -inf, -0.])"
    assert repr(minicnn.tensor([1e-5, 1.0])) == "tensor([1.0000e-05, 1.0000e+00])"
    assert repr(minicnn.tensor([True, False])) == "tensor([ True, False])"
    assert repr(minicnn.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(minicnn.arange(1001)) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"
    assert repr(minicnn.nn.Parameter(minicnn.ones(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert "device='cuda:0'" in printing.tensor_text(np.ones(2), np.dtype("float64"), device="cuda:0")
    assert f"{minicnn.tensor(1.5)} {minicnn.tensor(2):03d}" == "1.5 002"


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="default, short, full as profile, got 'long'"):
        minicnn.set_printoptions(profile="long")


NUMBERS = st.one_of(
    st.floats(-10, 10, width=32),
    st.integers(-2000, 2000).map(float),
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1e-4, 9.9999e-5, 1e8, 1.0001e8, float("nan"), float("inf"), -float("inf")]),
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Small arrays of any kind, and some over a thousand elements, which are shortened."""
    dtype = draw(st.sampled_from(["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]))
    shape = draw(
        st.one_of(
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
            st.sampled_from([(1001,), (40, 60), (7, 200), (2, 9, 99), (11, 11, 11), (500, 3)]),
        )
    )
    if dtype.startswith("float"):
        few = draw(st.lists(NUMBERS, min_size=1, max_size=30))
    elif dtype == "bool":
        few = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    else:
        few = draw(st.lists(st.integers(0, 255) if dtype == "uint8" else st.integers(-(2**31), 2**31 - 1), min_size=1))
    with np.errstate(over="ignore"):
        return np.resize(np.array(few).astype(dtype), shape)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 8),
        "threshold": st.sampled_from([0, 5, 100, 1000, float("inf")]),
        "edgeitems": st.integers(0, 4),
        "linewidth": st.integers(20, 150),
        "profile": st.sampled_from(["default", "short", "full"]),
        "sci_mode": st.booleans(),
    },
)


@settings(max_examples=8 * settings().max_examples)
@given(array=arrays(), options=st.one_of(st.just({}), OPTIONS), kind=st.sampled_from(["", "leaf"]))
def test_the_text_is_pytorchs(array: np.ndarray, options: dict, kind: str) -> None:
    torch = pytest.importorskip("torch")
    leaf = kind == "leaf" and array.dtype.kind == "f"
    theirs, ours = torch.from_numpy(array.copy()), minicnn.from_numpy(array.copy())
    default = array.dtype if array.dtype.kind == "f" and array.dtype != np.float16 else np.dtype("float32")
    try:
        minicnn.set_default_dtype(default)
        torch.set_default_dtype(getattr(torch, default.name))
        for library in (minicnn, torch):
            library.set_printoptions(profile="default")
            library.set_printoptions(**options)
        expected = repr(theirs.requires_grad_(leaf))
        if "dtype=" in expected:  # NumPy's dtypes have no "torch." in their name, which may change the lines
            assert repr(ours.requires_grad_(leaf)).split() == expected.replace("torch.", "").split()
            assert printing.values_text(array, 7) == torch._tensor_str._tensor_str(theirs.detach(), 7)
        else:
            assert repr(ours.requires_grad_(leaf)) == expected
    finally:
        minicnn.set_default_dtype(minicnn.float32)
        torch.set_default_dtype(torch.float32)
        torch.set_printoptions(profile="default")


EDGES = [
    *([1.0, ratio] for ratio in (995.0, 999.5, 1000.0, 1000.5, 1001.0)),
    *([value] for value in (1e-4, 1.5e-4, 9.9999e-5, 1e8, 1.00001e8, 0.99995, 0.00005, -0.5, 123456.789)),
    *([float("nan"), value] for value in (0.0, 1.0, 0.5, 1e9)),
]


def test_the_rules_of_notation_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for values in EDGES:
        assert repr(minicnn.tensor(values)) == repr(torch.tensor(values)), values


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5, -1e-7, float("inf")])
def test_lines_are_broken_where_pytorch_breaks_them(value: float) -> None:
    torch = pytest.importorskip("torch")
    for length in range(1, 60):
        for shape in ((length,), (2, length), (1, 2, length)):
            ours, theirs = minicnn.full(shape, value), torch.full(shape, value)
            assert repr(ours.requires_grad_()) == repr(theirs.requires_grad_()), shape
