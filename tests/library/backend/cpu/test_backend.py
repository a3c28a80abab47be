"""Who computes: compiled code, or NumPy where there is little to do, or where the compiled code does not work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import minicnn
from minicnn.backend import cpu, load
from minicnn.backend.base import Window
from minicnn.backend.cpu import matmul

WINDOW = Window((3, 3), (1, 1), ((1, 1), (1, 1)))


@pytest.fixture
def forgotten() -> Iterator[None]:
    """``usable`` asks anew, and forgets the answer afterwards."""
    cpu.usable.cache_clear()
    yield
    cpu.usable.cache_clear()


@pytest.mark.parametrize("failure", ["raises", "wrong"])
def test_a_host_where_the_kernels_do_not_work(failure: str, forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if failure == "raises":
            raise RuntimeError("no such instruction")
        return np.zeros((len(a), b.shape[1]), a.dtype)

    monkeypatch.setattr(matmul, "product", product)
    x, weight = minicnn.randn(4, 16, 20, 20, requires_grad=True), minicnn.randn(16, 16, 3, 3)
    with pytest.warns(RuntimeWarning, match="NumPy computes") as caught:
        y = minicnn.nn.functional.relu(minicnn.nn.functional.conv2d(x, weight, padding=1))
        y.sum().backward()
    assert len(caught) == 1
    reference = load("reference").conv2d(x.detach().numpy(), weight.numpy(), WINDOW, 1)
    assert np.array_equal(y.detach().numpy(), np.maximum(reference, 0))


def test_little_work_imports_no_compiler() -> None:
    program = (
        "import sys, minicnn\n"
        "x = minicnn.randn(2, 3, 8, 8, requires_grad=True)\n"
        "y = minicnn.nn.functional.relu(minicnn.nn.functional.conv2d(x, minicnn.randn(4, 3, 3, 3)))\n"
        "y.sum().backward()\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_small_work_can_be_made_to_compile() -> None:
    x, weight = np.ones((1, 2, 4, 4), np.float32), np.ones((2, 2, 3, 3), np.float32)
    backend = load("cpu")
    with cpu.small_work(0):
        channels_last = backend.conv2d(x, weight, WINDOW, 1)
    with cpu.plain():
        plain = backend.conv2d(x, weight, WINDOW, 1)
        assert backend.xp is np
    assert np.array_equal(channels_last, plain)
    assert channels_last.transpose(0, 2, 3, 1).flags.c_contiguous and plain.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float16", "int64"])
def test_other_dtypes_go_to_the_reference(dtype: str) -> None:
    x, weight = np.ones((2, 8, 30, 30), dtype), np.ones((8, 8, 3, 3), dtype)
    y = load("cpu").conv2d(x, weight, WINDOW, 1)
    assert y.dtype == dtype and np.array_equal(y, load("reference").conv2d(x, weight, WINDOW, 1))


@pytest.mark.parametrize("name", ["max_pool2d_grad", "avg_pool2d_grad", "adaptive_avg_pool2d_grad"])
def test_the_work_of_a_pools_gradient_is_what_it_writes(name: str) -> None:
    """From one cotangent per plane, as in an SE block, come images as large as any."""
    dy, window = np.ones((2, 64, 1, 1), np.float32), Window((16, 16))
    further = {
        "max_pool2d_grad": (np.zeros(dy.shape, np.int64), (2, 64, 16, 16), window),
        "avg_pool2d_grad": ((2, 64, 16, 16), window, np.full((1, 1), 256)),
        "adaptive_avg_pool2d_grad": ((2, 64, 16, 16),),
    }[name]
    found, expected = (getattr(load(kind), name)(dy, *further) for kind in ("cpu", "reference"))
    np.testing.assert_allclose(found, expected)
    assert found.transpose(0, 2, 3, 1).flags.c_contiguous and expected.flags.c_contiguous
