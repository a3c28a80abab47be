"""The same bits for any number of threads: a run that is resumed on another machine goes on as it would have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import minicnn
from minicnn.backend import cpu
from minicnn.nn import functional
from tests.library.support.strategies import normal

OPERATIONS: dict[str, tuple[tuple[int, ...], Callable[..., Any], tuple[int, ...]]] = {
    "3x3": ((3, 20, 30, 30), lambda x, w: functional.conv2d(x, w, padding=1), (24, 20, 3, 3)),
    "3x3, Winograd": ((2, 64, 33, 33), lambda x, w: functional.conv2d(x, w, padding=1), (64, 64, 3, 3)),
    "3x3, stride 2": ((3, 20, 30, 30), lambda x, w: functional.conv2d(x, w, stride=2), (24, 20, 3, 3)),
    "1x1": ((5, 40, 17, 17), functional.conv2d, (33, 40, 1, 1)),
    "groups": ((3, 32, 20, 20), lambda x, w: functional.conv2d(x, w, groups=4), (32, 8, 3, 3)),
    "few pixels": ((2, 200, 5, 5), functional.conv2d, (150, 200, 3, 3)),
    "depthwise": ((5, 33, 40, 40), lambda x, w: functional.conv2d(x, w, padding=1, groups=33), (33, 1, 3, 3)),
    "depthwise, one large image": ((1, 8, 300, 90), lambda x, w: functional.conv2d(x, w, groups=8), (8, 1, 5, 5)),
    "linear": ((70, 300), functional.linear, (90, 300)),
    "matmul": ((3, 70, 300), lambda x, w: x @ w, (300, 65)),
    "norm": ((4, 16, 40, 40), lambda x, w: functional.batch_norm(x, None, None, w, w, True), (16,)),
    "gate": ((4, 16, 40, 40), lambda x, w: (functional.silu(x) * w).relu(), (4, 16, 1, 1)),
    "pooling": ((4, 16, 40, 40), lambda x, w: functional.max_pool2d(x, 3, 2) * w, (1,)),
    "means": ((4, 16, 40, 40), lambda x, w: functional.adaptive_avg_pool2d(x, 1) * w, (1,)),
    "deformable": ((3, 18, 20, 20), lambda x, w: minicnn.ops.deform_conv2d(x, x[:, :, :18, :18], w), (8, 18, 3, 3)),
}  # fmt: skip


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one thread")
@pytest.mark.parametrize("name", OPERATIONS)
def test_bits_do_not_depend_on_the_number_of_threads(name):
    x_shape, function, w_shape = OPERATIONS[name]
    found = []
    before = numba.get_num_threads()
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        x, w = (
            minicnn.tensor(normal(shape, seed).astype("f4"), requires_grad=True)
            for seed, shape in enumerate((x_shape, w_shape))
        )
        numba.set_num_threads(threads)
        try:
            y = function(x, w)
            y.backward(minicnn.tensor(normal(y.shape, 2).astype("f4")))
        finally:
            numba.set_num_threads(before)
        found.append([array.tobytes() for array in (y.detach().numpy(), x.grad.numpy(), w.grad.numpy())])
    assert found[0] == found[1]


@pytest.mark.parametrize("allowed", [True, False])
def test_the_switch_for_winograd_and_what_it_makes_of_infinity(allowed, monkeypatch):
    from minicnn.backend.cpu.target import target

    monkeypatch.setattr(cpu, "allow_winograd", allowed)
    x = normal((1, 64, 40, 40), 0).astype("f4")
    x[0, 3, 20, 20] = np.inf
    weight = minicnn.tensor(np.ones((64, 64, 3, 3), "f4"))
    y = functional.conv2d(minicnn.tensor(x), weight, padding=1).numpy()
    hit = np.zeros(y.shape, bool)
    hit[:, :, 19:22, 19:22] = True
    np.testing.assert_array_equal(~np.isfinite(y), hit)
    assert np.isnan(y).any() == (allowed and target().fma)
