"""Modes belong to the thread, and to a function only while it runs."""

from __future__ import annotations

import threading

import pytest

import minicnn
from minicnn import backend, is_grad_enabled
from minicnn.backend import cpu
from tests.library.support.leaves import leaf


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("decorated", [True, False])
def test_each_thread_gets_its_own_mode_back(decorated):
    """Two threads enter one mode, one after the other, and leave it in the same order."""
    mode, after = minicnn.no_grad(), {}
    entered = {True: threading.Event(), False: threading.Event()}

    def wait(enabled):
        entered[enabled].set()
        entered[False].wait()

    def run(enabled):
        minicnn.set_grad_enabled(enabled)
        if not enabled:
            entered[True].wait()
        if decorated:
            function(enabled)
        else:
            with mode:
                wait(enabled)
        after[enabled] = is_grad_enabled()

    function = mode(wait)
    threads = [threading.Thread(target=run, args=(enabled,)) for enabled in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert after == {True: True, False: False}


def test_one_decorated_function_many_threads():
    inner = minicnn.no_grad()(lambda: is_grad_enabled())
    wrong = []

    def ask(enabled):
        minicnn.set_grad_enabled(enabled)
        for _ in range(300):
            if inner() or is_grad_enabled() != enabled:
                wrong.append(enabled)
                minicnn.set_grad_enabled(enabled)

    threads = [threading.Thread(target=ask, args=(bool(number % 2),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_mode_may_be_entered_again_and_reused():
    mode = minicnn.set_grad_enabled(False)
    for _ in range(2):
        with mode:
            assert not is_grad_enabled()
        assert is_grad_enabled()

    @minicnn.no_grad()
    def deep(n):
        return not is_grad_enabled() and (n == 0 or deep(n - 1))

    assert deep(3) and is_grad_enabled()


def test_no_mode_reaches_another_thread():
    with (
        minicnn.no_grad(),
        minicnn.detect_anomaly(),
        backend.use("reference"),
        cpu.plain(),
        minicnn.nn.init.skip(),
    ):
        assert (backend.get("cpu").name, backend.load("cpu").plain) == ("reference", True)
        assert in_a_thread(is_grad_enabled)
        assert in_a_thread(lambda: (backend.get("cpu").name, backend.load("cpu").plain)) == ("cpu", False)
        assert in_a_thread(lambda: minicnn.nn.Linear(3, 3).weight.abs().sum().item()) > 0


def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with minicnn.no_grad():
        assert not (x * 2).requires_grad and not minicnn.is_grad_enabled()
        with minicnn.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert minicnn.is_grad_enabled()


def test_no_grad_survives_an_exception_and_works_as_decorator():
    x = leaf(1.0)

    @minicnn.no_grad()
    def with_parentheses():
        return x * 2

    @minicnn.no_grad
    def without():
        return x * 2

    assert not with_parentheses().requires_grad and not without().requires_grad
    with pytest.raises(KeyError), minicnn.no_grad():
        raise KeyError
    assert minicnn.is_grad_enabled()


def test_set_grad_enabled_as_call_and_as_block():
    minicnn.set_grad_enabled(False)
    assert not minicnn.is_grad_enabled()
    minicnn.set_grad_enabled(True)
    with minicnn.set_grad_enabled(False):
        assert not minicnn.is_grad_enabled()
    assert minicnn.is_grad_enabled()


def test_modes_are_per_thread():
    seen = []
    with minicnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append(minicnn.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]
