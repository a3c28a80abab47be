"""Modes belong to the thread, and to a function only while it runs."""

from __future__ import annotations

import asyncio
import threading

import pytest

import minicnn
from minicnn import backend, is_grad_enabled
from minicnn.backend import cpu


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


def test_a_generator_has_the_mode_only_while_it_runs():
    @minicnn.no_grad()
    def steps():
        sent = yield is_grad_enabled()
        try:
            yield sent, is_grad_enabled()
        except KeyError:
            yield "caught", is_grad_enabled()
        finally:
            ended.append(is_grad_enabled())
        return "end"

    ended = []
    running = steps()
    assert next(running) is False and is_grad_enabled()
    assert running.send(3) == (3, False) and is_grad_enabled()
    assert running.throw(KeyError()) == ("caught", False) and is_grad_enabled()
    with pytest.raises(StopIteration, match="end"):
        next(running)
    other = steps()
    next(other), next(other)
    other.close()
    assert ended == [False, False] and is_grad_enabled()


def test_generators_take_turns():
    @minicnn.no_grad()
    def without():
        while True:
            yield is_grad_enabled()

    @minicnn.enable_grad()
    def having():
        while True:
            yield is_grad_enabled()

    a, b = without(), having()
    assert [next(a), next(b), next(a), is_grad_enabled(), next(b)] == [False, True, False, True, True]


def test_a_coroutine_has_the_mode_only_while_it_runs():
    @minicnn.no_grad()
    async def predict():
        before = is_grad_enabled()
        await asyncio.sleep(0)
        return before, is_grad_enabled()

    @minicnn.no_grad()
    async def stream():
        for _ in range(2):
            await asyncio.sleep(0)
            yield is_grad_enabled()

    async def train():
        seen = []
        for _ in range(5):
            seen.append(is_grad_enabled())
            await asyncio.sleep(0)
        return all(seen)

    async def everything():
        streamed = [(value, is_grad_enabled()) async for value in stream()]
        return streamed, *await asyncio.gather(predict(), train())

    assert asyncio.run(everything()) == ([(False, True)] * 2, (False, False), True)


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
