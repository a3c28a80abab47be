"""What numbers of 16 bits become where they meet others: PyTorch's rules, on arrays of the dtypes themselves."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

import minicnn
from minicnn.dtypes import as_dtype
from minicnn.short_floats import promoted, short_results
from tests.library.support import peers

ml_dtypes = pytest.importorskip("ml_dtypes", reason="NumPy has no bfloat16; ml_dtypes has it")
NAMES = ("bool", "uint8", "int16", "int64", "float16", "bfloat16", "float32", "float64")
# Of an integer and one of NumPy's floats NumPy makes another, which ``ops.broadcast`` sees to.
PAIRS = [(a, b) for a, b in itertools.product(NAMES, NAMES) if ("float" in a and "float" in b) or "bfloat16" in (a, b)]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_two_dtypes_meet_in_pytorchs(a: str, b: str) -> None:
    torch = peers.torch()
    want = torch.promote_types(getattr(torch, a), getattr(torch, b))
    assert f"torch.{promoted(as_dtype(a), as_dtype(b)).name}" == str(want)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_what_was_computed_from_16_bits_has_16(name: str) -> None:
    short = as_dtype(name)
    x, wide, indices = np.ones(2, short), np.ones(2, "float32"), np.arange(2)
    found = short_results((wide, indices, x), [x])
    assert [array.dtype for array in found] == [short, indices.dtype, short] and found[2] is x
    assert short_results((wide,), [x, np.ones(1, "float32")])[0] is wide  # another argument is wider
    assert short_results((wide,), [np.ones(2, "int16"), x])[0] is wide  # not a float


def test_without_ml_dtypes_there_is_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match="NumPy has no such dtype, and ml_dtypes is not installed"):
        as_dtype("bfloat16")


MAKING = """
import os
import minicnn
from minicnn import nn

for make in (
    lambda dtype: minicnn.zeros(2, dtype=dtype),
    lambda dtype: minicnn.ones(2, dtype=dtype),
    lambda dtype: minicnn.empty(2, dtype=dtype),
    lambda dtype: minicnn.full((2,), 3, dtype=dtype),
    lambda dtype: minicnn.eye(2, dtype=dtype),
    lambda dtype: minicnn.arange(2, dtype=dtype),
    lambda dtype: minicnn.linspace(0, 1, 3, dtype=dtype),
    lambda dtype: minicnn.rand(2, dtype=dtype),
    lambda dtype: minicnn.ones_like(minicnn.tensor([1.0]), dtype=dtype),
    lambda dtype: nn.Linear(2, 2, dtype=dtype).weight,
):
    child = os.fork()
    if child == 0:
        os._exit(make(minicnn.bfloat16).dtype.name != "bfloat16")
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each function is the first in its process")
def test_its_name_is_known_wherever_it_is_used_first() -> None:
    subprocess.run([sys.executable, "-c", MAKING], check=True)


def test_it_is_no_default() -> None:
    with pytest.raises(TypeError, match="floating point, and of NumPy, got bfloat16"):
        minicnn.set_default_dtype(minicnn.bfloat16)
