"""A generator or coroutine has its mode only while it runs."""

from __future__ import annotations

import asyncio

import pytest

import minicnn
from minicnn import is_grad_enabled


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
