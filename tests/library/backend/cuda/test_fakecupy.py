"""The stand-in for CuPy refuses what CuPy refuses, and does otherwise than NumPy where a GPU does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.exceptions import AxisError

from tests.library.support.cuda import fakeraw
from tests.library.support.cuda.fakecupy import FakeCupy
from tests.library.support.cuda.streams import syncs

cp, HOST = FakeCupy(), np.arange(6.0).reshape(2, 3)
X = cp.asarray(HOST)


def bfloat16():
    return cp.asarray(HOST, pytest.importorskip("ml_dtypes").bfloat16)


REFUSED = {
    "np.asarray": (lambda: np.asarray(X), TypeError),
    "np.testing": (lambda: np.testing.assert_allclose(X, HOST), TypeError),
    "device + host": (lambda: X + HOST, TypeError),
    "host + device": (lambda: HOST + X, TypeError),
    "a host array in a function": (lambda: cp.concatenate([X, HOST]), TypeError),
    "assigning a host array": (lambda: X.__setitem__(0, HOST[0]), TypeError),
    "a host array as index": (lambda: X[np.array([0, 1])], TypeError),
    "bfloat16 where there is no loop for it": (lambda: cp.gcd(bfloat16(), bfloat16()), TypeError),
    "a function CuPy lacks": (lambda: cp.vecdot(X, X), AttributeError),
    "where= in a sum": (lambda: X.sum(where=X > 1), TypeError),
    "initial= in a maximum": (lambda: X.max(initial=0), TypeError),
    "correction= in a variance": (lambda: cp.var(X, correction=1), TypeError),
    "order= in a ufunc": (lambda: cp.add(X, X, order="F"), TypeError),
    "descending sort": (lambda: cp.argsort(X, descending=True), TypeError),
    "reduce of maximum": (lambda: cp.maximum.reduce(X), AttributeError),
    "atomic bytes": (lambda: cp.add.at(cp.zeros(2, "i1"), (cp.asarray([0]),), 1), TypeError),
    "matmul into another dtype": (lambda: cp.matmul(X, X.T, out=cp.empty((2, 2), "f4")), ValueError),
    "errstate": (lambda: cp.errstate, AttributeError),
    "keepdims elsewhere than in NumPy": (lambda: cp.argmax(X, 0, None, True, True, True), TypeError),
    "an argument by position": (lambda: cp.concatenate([X, X], 0, None, "f8"), TypeError),
    "an argument too many": (lambda: X.fill(1, 2), TypeError),
    "too many arguments of a ufunc": (lambda: cp.exp(X, X, X), TypeError),
    "axis 0 of a number": (lambda: X.sum().sum(0), AxisError),
    "axis -1 of a number": (lambda: cp.cumsum(X.sum(), axis=-1), AxisError),
    "flipping a number": (lambda: cp.flip(X.sum(), 0), AxisError),
    "setting another dtype": (lambda: X.set(np.ones((2, 3), "f4")), TypeError),
    "setting another shape": (lambda: X.set(np.ones((3, 2))), ValueError),
    "setting what is not contiguous": (lambda: cp.zeros((4, 3))[::2].set(HOST), RuntimeError),
    "an option of g++": (lambda: cp.RawModule(code="", options=("-O3",)), ValueError),
    "a list of options": (lambda: cp.RawModule(code="", options=["-DX"]), TypeError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_standin_refuses(name):
    call, error = REFUSED[name]
    with pytest.raises(error):
        call()


def test_the_standin_behaves_like_a_gpu():
    assert isinstance(X.sum(), cp.ndarray) and X.sum().ndim == 0
    assert (X.T * 2).flags.c_contiguous and not X.T.flags.c_contiguous
    assert np.isnan(cp.empty((2, 2)).get()).all() and np.isnan(cp.empty_like(X).get()).all()
    assert X[cp.asarray([2])].get().tolist() == [[0, 1, 2]]  # row 2 of 2 wraps around
    assert X[0].base is X and X[0].T.base is X
    out = cp.empty_like(X)
    assert cp.add(X, X, out) is out and (out == X * 2).all() and cp.array(X) is not X
    for wait in (float, bool, int):
        before = syncs.count
        wait(X[0, 1])
        assert syncs.count == before + 1
    with syncs.forbid(), pytest.raises(AssertionError, match="wait"):
        X.sum().item()


@pytest.mark.filterwarnings("ignore:invalid value")
def test_floats_are_divided_as_a_gpu_divides_them():
    one, tenth, infinity = (cp.asarray(value) for value in (1.0, 0.1, np.inf))
    assert (one // tenth).get() == 10 and (one % tenth).get() == 0 and cp.isnan(5.5 % infinity).get()
    assert (cp.asarray(-7) // 2).get() == -4 and cp.remainder(cp.asarray(-7), 2).get() == 1


def test_of_several_nans_the_last_is_found():
    x = cp.asarray([[1.0, np.nan, np.nan], [3.0, 3.0, 2.0]])
    assert x.argmax().get() == 2 and cp.argmin(x, axis=1).get().tolist() == [2, 2]
    assert x.argmax(axis=1, keepdims=True).get().tolist() == [[2], [0]]


def test_bfloat16_is_added_up_in_float32():
    ones = cp.ones((2, 1000), pytest.importorskip("ml_dtypes").bfloat16)
    for found, want in (
        (ones.sum(), 2000),
        (cp.sum(ones, axis=1), [1000, 1000]),
        (ones.mean(axis=0, keepdims=True), 1),
    ):
        assert found.dtype == "bfloat16" and (found.get() == np.asarray(want).astype("bfloat16")).all()
    assert ones.sum(dtype="float32").dtype == np.float32


def test_of_several_values_for_one_place_the_first_is_kept():
    x = cp.zeros((2, 3))
    x[cp.asarray([0, 1, 0])] = cp.asarray([[1.0], [2.0], [3.0]])
    assert x.get().tolist() == [[1, 1, 1], [2, 2, 2]]
    x[:, cp.asarray([2, 2])] = cp.asarray([5.0, 6.0])
    assert x.get().tolist() == [[1, 1, 5], [2, 2, 5]]


@pytest.mark.skipif(fakeraw.COMPILER is None, reason="g++ compiles the CUDA kernels for the CPU")
@pytest.mark.parametrize("threads", [1, 4])
def test_shared_memory_is_spoilt_before_every_block(monkeypatch, threads):
    monkeypatch.setattr(fakeraw.RawKernel, "threads", threads)
    code = """
    extern "C" __global__ void read_and_write(float* y, int* z) {
        __shared__ float shared[4];
        __shared__ int whole;
        if (threadIdx.x == 0) {
            y[blockIdx.x] = shared[3];
            z[blockIdx.x] = whole;
        }
        __syncthreads();
        shared[3] = 1;
        whole = 1;
    }
    """
    y, z = cp.zeros(3, "float32"), cp.zeros(3, "int32")
    cp.RawModule(code=code).get_function("read_and_write")((3,), (4,), (y, z))
    assert np.isnan(y.get()).all() and z.get().tolist() == [-1, -1, -1]
