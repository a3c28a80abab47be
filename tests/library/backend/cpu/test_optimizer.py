"""The compiled update steps: bit for bit the reference's, for lists of parameters in any layout, and of any length."""

from __future__ import annotations

import gc

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.cpu import addresses, memory, optimizer
from minicnn.backend.reference import optimizer as reference
from tests.library.support.layouts import DTYPES, LAYOUTS, laid_out
from tests.library.support.strategies import SEEDS, normal

SHAPES = st.sampled_from([(), (1, 1), (5, 3), (0, 3), (16, 3, 3, 3), (17, 129), (65, 64, 3, 3), (301, 403)])
WRITABLE = st.sampled_from(["channels last", "C", "sliced", "reversed", "Fortran"])
ENTRY = st.tuples(SHAPES, WRITABLE, st.sampled_from(LAYOUTS))
DECAYS = (0.0, 0.01)
SGD = st.fixed_dictionaries(
    {
        "dampening": st.sampled_from([0.0, 0.3]),
        "nesterov": st.booleans(),
        "maximize": st.booleans(),
    }
)
ADAM = st.fixed_dictionaries(
    {
        "beta1": st.sampled_from([0.0, 0.9]),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "maximize": st.booleans(),
    }
)


def drawn(shape, layout, dtype, seed, special=False):
    """An array, NaN and infinity among its numbers if ``special``."""
    values = np.asarray(normal(shape, seed), dtype)
    if special and values.size > 2:
        values.ravel()[:3] = np.nan, np.inf, -0.0
    return values if values.ndim < 2 else laid_out(values, layout)


def same(got, expected):
    """Equal to the last bit, but for which NaN it is."""
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    there = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got)[there], np.signbit(expected)[there])


@pytest.mark.parametrize("weight_decay", DECAYS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@given(entries=st.lists(ENTRY, min_size=1, max_size=5), dtype=DTYPES, options=SGD, seed=SEEDS, special=st.booleans())
def test_sgd(momentum, weight_decay, entries, dtype, options, seed, special):
    options = options | {"momentum": momentum, "weight_decay": weight_decay}
    params = [drawn(shape, layout, dtype, seed + n) for n, (shape, layout, _) in enumerate(entries)]
    expected = [param.copy() for param in params]
    buffers, expected_buffers = [None] * len(params), [None] * len(params)
    for step in range(3):
        grads = [
            drawn(shape, layout, dtype, seed + 7 * step + n, special) for n, (shape, _, layout) in enumerate(entries)
        ]
        if step == 1:  # a parameter whose first step comes later
            buffers[-1] = expected_buffers[-1] = None
        before = [grad.copy() for grad in grads]
        with memory.guarded(), np.errstate(invalid="ignore"):
            buffers = optimizer.sgd_step(params, grads, buffers, lr=0.1, **options)
            expected_buffers = reference.sgd_step(expected, grads, expected_buffers, lr=0.1, **options)
        for n, param in enumerate(params):
            same(param, expected[n])
            np.testing.assert_array_equal(grads[n], before[n])
            assert (buffers[n] is None) == (momentum == 0)
            if momentum != 0:
                assert not np.shares_memory(buffers[n], grads[n])
                same(buffers[n], expected_buffers[n])


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, False), (0.01, False), (0.01, True)])
@given(entries=st.lists(ENTRY, min_size=1, max_size=5), dtype=DTYPES, options=ADAM, seed=SEEDS, special=st.booleans())
def test_adam(amsgrad, weight_decay, decoupled, entries, dtype, options, seed, special):
    options = options | {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled}
    params = [drawn(shape, layout, dtype, seed + n) for n, (shape, layout, _) in enumerate(entries)]
    ours = [params, *([np.zeros_like(param) for param in params] for _ in range(2 + amsgrad))]
    theirs = [[array.copy() for array in arrays] for arrays in ours]
    for step in range(1, 4):
        grads = [
            drawn(shape, layout, dtype, seed + 7 * step + n, special) for n, (shape, _, layout) in enumerate(entries)
        ]
        before = [grad.copy() for grad in grads]
        options["steps"] = [step + n for n in range(len(params))]  # not all have come equally far
        with memory.guarded(), np.errstate(invalid="ignore"):
            optimizer.adam_step(ours[0], grads, *ours[1:], lr=0.1, **options)
            reference.adam_step(theirs[0], grads, *theirs[1:], lr=0.1, **options)
        for n, grad in enumerate(grads):
            np.testing.assert_array_equal(grad, before[n])
        for got, want in zip(ours, theirs, strict=True):
            for one, other in zip(got, want, strict=True):
                same(one, other)


def network(dtype, seed=0):
    """Arrays of the sizes of a small network's parameters: 1.3 million numbers, in many jobs."""
    shapes = [(64, 3, 7, 7), (64,), (256, 64, 3, 3), (7,), (1000, 1024), (1000,)]
    return [laid_out(normal(s, seed), "channels last").astype(dtype) if len(s) == 4 else normal(s, seed).astype(dtype)
            for s in shapes]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_one_call_for_all_is_one_call_for_each(dtype, threads, monkeypatch):
    """Whatever the number of threads, and none of it is left to the reference."""
    grads, together, apart = network(dtype, 1), network(dtype), network(dtype)
    with monkeypatch.context() as patched:
        patched.setattr(reference, "sgd_step", None)
        patched.setattr(reference, "adam_step", None)
        options = {"lr": 0.1, "weight_decay": 1e-4}
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, before))
        try:
            kept = optimizer.sgd_step(together, grads, [None] * len(grads), momentum=0.9, **options)
            kept = optimizer.sgd_step(together, grads, kept, momentum=0.9, **options)
            averages = [np.zeros_like(buffer) for buffer in kept]
            optimizer.adam_step(together, grads, kept, averages, steps=[3] * len(grads), **options)
        finally:
            numba.set_num_threads(before)
    for n, grad in enumerate(grads):
        buffers = reference.sgd_step([apart[n]], [grad], [None], momentum=0.9, **options)
        buffers = reference.sgd_step([apart[n]], [grad], buffers, momentum=0.9, **options)
        average = [np.zeros_like(grad)]
        reference.adam_step([apart[n]], [grad], buffers, average, steps=[3], **options)
        same(together[n], apart[n])
        same(kept[n], buffers[0])
        same(averages[n], average[0])


def test_what_the_kernels_do_not_take_goes_to_the_reference():
    kinds = [(np.float16, np.float16), (np.float64, np.float32), (np.float64, np.float64), (np.float32, np.float32)]
    params = [normal((5, 3), n).astype(dtype) for n, (dtype, _) in enumerate(kinds)]
    grads = [normal((5, 3), 9 + n).astype(dtype) for n, (_, dtype) in enumerate(kinds)]
    expected = [param.copy() for param in params]
    kept = optimizer.sgd_step(params, grads, [None] * 4, lr=0.1, momentum=0.9)
    wanted = reference.sgd_step(expected, grads, [None] * 4, lr=0.1, momentum=0.9)
    for n in range(4):
        same(params[n], expected[n])
        same(kept[n], wanted[n])
    assert optimizer.sgd_step([], [], [], lr=0.1) == []
    optimizer.adam_step([], [], [], [], steps=[], lr=0.1)


def test_read_only_memory_is_refused_also_where_it_was_written_before():
    param, grad = np.ones(3), np.ones(3)
    optimizer.sgd_step([param], [grad], [None], lr=0.5)
    param.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optimizer.sgd_step([param], [grad], [None], lr=0.5)
    np.testing.assert_array_equal(param, 0.5)


def test_parameters_on_the_same_memory_are_updated_one_after_the_other():
    whole, expected = np.ones(40000), np.ones(40000)
    ours, theirs = ([x[:30000], x[10000:]] for x in (whole, expected))
    grads = [normal((30000,), n) for n in range(2)]
    for _ in range(3):
        optimizer.sgd_step(ours, grads, [None] * 2, lr=0.1, weight_decay=0.5)
        reference.sgd_step(theirs, grads, [None] * 2, lr=0.1, weight_decay=0.5)
    same(whole, expected)


def test_addresses_are_forgotten_with_their_arrays():
    param, buffer = np.zeros(50), np.zeros(50)
    before = dict(addresses._known)
    for value in (1.0, 2.0):  # the gradient is another array each time
        optimizer.sgd_step([param], [np.full(50, value)], [buffer], lr=1.0, momentum=1.0)
    assert len(addresses._known) == len(before) + 1
    np.testing.assert_array_equal(param, -4.0)
    del buffer
    gc.collect()
    assert dict(addresses._known) == before


def test_no_more_lists_are_known_than_a_few():
    params = [np.zeros(1) for _ in range(2 * addresses.MOST)]
    for count in range(1, len(params)):
        optimizer.sgd_step(params[:count], params[:count], [None] * count, lr=0.0)
    assert 0 < len(addresses._known) <= addresses.MOST
